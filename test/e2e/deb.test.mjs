// deb.test.mjs: Debian's packages: built, lint-clean, unpacked by dpkg below a root of our own, used.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { before, describe, test } from "node:test";
import { build, run, scratch, startServer } from "../support/harness.mjs";
import { make } from "../support/install.mjs";
import { readPng } from "../support/png.mjs";

const root = scratch();
const deb = (name) => path.join(build, "deb", readdirSync(path.join(build, "deb")).find((file) => file.startsWith(`${name}_`) && file.endsWith(".deb")));
const names = ["libimagine0", "libimagine-dev", "imagine-server"];
let triplet, report;
before(async () => {
  report = await make("deb"); // also fails on a complaint of lintian
  for (const folder of ["info", "updates", "triggers"]) mkdirSync(path.join(root, "var/lib/dpkg", folder), { recursive: true });
  for (const file of ["status", "available"]) writeFileSync(path.join(root, "var/lib/dpkg", file), "");
  // Their dependencies are on this machine and not below our root: unpacked is as far as it gets.
  const { code, stderr } = await run("dpkg", [`--root=${root}`, "--force-not-root", "--force-depends", "--log=/dev/null", "--unpack", ...names.map(deb)], { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
  assert.equal(code, 0, stderr);
  triplet = (await run("dpkg-architecture", ["-qDEB_HOST_MULTIARCH"])).stdout.trim();
});
const at = (...parts) => path.join(root, ...parts);
const field = async (name, what) => (await run("dpkg-deb", ["-f", deb(name), what])).stdout.trim();

test("lintian has no complaint, and only what has a reason is overridden", async () => {
  assert.doesNotMatch(report.stdout + report.stderr, /^[EW]: /m);
  for (const name of names) {
    const file = at("usr/share/lintian/overrides", name);
    let text = "";
    try {
      text = readFileSync(file, "utf8");
    } catch {}
    let isExplained = false;
    for (const line of text.split("\n").filter((line) => line !== "")) {
      assert.ok(line.startsWith("#") || isExplained, line);
      isExplained = line.startsWith("#") || isExplained;
    }
  }
});

describe("who depends on whom", () => {
  test("the server on the library, the headers on exactly theirs", async () => {
    assert.match(await field("imagine-server", "Depends"), /\blibimagine0 \(>= 0\.1\.0\)/);
    assert.match(await field("libimagine-dev", "Depends"), new RegExp(`\\blibimagine0 \\(= ${(await field("libimagine0", "Version")).replaceAll(".", "\\.")}\\)`));
    for (const library of ["libcurl4", "libuv1", "libsqlite3-0", "libhiredis"]) assert.ok((await field("libimagine0", "Depends")).includes(library), library);
  });
  test("since when each function is there is written down", async () => {
    const symbols = readFileSync(at("var/lib/dpkg/info", `libimagine0:${await field("libimagine0", "Architecture")}.symbols`), "utf8");
    assert.match(symbols, /^libimagine\.so\.0 libimagine0 #MINVER#\n/);
    assert.match(symbols, /^ imagine_generate@LIBIMAGINE_0 0\.1\.0$/m);
    assert.doesNotMatch(symbols, /@Base/);
  });
  test("no library path is built in, and all of it is hardened", async () => {
    for (const file of ["usr/bin/imagine-server", "usr/bin/imagine", `usr/lib/${triplet}/libimagine.so.0`]) {
      const { stdout } = await run("readelf", ["-d", "-l", "-W", at(file)]);
      assert.doesNotMatch(stdout, /RPATH|RUNPATH/, file);
      assert.match(stdout, /BIND_NOW/, file);
      assert.match(stdout, /GNU_RELRO/, file);
    }
  });
});

test("settings are a conffile that only root can read", async () => {
  assert.equal(statSync(at("etc/imagine/imagine.env.dpkg-new")).mode & 0o777, 0o600);
  const { stdout } = await run("dpkg-deb", ["--info", deb("imagine-server"), "conffiles"]);
  assert.equal(stdout.trim(), "/etc/imagine/imagine.env");
});

test("the service is enabled and started by the package's own scripts", async () => {
  const script = readFileSync(at("var/lib/dpkg/info/imagine-server.postinst"), "utf8");
  assert.match(script, /deb-systemd-helper.* enable .*imagine-server\.service/);
  assert.match(readFileSync(at("lib/systemd/system/imagine-server.service"), "utf8"), /^ExecStart=\/usr\/bin\/imagine-server$/m);
});

describe("what was unpacked runs", () => {
  const env = () => ({ LD_LIBRARY_PATH: at("usr/lib", triplet), STATE_FILE: ":memory:" });
  test("the server, with its page", async () => {
    const server = await startServer({ program: at("usr/bin/imagine-server"), env: { ...env(), SAMPLE_PROVIDER: "on" } });
    assert.match((await server.get("/")).body.toString(), /<html/);
    assert.equal((await server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a quiet sea" })).status, 200);
    await server.stop();
  });
  test("a program built with libimagine-dev", async () => {
    const cwd = scratch();
    const flags = await run("pkg-config", ["--cflags", "--libs", "libimagine"], { env: { PKG_CONFIG_PATH: at("usr/lib", triplet, "pkgconfig"), PKG_CONFIG_SYSROOT_DIR: root } });
    assert.equal(flags.code, 0, flags.stderr);
    const example = at("usr/share/doc/libimagine-dev/examples/generate.c");
    const made = await run("cc", [example, "-o", "generate", ...flags.stdout.trim().split(/\s+/)], { cwd });
    assert.equal(made.code, 0, made.stderr);
    const { code, stderr } = await run(path.join(cwd, "generate"), ["a quiet sea", "sea.png"], { cwd, env: env() });
    assert.equal(code, 0, stderr);
    readPng(readFileSync(path.join(cwd, "sea.png")));
  });
});
