// copies.test.mjs: two copies of the library in one process, loaded and unloaded again and again.
import assert from "node:assert/strict";
import { copyFileSync, realpathSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { build, root, run, scratch } from "../support/harness.mjs";

const ROUNDS = "25";

test("two copies work side by side, and can be unloaded", async () => {
  const library = realpathSync(path.join(build, "libimagine.so"));
  const copy = path.join(scratch(), "libimagine-of-another-plugin.so");
  copyFileSync(library, copy);
  const program = path.join(scratch(), "copies");
  const compiled = await run("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I", path.join(root, "include"), "-o", program, path.join(root, "test/e2e/copies.c"), "-ldl"]);
  assert.equal(compiled.code, 0, compiled.stderr);
  const { code, stdout, stderr } = await run(program, [library, copy, ROUNDS], { timeoutMs: 60000 });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "1\n", "threads are left");
});
