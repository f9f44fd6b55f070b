// downstream.test.mjs: a stranger's view: libimagine is installed somewhere, the examples are copied
// elsewhere, and all that is known is `cc example.c $(pkg-config --cflags --libs libimagine)`.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { before, describe, test } from "node:test";
import { root, run, scratch, startServer } from "../support/harness.mjs";
import { make } from "../support/install.mjs";
import { pngOfUrl, readPng } from "../support/png.mjs";

const prefix = path.join(scratch(), "shared");
const archive = path.join(scratch(), "static"); // the same without libimagine.so
const sources = scratch();
before(async () => {
  await make("install", `PREFIX=${prefix}`);
  cpSync(prefix, archive, { recursive: true, verbatimSymlinks: true });
  for (const name of readdirSync(path.join(archive, "lib"))) if (/\.so/.test(name)) rmSync(path.join(archive, "lib", name));
  cpSync(path.join(root, "examples"), sources, { recursive: true });
});

/** What an example uses beside us, by the headers that it includes. */
const MODULES = { "uv.h": "libuv", "glib.h": "glib-2.0", "gio/gio.h": "gio-2.0" };
const examples = readdirSync(path.join(root, "examples")).filter((name) => name.endsWith(".c")).map((name) => name.slice(0, -2));

/** Compiles and links as the manual says; returns the program. */
async function build(compiler, files, { isStatic = false, flags = [], cwd = sources } = {}) {
  const text = files.map((file) => readFileSync(path.join(cwd, file), "utf8")).join("\n");
  const modules = Object.keys(MODULES).filter((header) => text.includes(`#include <${header}>`)).map((header) => MODULES[header]);
  const where = isStatic ? archive : prefix;
  const program = path.join(scratch(), "program");
  // --define-prefix: the archive was moved after it was installed, the other modules were not.
  const ask = (options, names) => (names.length === 0 ? "" : `$(pkg-config ${options} --cflags --libs ${names.join(" ")})`);
  const found = isStatic ? `${ask("--static --define-prefix", ["libimagine"])} ${ask("", modules)}` : ask("", ["libimagine", ...modules]);
  const script = `"$@" ${found} -o '${program}'`;
  const made = await run("sh", ["-ec", script, "sh", compiler, ...flags, ...files], { cwd, env: { PKG_CONFIG_PATH: `${where}/lib/pkgconfig` } });
  assert.equal(made.code, 0, `${compiler} ${files.join(" ")}:\n${made.stderr}`);
  return program;
}
const env = { LD_LIBRARY_PATH: path.join(prefix, "lib"), STATE_FILE: ":memory:" };

