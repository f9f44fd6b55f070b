// install.mjs: `make install` into a folder of one's own, for tests of what is installed.
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import path from "node:path";
import { build, root, run } from "./harness.mjs";

/** `make` in the repository, in the build folder that is tested. */
export async function make(...args) {
  const end = await run("make", ["--no-print-directory", `BUILD=${build}`, ...args], { cwd: root, timeoutMs: 240000 });
  assert.equal(end.code, 0, `make ${args.join(" ")}:\n${end.stdout.slice(-2000)}${end.stderr.slice(-2000)}`);
  return end;
}

/** Everything below a folder, sorted: "dir/", "file 0644 12", "link -> where". */
export function listing(folder, below = "") {
  return readdirSync(path.join(folder, below)).sort().flatMap((name) => {
    const where = path.join(below, name);
    const stat = lstatSync(path.join(folder, where));
    if (stat.isSymbolicLink()) return [`${where} -> ${readlinkSync(path.join(folder, where))}`];
    if (stat.isDirectory()) return [`${where}/`, ...listing(folder, where)];
    return [`${where} ${(stat.mode & 0o777).toString(8)} ${stat.size}`];
  });
}
