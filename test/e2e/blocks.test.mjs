// blocks.test.mjs: every block of code in README.md, lib/providers/CATALOGUE.md and the comments of
// the public headers is compiled, run or loaded, as it stands there but for the addresses, ports and
// places that its rule below names. A block that no rule knows fails, and so does a rule that knows
// no block: whoever writes an example writes how it is proven.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { build, listen, root, run, scratch, serverProgram, startServer, startUpstream } from "../support/harness.mjs";
import { make } from "../support/install.mjs";
import { installPackages } from "../support/npm.mjs";
import { pngOfUrl, readPng } from "../support/png.mjs";

// ---- what a block is ---------------------------------------------------------------------------

/** Of Markdown: what stands between fences ("sh", "json" …; "" without a word behind them), and what
 * is indented behind an empty line ("indented"). */
function blocksOf(file, text) {
  const blocks = [];
  let fence = null, indented = null, wasEmpty = true;
  text.split("\n").forEach((line, index) => {
    const mark = /^```(.*)$/.exec(line);
    if (fence !== null && !mark) fence.lines.push(line);
    else if (fence !== null) fence = (assert.equal(mark[1], "", `${file}:${index + 1}: a fence inside a fence`), null);
    else if (mark) blocks.push((fence = { file, line: index + 1, language: mark[1], lines: [] }));
    else if (/^ {4}/.test(line) && indented) indented.lines.push(line.slice(4));
    else if (/^ {4}/.test(line) && wasEmpty) blocks.push((indented = { file, line: index + 1, language: "indented", lines: [line.slice(4)] }));
    else if (line !== "") indented = null;
    else indented?.lines.push("");
    wasEmpty = line === "";
  });
  assert.equal(fence, null, `${file}: a fence is open at its end`);
  return blocks.map(({ lines, ...block }) => ({ ...block, text: `${lines.join("\n").trimEnd()}\n` }));
}

/** Of a header: each comment that begins a line is Markdown, too; its code is C. */
function blocksOfHeader(file, text) {
  return [...text.matchAll(/^ *\/\*[\s\S]*?\*\//gm)].flatMap(({ 0: comment, index }) => {
    const inside = comment.replace(/^ *\/\*+/, "").replace(/\*\/$/, "").replace(/^ *\* ?/gm, "");
    const before = text.slice(0, index).split("\n").length - 1;
    return blocksOf(file, inside).map((block) => ({ ...block, line: block.line + before, language: "c" }));
  });
}

const read = (file) => readFileSync(path.join(root, file), "utf8");
const headers = ["include/imagine.h", ...readdirSync(path.join(root, "include/imagine")).map((name) => `include/imagine/${name}`)];
const blocks = [...["README.md", "lib/providers/CATALOGUE.md"].flatMap((file) => blocksOf(file, read(file))), ...headers.flatMap((file) => blocksOfHeader(file, read(file)))];

// ---- what they need ----------------------------------------------------------------------------

let upstream, prefix;
before(async () => {
  upstream = await startUpstream();
  prefix = path.join(scratch(), "prefix");
  await make("install", `PREFIX=${prefix}`);
});
after(() => upstream?.stop());

const README_ORIGIN = "http://127.0.0.1:3000"; // where the README's server listens
const quiet = { STATE_FILE: ":memory:" };
const picture = /^data:image\/png;base64,/;

/** A shell with the installed programs on its path; it stops at the first line that fails. */
async function shell(text, { cwd = scratch(), env = {} } = {}) {
  const { code, stdout, stderr } = await run("bash", ["-euo", "pipefail", "-c", text], { cwd, env: { ...quiet, PATH: `${prefix}/bin:${process.env.PATH}`, LD_LIBRARY_PATH: `${prefix}/lib`, PKG_CONFIG_PATH: `${prefix}/lib/pkgconfig`, ...env } });
  assert.equal(code, 0, `${text}\n${stdout}${stderr}`);
  return stdout;
}

/** Compiles a whole program and runs it; what it printed. */
async function runC(text, env = {}) {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "program.c"), text);
  await shell("${CC:-cc} -std=c11 -Wall -Wextra -Werror program.c $(pkg-config --cflags --libs libimagine) -o program", { cwd, env: process.env.CC ? { CC: process.env.CC } : {} });
  return shell("./program", { cwd, env });
}

/** The targets are there; what they do is proven elsewhere. */
async function areTargets(lines) {
  for (const line of lines.trim().split("\n")) {
    const [, target] = /^(?:sudo )?make (\S+)/.exec(line) ?? assert.fail(`no target: ${line}`);
    const { code, stderr } = await run("make", ["-n", `BUILD=${build}`, target], { cwd: root });
    assert.equal(code, 0, `make ${target}: ${stderr}`);
  }
}

/** The server takes this catalogue. */
async function isCatalogue(document) {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "catalogue.json"), document);
  const { code, stdout, stderr } = await run(serverProgram, ["--check"], { cwd, env: { ...quiet, CATALOGUE: "catalogue.json" } });
  assert.equal(code, 0, stdout + stderr);
}

// ---- the rules ---------------------------------------------------------------------------------

const rules = [
  {
    name: "the drawing: names every provider of the catalogue",
    is: ({ language, text }) => language === "" && text.includes("──imagine_generate()──"),
    async prove({ text }) {
      const { providers } = JSON.parse(read("lib/providers/catalogue.json"));
      for (const { name } of Object.values(providers)) if (name) assert.ok(text.includes(name.split(" ")[0]), name);
    },
  },
  {
    name: "the layout: every place is there",
    is: ({ language, text }) => language === "" && text.startsWith("include/"),
    async prove({ text }) {
      const places = text.trim().split("\n").map((line) => line.split(" ")[0]);
      for (const place of places) assert.ok(existsSync(path.join(root, place)), place);
      for (const room of readdirSync(path.join(root, "lib"), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name)) assert.ok(places.includes(`lib/${room}/`), `lib/${room}/ is not told`);
    },
  },
  {
    name: "make run: the server that it starts listens where it says, without any setting",
    is: ({ text }) => /^make run +#/.test(text),
    async prove({ text }) {
      await areTargets(text);
      assert.ok(text.includes(README_ORIGIN));
      const told = await shell("imagine-server --help");
      assert.match(told, /PORT\b.*3000/);
    },
  },
  {
    name: "curl, and a picture: a server on another port",
    is: ({ language, text }) => language === "sh" && text.startsWith(`curl -s ${README_ORIGIN}`),
    async prove({ text }) {
      const server = await startServer(), cwd = scratch();
      await shell(text.replaceAll(README_ORIGIN, server.origin), { cwd });
      const { width, height } = readPng(readFileSync(path.join(cwd, "picture.png")));
      assert.equal(Math.round((width / height) * 9), 16);
      await server.stop();
    },
  },
  {
    name: "make run with tokens, and curl: a server on another port, the stand-in for the provider",
    is: ({ text }) => /^GITEE_TOKENS=\S+ make run\n/.test(text),
    async prove({ text }) {
      const [first, ...rest] = text.trim().split("\n");
      const [told] = rest.splice(rest.findIndex((line) => line.startsWith("# {")), 1);
      const [, tokens] = /^GITEE_TOKENS=(\S+) make run$/.exec(first);
      const server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: tokens } });
      const answer = JSON.parse(await shell(rest.join("\n").replaceAll(README_ORIGIN, server.origin)));
      const { url, seed, ...expected } = JSON.parse(told.slice(2));
      assert.match(answer.url, /^http/);
      assert.deepEqual({ ...answer, url, seed }, { ...expected, url, seed });
      assert.ok((await upstream.log("generations")).length === 1 && tokens.split(",").length === 3);
      await server.stop();
    },
  },
  { name: "make check: a target", is: ({ text }) => text.startsWith("make check "), prove: ({ text }) => areTargets(text) },
  {
    name: "the command: as it stands, from the installed prefix",
    is: ({ text }) => text.startsWith("imagine generate "),
    async prove({ text }) {
      const cwd = scratch();
      const told = await shell(text, { cwd });
      readPng(readFileSync(path.join(cwd, "sea.png")));
      assert.equal(readdirSync(path.join(cwd, "out")).filter((name) => name.endsWith(".png")).length, 3);
      assert.match(told, /^sample\//m);
    },
  },
  {
    name: "installing: targets, and a Dockerfile (install, deb and deploy are tests of their own)",
    is: ({ text }) => text.startsWith("sudo make install ") && text.includes("docker build"),
    async prove({ text }) {
      const [docker] = /^docker build .*$/m.exec(text);
      assert.ok(existsSync(path.join(root, /-f (\S+)/.exec(docker)[1])));
      await areTargets(text.replace(`${docker}\n`, ""));
    },
  },
  {
    name: "systemctl: the unit has that name",
    is: ({ text }) => text.startsWith("sudo systemctl enable --now "),
    prove: async ({ text }) => assert.ok(existsSync(path.join(root, "server/deploy", `${text.trim().split(" ").at(-1)}.service`))),
  },
  {
    name: "the whole program: compiled and run",
    is: ({ file, language }) => file === "README.md" && language === "c",
    prove: async ({ text }) => assert.match(await runC(text), picture),
  },
  {
    name: "installing and compiling: the README's program, below another prefix",
    is: ({ text }) => text.startsWith("sudo make install ") && text.includes("\ncc picture.c"),
    async prove({ text }) {
      const cwd = scratch(), [install, ...rest] = text.trim().split("\n");
      await areTargets(install);
      writeFileSync(path.join(cwd, "picture.c"), blocks.find(({ file, language }) => file === "README.md" && language === "c").text);
      assert.match(await shell(`${rest.join("\n")}\n./picture`, { cwd }), picture);
    },
  },
  {
    name: "Python",
    is: ({ language }) => language === "python",
    async prove({ text }) {
      const env = { ...quiet, LD_LIBRARY_PATH: build, IMAGINE_LIBRARY: path.join(build, "libimagine.so"), PYTHONPATH: path.join(root, "examples/python"), PYTHONDONTWRITEBYTECODE: "1" };
      const { code, stdout, stderr } = await run("python3", ["-c", text], { env });
      assert.equal(code, 0, stderr);
      assert.match(stdout, picture);
    },
  },
  {
    name: "JavaScript: beside a copy of the module, with koffi",
    is: ({ language }) => language === "js",
    async prove({ text }, t) {
      const folder = await installPackages("koffi@3");
      if (folder === undefined) return t.skip("npm cannot fetch koffi here");
      copyFileSync(path.join(root, "examples/node/imagine.mjs"), path.join(folder, "imagine.mjs"));
      writeFileSync(path.join(folder, "program.mjs"), text);
      const { code, stdout, stderr } = await run(process.execPath, ["program.mjs"], { cwd: folder, env: { ...quiet, IMAGINE_LIBRARY: path.join(build, "libimagine.so") } });
      assert.equal(code, 0, stderr);
      assert.match(stdout, picture);
    },
  },
  {
    name: "Lua",
    is: ({ language }) => language === "lua",
    async prove({ text }) {
      const env = { ...quiet, IMAGINE_LIBRARY: path.join(build, "libimagine.so"), LUA_PATH: path.join(root, "examples/lua/?.lua") };
      const { code, stdout, stderr } = await run("luajit", ["-"], { env, input: text });
      assert.equal(code, 0, stderr);
      assert.match(stdout, picture);
    },
  },
  { name: "a catalogue: the server takes it", is: ({ language, text }) => language === "json" && JSON.parse(text).providers !== undefined, prove: ({ text }) => isCatalogue(text) },
  {
    name: "a model of a catalogue: the server takes it, of a provider of that kind",
    is: ({ language, text }) => language === "json" && JSON.parse(text).key !== undefined,
    prove: ({ text }) => isCatalogue(JSON.stringify({ providers: { mine: { kind: "sdwebui", api_base: "http://127.0.0.1:7860", models: [JSON.parse(text)] } } })),
  },
  {
    name: "settings before imagine-server: it takes them (--check)",
    is: ({ language, text }) => language === "indented" && /^\S+=\S+.* imagine-server\n$/.test(text),
    async prove({ text }) {
      const cwd = scratch();
      mkdirSync(path.join(cwd, "examples"));
      const told = await shell(`ln -s '${root}/examples/catalogue' examples/catalogue\n${text.trim()} --check`, { cwd });
      assert.match(told, /MY_COMFY_API_BASE/);
    },
  },
  {
    name: "imagine.h: steps, in a main, against the stand-in",
    is: ({ file }) => file === "include/imagine.h",
    async prove({ text }) {
      const program = `#include <imagine.h>\n#include <stdio.h>\nint main(void) {\n${text}\nimagine_request_release(request);\nimagine_close(im, NULL, NULL);\nreturn 0;\n}\n`;
      assert.match(await runC(program, { ...upstream.settings, GITEE_TOKENS: "a,b,c" }), /^http/);
    },
  },
  {
    name: "ffi.h: steps, in a main, with an on_done that prints",
    is: ({ file }) => file === "include/imagine/ffi.h",
    async prove({ text }) {
      const program = `#include <imagine/ffi.h>
#include <stdio.h>
#include <string.h>
static void on_done(int status, const imagine_result_t *result, void *user) {
    size_t size;
    puts(status == 0 ? imagine_result_json(result, &size) : imagine_result_message(result));
    (void)user;
}
int main(void) {
    const char *json = "{\\"model\\": \\"sample/nebula\\", \\"prompt\\": \\"a quiet sea\\"}";
    size_t json_size = strlen(json);
    imagine_t *im;
    imagine_request_t *request;
    char *message;
    void *user = NULL;
${text}
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
    return 0;
}
`;
      readPng(pngOfUrl(JSON.parse(await runC(program)).url));
    },
  },
  {
    name: "provider.h: a provider, registered in a main, and a server that answers it",
    is: ({ file }) => file === "include/imagine/provider.h",
    async prove({ text }) {
      const asked = [];
      const server = http.createServer((request, response) => {
        let body = "";
        request.on("data", (piece) => (body += piece)).on("end", () => {
          asked.push([`${request.method} ${request.url}`, request.headers.authorization, JSON.parse(body)]);
          response.setHeader("content-type", "application/json").end(JSON.stringify({ data: [{ url: "https://pictures.test/cat.png" }] }));
        });
      });
      const origin = `http://127.0.0.1:${await listen(server)}`;
      const program = `#include <imagine/provider.h>
#include <stdio.h>
${text}
int main(void) {
    imagine_provider_t provider = {.size = sizeof(provider), .name = "mine", .generate = generate};
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imagine_t *im = NULL;
    provider.catalogue = "{\\"api_base\\": \\"${origin}/v1\\", \\"models\\": [{\\"key\\": \\"one\\", \\"type\\": [\\"text2image\\"]}]}";
    params.model = "mine/one";
    params.prompt = "a cat";
    params.width = 640;
    if (imagine_open(&im, NULL) != 0 || imagine_register_provider(im, &provider) != 0 || imagine_set_tokens(im, "mine", "t1") != 0)
        return 1;
    imagine_generate(im, &params, NULL, NULL, &request);
    imagine_wait(request, -1);
    const imagine_result_t *result = imagine_request_result(request);
    puts(result->status == 0 ? result->url : result->message);
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
    return 0;
}
`;
      assert.equal(await runC(program), "https://pictures.test/cat.png\n");
      assert.deepEqual(asked, [["POST /v1/images/generations", "Bearer t1", { prompt: "a cat", width: 640 }]]);
    },
  },
];

