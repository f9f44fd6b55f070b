// install.test.mjs: what make install brings and make uninstall takes away again: folders, pages,
// pkg-config, completions, the systemd unit.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { before, describe, test } from "node:test";
import { root, run, scratch } from "../support/harness.mjs";
import { listing, make } from "../support/install.mjs";

const prefix = path.join(scratch(), "prefix");
const at = (...parts) => path.join(prefix, ...parts);
before(() => make("install", `PREFIX=${prefix}`));

const functions = readdirSync(path.join(root, "include/imagine")).map((name) => `imagine/${name}`).concat("imagine.h").flatMap((header) =>
  [...readFileSync(path.join(root, "include", header), "utf8").matchAll(/^IMAGINE_API [^;(]*?\b(imagine_\w+)\(/gm)].map((match) => match[1]));

describe("uninstalling leaves everything as it was", () => {
  const layouts = {
    "a prefix that was not there": [],
    "below DESTDIR": ["usr/local/bin/mine", "usr/local/share/man/man3/", "usr/local/lib/"],
    "folders of other owners, some of them empty": ["usr/local/include/imagine/mine.h", "usr/local/share/imagine/web/", "usr/local/lib/systemd/system/mine.service"],
  };
  for (const [name, there] of Object.entries(layouts)) {
    test(name, async () => {
      const destdir = scratch();
      for (const file of there) {
        mkdirSync(path.dirname(path.join(destdir, `${file}x`)), { recursive: true });
        if (!file.endsWith("/")) writeFileSync(path.join(destdir, file), "mine");
      }
      const before = listing(destdir);
      const where = [`DESTDIR=${destdir}`, "PREFIX=/usr/local"];
      await make("install", ...where);
      const installed = listing(destdir);
      await make("install", ...where); // once more: over itself
      assert.deepEqual(listing(destdir), installed);
      assert.ok(installed.length > before.length + 50, installed.join("\n"));
      await make("uninstall", ...where);
      assert.deepEqual(listing(destdir), before);
    });
  }
});

test("the library has its names", () => {
  const names = listing(at("lib")).map((line) => line.split(" ").slice(0, -2).join(" ") || line);
  const version = /IMAGINE_VERSION "(.*?)"/.exec(readFileSync(at("include/imagine.h"), "utf8"))[1];
  for (const wanted of ["libimagine.a", `libimagine.so.${version}`, "pkgconfig/libimagine.pc"]) assert.ok(names.some((name) => name.startsWith(wanted)), `${wanted}: ${names}`);
  assert.ok(listing(at("lib")).includes(`libimagine.so.0 -> libimagine.so.${version}`));
  assert.ok(listing(at("lib")).includes("libimagine.so -> libimagine.so.0"));
});

test("the programs run from the prefix, wherever that is moved to", async () => {
  const moved = path.join(scratch(), "moved");
  renameSync(prefix, moved);
  const ends = await Promise.all(["imagine", "imagine-server"].map((name) => run(path.join(moved, "bin", name), ["--version"])));
  renameSync(moved, prefix);
  for (const { code, stdout, stderr } of ends) assert.deepEqual([code, /\d+\.\d+\.\d+/.test(stdout)], [0, true], stderr);
});

describe("pages", () => {
  const pages = () => readdirSync(at("share/man"), { recursive: true }).filter((name) => /man\d\/(libimagine|imagine|imagine-server)\.\d$/.test(name));
  const render = async (page) => {
    const { stdout } = await run("mandoc", ["-Tutf8", "-Owidth=200", page]);
    return stdout.replace(/.\x08/g, "").replace(/[\u2010\u2212]/g, "-"); // bold and italics, hyphens
  };

  test("mandoc and groff have nothing to say", async () => {
    assert.equal(pages().length, 3, pages().join());
    for (const page of pages()) {
      const lint = await run("mandoc", ["-Tlint", "-Wwarning", at("share/man", page)]);
      assert.equal(lint.stdout + lint.stderr, "", page);
      const groff = await run("groff", ["-man", "-Tutf8", "-ww", "-z", at("share/man", page)]);
      assert.equal(groff.stdout + groff.stderr, "", page);
    }
  });
  test("libimagine(3) declares every public function, and each has its own name", async () => {
    assert.ok(functions.length > 150, `${functions.length} functions`);
    const text = await render(at("share/man/man3/libimagine.3"));
    for (const name of functions) {
      assert.match(text, new RegExp(`^ +[a-z].*[ *]${name}\\(`, "m"), name);
      assert.ok(existsSync(at("share/man/man3", `${name}.3`)), name);
    }
    const { code, stdout } = await run("man", ["-M", at("share/man"), "-w", "imagine_generate"]);
    assert.deepEqual([code, stdout.trim()], [0, at("share/man/man3/libimagine.3")]);
  });
  test("imagine-server(8) has every setting and option of --help, in its words", async () => {
    const text = (await render(at("share/man/man8/imagine-server.8"))).replace(/\s+/g, " ");
    const { stdout } = await run(at("bin/imagine-server"), ["--help"]);
    const settings = stdout.split("\n").slice(stdout.split("\n").indexOf("") + 1);
    const names = settings.filter((line) => /^ {2}[A-Z<]/.test(line)).map((line) => line.trim());
    assert.ok(names.length > 30, names.join());
    for (const entry of settings.join("\n").split(/^ {2}(?=[A-Z<])/m)) {
      const words = entry.split(/\n(?! )/)[0].replace(/\s+/g, " ").trim();
      assert.ok(text.includes(words), words);
    }
    for (const [option] of stdout.matchAll(/--[a-z-]+/g)) assert.ok(text.includes(option), option);
  });
});

describe("pkg-config", () => {
  const ask = async (...args) => (await run("pkg-config", [...args, "libimagine"], { env: { PKG_CONFIG_PATH: at("lib/pkgconfig") } })).stdout.trim().split(/\s+/);
  test("names the library alone, and with --static what it calls", async () => {
    assert.deepEqual(await ask("--libs"), [`-L${at("lib")}`, "-limagine"]);
    assert.deepEqual(await ask("--cflags"), [`-I${at("include")}`]);
    const libraries = await ask("--static", "--libs");
    for (const library of ["-limagine", "-lcurl", "-luv", "-lcjson", "-lssl", "-lcrypto", "-lsqlite3", "-lspng", "-lhiredis"]) assert.ok(libraries.includes(library), libraries.join(" "));
  });
  test("follows a prefix that was moved", async () => {
    assert.deepEqual(await ask("--define-prefix", "--variable=libdir"), [at("lib")]);
    assert.match(readFileSync(at("lib/pkgconfig/libimagine.pc"), "utf8"), /^libdir=\$\{prefix\}\/lib$/m);
  });
});

test("bash completes options and files", async () => {
  const files = readdirSync(at("share/bash-completion/completions"));
  for (const [name, typed, wanted] of [["imagine-server", "--e", "--env-file"], ["imagine", "gen", "generate"]]) {
    assert.ok(files.includes(name), files.join());
    const script = `. '${at("share/bash-completion/completions", name)}'; COMP_WORDS=(${name} '${typed}'); COMP_CWORD=1; $(complete -p ${name} | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await run("bash", ["-c", script]);
    assert.equal(stdout.trim(), wanted, stderr);
  }
  for (const name of files) {
    const { code, stderr } = await run("bash", ["-n", at("share/bash-completion/completions", name)]);
    assert.equal(code, 0, stderr);
  }
});

test("every option of imagine-server can be completed in every shell", async () => {
  const { stdout } = await run(at("bin/imagine-server"), ["--help"]);
  const options = [...stdout.split("\n")[1].matchAll(/--([a-z-]+)/g)].map((match) => match[1]);
  assert.ok(options.length >= 6, options.join());
  const shells = ["bash-completion/completions/imagine-server", "zsh/site-functions/_imagine-server", "fish/vendor_completions.d/imagine-server.fish"];
  for (const file of shells) {
    const text = readFileSync(at("share", file), "utf8");
    for (const option of options) assert.ok(text.includes(file.endsWith(".fish") ? `-l ${option} ` : `--${option}`), `${file} lacks ${option}`);
  }
});

describe("the systemd unit", () => {
  const unit = at("lib/systemd/system/imagine-server.service");
  test("is one, starts the installed program, and its page can be found", async () => {
    assert.match(readFileSync(unit, "utf8"), new RegExp(`^ExecStart=${at("bin/imagine-server")}$`, "m"));
    const { code, stdout, stderr } = await run("systemd-analyze", ["verify", unit], { env: { MANPATH: at("share/man") } });
    assert.deepEqual([code, stdout, stderr], [0, "", ""]);
  });
  test("is hardened: an exposure of 1.5 at most", async () => {
    const { code, stdout } = await run("systemd-analyze", ["security", "--offline=true", "--threshold=15", "--no-pager", unit]);
    assert.equal(code, 0, stdout);
  });
});
