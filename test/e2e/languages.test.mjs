// languages.test.mjs: the examples in other languages, each with its own tests against the stand-in.
import assert from "node:assert/strict";
import { copyFileSync, symlinkSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { build, root, run, scratch, startUpstream } from "../support/harness.mjs";
import { installPackages } from "../support/npm.mjs";

const NODE_MIN = 20;

let upstream;
before(async () => (upstream = await startUpstream()));
after(() => upstream?.stop());

const python = { IMAGINE_LIBRARY: path.join(build, "libimagine.so"), PYTHONPATH: path.join(root, "examples/python"), PYTHONDONTWRITEBYTECODE: "1" };

test("Python", async () => {
  const env = { ...upstream.settings, ...python, ALLOW_PRIVATE_HOSTS: "127.0.0.1" };
  const { code, stderr } = await run("python3", [path.join(root, "test/languages/test_python.py")], { env, timeoutMs: 120000 });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Ran \d+ tests/);
});

test("Lua", async () => {
  const folder = scratch(); // as the package libimagine0 has it: without the name that is for linkers
  symlinkSync(path.join(build, "libimagine.so"), path.join(folder, "libimagine.so.0"));
  const env = { ...upstream.settings, LD_LIBRARY_PATH: folder, LUA_PATH: path.join(root, "examples/lua/?.lua"), ALLOW_PRIVATE_HOSTS: "127.0.0.1" };
  const { code, stdout, stderr } = await run("luajit", [path.join(root, "test/languages/test_lua.lua")], { env, timeoutMs: 60000 });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^15 tests passed/);
});

const isNodeOld = Number(process.versions.node.split(".")[0]) < NODE_MIN;
const folder = isNodeOld ? undefined : await installPackages("koffi@3");

test("Node", { skip: folder ? false : isNodeOld ? `this is Node ${process.version}` : "npm cannot fetch koffi here" }, async () => {
  for (const file of ["examples/node/imagine.mjs", "test/languages/test_node.mjs"]) copyFileSync(path.join(root, file), path.join(folder, path.basename(file)));
  const env = { ...upstream.settings, IMAGINE_LIBRARY: path.join(build, "libimagine.so"), ALLOW_PRIVATE_HOSTS: "127.0.0.1" };
  const { code, stdout } = await run(process.execPath, ["--expose-gc", "test_node.mjs"], { cwd: folder, env, timeoutMs: 120000 });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^# pass 16$/m);
});