/** Those that know the block. */
function rulesFor(block) {
  return rules.filter(({ is }) => {
    try {
      return is(block);
    } catch {
      return false; // JSON that is none: then no rule knows it
    }
  });
}

describe("every block", () => {
  for (const block of blocks)
    test(`${block.file}:${block.line} (${block.language || "no language"})`, async (t) => {
      const known = rulesFor(block);
      assert.equal(known.length, 1, `${known.map(({ name }) => name).join("; ") || "no rule"} for\n${block.text}`);
      t.diagnostic(known[0].name);
      await known[0].prove(block, t);
    });
});

test("every rule knows a block", () => {
  for (const rule of rules) assert.ok(blocks.some((block) => rulesFor(block).includes(rule)), rule.name);
});

test("what is a block, and what no rule knows", () => {
  const text = "a\n\n    one\n\n    two\nb\n    not code\n```sh\nrm -rf /\n```\n\n- c\n    nor this\n";
  assert.deepEqual(blocksOf("x", text).map(({ line, language, text: inside }) => [line, language, inside]), [[3, "indented", "one\n\ntwo\n"], [8, "sh", "rm -rf /\n"]]);
  assert.deepEqual(blocksOf("x", text).flatMap(rulesFor), []);
  assert.throws(() => blocksOf("x", "```c\nint x;\n"), /open at its end/);
  assert.deepEqual(blocksOfHeader("x.h", "/* no */\n\n/**\n * Text:\n *\n *     f(1);\n *\n * More\n *     text.\n */\n").map(({ line, text: inside }) => [line, inside]), [[6, "f(1);\n"]]);
  assert.deepEqual(rulesFor({ file: "README.md", language: "json", text: "{" }), []);
});
