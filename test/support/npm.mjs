// npm.mjs: packages of others that judge what ours does. They are fetched when a test asks for them,
// into a folder that goes with it; where npm cannot fetch them there is no judge, and that is all.
import { createRequire } from "node:module";
import path from "node:path";
import { run, scratch } from "./harness.mjs";

const FETCH_MS = 60000;

/** A folder whose node_modules has these packages ("name" or "name@version"); undefined where npm
 * cannot fetch them. */
export async function installPackages(...packages) {
  const folder = scratch();
  const args = ["install", "--silent", "--no-audit", "--no-fund", "--fetch-retries=0", "--prefix", folder, ...packages];
  const end = await run("npm", args, { cwd: folder, env: { ...process.env }, timeoutMs: FETCH_MS }).catch(() => ({ code: 1 }));
  return end.code === 0 ? folder : undefined;
}

/** A `require` that finds these packages; undefined where npm cannot fetch them. */
export async function fetchPackages(...packages) {
  const folder = await installPackages(...packages);
  return folder && createRequire(path.join(folder, "index.js"));
}