describe("every header alone, as installed", () => {
  const headers = ["imagine.h", ...readdirSync(path.join(root, "include/imagine")).map((name) => `imagine/${name}`)];
  for (const [compiler, language, standard] of [["gcc", "c", "c11"], ["clang", "c", "c11"], ["gcc", "c", "c2x"], ["g++", "c++", "c++11"], ["g++", "c++", "c++20"], ["clang++", "c++", "c++17"]]) {
    test(`${compiler} -std=${standard}`, async () => {
      const cwd = scratch();
      for (const header of headers) {
        const flags = [`-std=${standard}`, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", language, `-I${prefix}/include`, "-"];
        const { code, stderr } = await run(compiler, flags, { cwd, input: `#include <${header}>\n` });
        assert.equal(code, 0, `${header}: ${stderr}`);
      }
    });
  }
});

describe("every example builds", () => {
  for (const [what, compiler, options] of [["gcc, shared", "gcc", {}], ["clang, shared", "clang", {}], ["gcc, static", "gcc", { isStatic: true }], ["clang, static", "clang", { isStatic: true }]]) {
    test(what, async () => {
      assert.ok(examples.length >= 6, examples.join());
      for (const name of examples) {
        const program = await build(compiler, [`${name}.c`], options);
        const { stdout } = await run("ldd", [program], { env });
        assert.equal(stdout.includes("libimagine.so"), !options.isStatic, `${name}: ${stdout}`);
      }
    });
  }
  test("the command imagine, of its many files", async () => {
    const files = readdirSync(path.join(sources, "imagine")).filter((name) => name.endsWith(".c")).map((name) => `imagine/${name}`);
    const program = await build("gcc", files);
    const { code, stdout, stderr } = await run(program, ["--version"], { env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^imagine \d/);
  });
});

describe("what was built runs", () => {
  for (const isStatic of [false, true]) {
    test(`generate, epoll_loop and file_storage draw samples, ${isStatic ? "static" : "shared"}`, async () => {
      const runEnv = isStatic ? { STATE_FILE: ":memory:" } : env;
      const cwd = scratch();
      const draw = async (name, args) => {
        const { code, stdout, stderr } = await run(await build("cc", [`${name}.c`], { isStatic }), args, { cwd, env: runEnv });
        assert.equal(code, 0, `${name}: ${stderr}`);
        return stdout;
      };
      await draw("generate", ["a quiet sea", "sea.png"]);
      readPng(readFileSync(path.join(cwd, "sea.png")));
      assert.match(await draw("epoll_loop", ["sample/waves", "a storm"]), /a storm: data:image\/png/);
      mkdirSync(path.join(cwd, "state"));
      await draw("file_storage", ["state", "a quiet sea", "sample/waves"]);
    });
  }
  test("embed_gateway serves", async () => {
    const server = await startServer({ program: await build("cc", ["embed_gateway.c"]), env });
    assert.equal((await server.get("/api/v1/models")).status, 200);
    await server.stop("SIGINT");
  });
});

describe("a program in C++", () => {
  const text = `#include <imagine.h>
#include <imagine/ffi.h>
#include <imagine/gateway.h>
#include <imagine/hosting.h>
#include <imagine/io.h>
#include <imagine/provider.h>
#include <imagine/storage.h>
#include <iostream>

int main() {
    imagine_options_t options;
    imagine_params_t params;
    imagine_t *im = nullptr;
    imagine_request_t *request = nullptr;
    imagine_options_init(&options, sizeof(options));
    imagine_params_init(&params, sizeof(params));
    if (imagine_open(&im, &options) != 0)
        return 1;
    params.model = "sample/nebula";
    params.prompt = "a quiet sea";
    imagine_done_cb done = [](int status, const imagine_result_t *result, void *user) {
        *static_cast<int *>(user) = status == 0 && result->url != nullptr ? 1 : -1;
    };
    int was_done = 0;
    if (imagine_generate(im, &params, done, &was_done, &request) != 0 || imagine_wait(request, -1) != 0)
        return 1;
    std::cout << imagine_request_result(request)->url << std::endl;
    imagine_request_release(request);
    imagine_close(im, nullptr, nullptr);
    return was_done == 1 ? 0 : 1;
}
`;
  for (const [compiler, isStatic] of [["g++", false], ["g++", true], ["clang++", false]]) {
    test(`${compiler}, ${isStatic ? "static" : "shared"}`, async () => {
      const cwd = scratch();
      writeFileSync(path.join(cwd, "picture.cpp"), text);
      const program = await build(compiler, ["picture.cpp"], { isStatic, cwd, flags: ["-Wall", "-Wextra", "-pedantic", "-Werror"] });
      const { code, stdout, stderr } = await run(program, [], { cwd, env: isStatic ? {} : env });
      assert.equal(code, 0, stderr);
      readPng(pngOfUrl(stdout.trim()));
    });
  }
});

test("Python finds the installed library by its name", async () => {
  const script = 'import imagine\nwith imagine.Client() as client:\n    print(client.call("generate", model="sample/nebula", prompt="a quiet sea")["url"])';
  const { code, stdout, stderr } = await run("python3", ["-c", script], { env: { ...env, PYTHONPATH: path.join(sources, "python") } });
  assert.equal(code, 0, stderr);
  readPng(pngOfUrl(stdout.trim()));
});

test("a program asks the loader for the version of the interface that it was built with", async () => {
  const { stdout } = await run("objdump", ["-p", await build("cc", ["generate.c"])]);
  assert.match(stdout, /required from libimagine\.so\.0:\s+0x[0-9a-f]+ 0x00 \d+ LIBIMAGINE_0/);
});

test("the installed server serves its page and a picture", async () => {
  const server = await startServer({ program: path.join(prefix, "bin/imagine-server"), env: { SAMPLE_PROVIDER: "on" } });
  const page = await server.get("/");
  assert.equal(page.status, 200);
  assert.match(page.body.toString(), /<html/);
  const { status, json } = await server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a quiet sea" });
  assert.equal(status, 200);
  readPng(pngOfUrl(json.url));
  await server.stop();
});

test("the installed command makes a picture", async () => {
  const { code, stderr, stdoutBytes } = await run(path.join(prefix, "bin/imagine"), ["generate", "-m", "sample/nebula", "-o", "-", "a quiet sea"], { env: { STATE_FILE: ":memory:" } });
  assert.equal(code, 0, stderr);
  readPng(stdoutBytes);
});
