// deploy.test.mjs: the Dockerfile and compose.yaml, as far as that goes without Docker: what they
// copy is there, the steps that build run, what comes out has all it needs and serves, as nobody.
import assert from "node:assert/strict";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { root, run, startServer } from "../support/harness.mjs";
import { listing } from "../support/install.mjs";

const deploy = path.join(root, "server/deploy");
// Lines joined, comments gone: [["FROM", "debian:12-slim AS build"], …], by stages.
const stages = [];
for (const line of readFileSync(path.join(deploy, "Dockerfile"), "utf8").replace(/^#.*\n/gm, "").replace(/\\\n\s*/g, " ").split("\n").filter((line) => line !== "")) {
  const [, instruction, rest] = /^(\w+) (.*)$/.exec(line);
  if (instruction === "FROM") stages.push([]);
  stages.at(-1).push([instruction, rest]);
}
const [building, serving] = stages;
const all = (stage, instruction) => stage.filter(([name]) => name === instruction).map(([, rest]) => rest);

// Nobody in particular has to be able to look into it.
const image = mkdtempSync(path.join(os.tmpdir(), "imagine-image-"));
chmodSync(image, 0o755);
const src = path.join(image, "src");
const out = path.join(image, "out");
after(() => rmSync(image, { recursive: true, force: true }));

test("two stages of Debian slim; the second one is nobody's, and tells its health", () => {
  assert.equal(stages.length, 2);
  for (const stage of stages) assert.match(all(stage, "FROM")[0], /^debian:\d+-slim\b/);
  assert.match(all(serving, "USER")[0], /^[1-9]\d*:[1-9]\d*$/);
  assert.equal(all(serving, "HEALTHCHECK").length, 1);
  const user = all(serving, "USER")[0].split(":")[0];
  assert.ok(all(serving, "RUN")[0].includes(`install -d -o ${user} -g ${user} -m 700 ${all(serving, "VOLUME")[0]}`));
});

test("what is copied is there, and not ignored", () => {
  const ignored = readFileSync(path.join(deploy, "Dockerfile.dockerignore"), "utf8").split("\n");
  assert.ok(ignored.includes("*"));
  for (const copy of all(building, "COPY")) {
    const [source] = copy.split(" ");
    assert.ok(existsSync(path.join(root, source)), copy);
    assert.ok(ignored.includes(`!${source}`), copy);
  }
  assert.deepEqual(all(serving, "COPY"), ["--from=build /out/ /"]);
});

describe("what the steps build", () => {
  before(async () => {
    mkdirSync(src);
    for (const copy of all(building, "COPY")) {
      const [source, target] = copy.split(" ");
      cpSync(path.join(root, source), path.join(src, target === "./" ? source : target), { recursive: true });
    }
    const step = all(building, "RUN").find((line) => line.includes("install DESTDIR=/out")).replaceAll("/out", out);
    const { code, stdout, stderr } = await run("sh", ["-ec", step], { cwd: src, timeoutMs: 240000 });
    assert.equal(code, 0, stdout.slice(-1000) + stderr.slice(-3000));
  });

  test("is the layout of make install, without what compilers want", () => {
    const files = listing(out);
    for (const wanted of ["usr/local/bin/imagine ", "usr/local/bin/imagine-server ", "usr/local/lib/libimagine.so.0 -> ", "usr/local/share/imagine/web/index.html ", "usr/local/share/imagine/catalogue.json "]) assert.ok(files.some((file) => file.startsWith(wanted)), wanted);
    assert.deepEqual(files.filter((file) => /\.(h|a|pc|3|8) |include|systemd/.test(file)), []);
  });

  test("needs no library but those of the packages that are installed", async () => {
    const packages = /--no-install-recommends ([^&]*)/.exec(all(serving, "RUN")[0])[1].trim().split(/\s+/);
    const { stdout } = await run("readelf", ["-d", path.join(out, "usr/local/lib/libimagine.so.0"), path.join(out, "usr/local/bin/imagine-server"), path.join(out, "usr/local/bin/imagine")]);
    const needed = new Set([...stdout.matchAll(/NEEDED.*\[(.*)\]/g)].map((match) => match[1]));
    assert.ok(needed.size > 6, stdout);
    for (const library of needed) {
      if (/^(libimagine|libc|libm|libpthread|ld-linux)\b/.test(library)) continue;
      const owner = /^(\S+?)(:\S+)?: /.exec((await run("dpkg", ["-S", `*/${library}`])).stdout)?.[1];
      assert.ok(packages.includes(owner), `${library} of ${owner}: ${packages}`);
    }
  });

  test("serves as nobody, and is healthy until it ends", async () => {
    const isRoot = process.getuid() === 0;
    const id = all(serving, "USER")[0].split(":")[0];
    const state = path.join(image, "state");
    mkdirSync(state, { mode: 0o700 });
    if (isRoot) chownSync(state, Number(id), Number(id));
    const program = path.join(out, "usr/local/bin/imagine-server");
    const server = await startServer({
      program: isRoot ? "setpriv" : program,
      args: isRoot ? [`--reuid=${id}`, `--regid=${id}`, "--clear-groups", "--no-new-privs", program] : [],
      env: { STATE_FILE: null, STATE_DIRECTORY: state, HOST: "0.0.0.0" },
      cwd: state,
    });
    const check = async () => (await run("sh", ["-c", /CMD (.*)$/.exec(all(serving, "HEALTHCHECK")[0])[1]], { env: { PORT: String(server.port) } })).code;
    assert.equal(await check(), 0);
    assert.match((await server.get("/")).body.toString(), /<html/);
    assert.ok(existsSync(path.join(state, "imagine.db")), "its state");
    await server.stop();
    assert.notEqual(await check(), 0);
  });
});

test("compose.yaml: both services, one named in the other's settings", async () => {
  const { code, stdout, stderr } = await run("python3", ["-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"], { input: readFileSync(path.join(deploy, "compose.yaml")) });
  assert.equal(code, 0, stderr);
  const { services, volumes } = JSON.parse(stdout);
  assert.ok(existsSync(path.join(deploy, services.imagine.build.context, services.imagine.build.dockerfile)));
  assert.ok(Object.hasOwn(services, new URL(services.imagine.environment.REDIS_URL).hostname));
  assert.equal(services.imagine.depends_on.redis.condition, "service_healthy");
  assert.ok(services.redis.healthcheck.test.length > 1);
  for (const volume of services.redis.volumes) assert.ok(Object.hasOwn(volumes, volume.split(":")[0]), volume);
  const { PORT } = Object.fromEntries(all(serving, "ENV")[0].split(" ").map((pair) => pair.split("=")));
  for (const port of services.imagine.ports) assert.match(port, new RegExp(`^127\\.0\\.0\\.1:\\d+:${PORT}$`));
});
