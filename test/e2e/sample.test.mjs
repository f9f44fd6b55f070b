// sample.test.mjs: the way in without any account: the README's own lines, and pictures drawn here.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { eventually, root, run, scratch, startServer } from "../support/harness.mjs";
import { pngOfUrl, readPng } from "../support/png.mjs";

let server;
const servers = [];
async function serverWith(env) {
  const one = await startServer({ env: { RATE_LIMIT: "0", ...env } });
  servers.push(one);
  return one;
}
before(async () => (server = await serverWith({})));
after(() => Promise.all(servers.map((each) => each.stop())));

const generate = (json) => server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a quiet sea", ...json });

test("the README's curl line makes a picture", async () => {
  const readme = readFileSync(path.join(root, "README.md"), "utf8");
  const line = /```sh\n(curl -s http:\/\/127\.0\.0\.1:3000\/api\/v1\/generate[^`]*> picture\.png)\n```/.exec(readme)?.[1];
  assert.ok(line, "the README has no such line any more");
  const cwd = scratch();
  const result = await run("bash", ["-euo", "pipefail", "-c", line.replace("http://127.0.0.1:3000", server.origin)], { cwd });
  assert.equal(result.code, 0, result.stderr);
  const { width, height } = readPng(readFileSync(path.join(cwd, "picture.png")));
  assert.ok(width > height && Math.abs(width / height - 16 / 9) < 0.05, `${width}x${height}`);
});

test("the line that the server prints at its start makes a picture", async () => {
  for (const env of [{}, { API_TOKEN: "user-token", SAMPLE_PROVIDER: "on" }, { MEDIA_DIR: scratch() }]) {
    const greeting = await serverWith(env);
    const line = await eventually("the line", () => /^ *(curl .*picture\.png)$/m.exec(greeting.log)?.[1]);
    const cwd = scratch();
    const result = await run("bash", ["-euo", "pipefail", "-c", line], { cwd, env });
    assert.equal(result.code, 0, result.stderr);
    readPng(readFileSync(path.join(cwd, "picture.png")));
  }
});

test("the answer says what was used, and that it is base64", async () => {
  const answer = await generate({ seed: 11, width: 320, height: 200 });
  assert.equal(answer.status, 200, answer.text);
  const { url, ...others } = answer.json;
  assert.equal(others.type, "base64");
  assert.equal(others.width, 320);
  assert.equal(others.height, 200);
  assert.equal(others.seed, 11);
  const picture = readPng(pngOfUrl(url));
  assert.deepEqual([picture.width, picture.height], [320, 200]);
});

test("the same prompt and seed make the same picture, anything else another", async () => {
  const size = { width: 256, height: 256 };
  const [a, b, otherSeed, otherPrompt] = (await Promise.all([generate({ ...size, seed: 1 }), generate({ ...size, seed: 1 }), generate({ ...size, seed: 2 }), generate({ ...size, seed: 1, prompt: "a loud sea" })])).map((answer) => answer.json.url);
  assert.equal(a, b);
  assert.notEqual(a, otherSeed);
  assert.notEqual(a, otherPrompt);
});

test("a picture is no single colour", async () => {
  const { rows } = readPng(pngOfUrl((await generate({ width: 256, height: 256, seed: 3 })).json.url));
  assert.ok(rows.length > 1000 && new Set(rows).size > 32);
});

for (const [ar, ratio] of [["1:1", 1], ["16:9", 16 / 9], ["9:16", 9 / 16], ["4:3", 4 / 3], ["3:2", 1.5], ["2:3", 2 / 3], ["7:5", 1]])
  test(`ar ${ar}`, async () => {
    const answer = await generate({ ar });
    const { width, height } = readPng(pngOfUrl(answer.json.url));
    assert.deepEqual([width, height], [answer.json.width, answer.json.height]);
    assert.ok(Math.abs(width / height - ratio) < 0.02, `${width}x${height}`);
  });

test("every listed sample model draws, and they differ", async () => {
  const models = (await server.get("/api/v1/models")).json.filter((model) => model.id.startsWith("sample/"));
  assert.ok(models.length >= 1);
  const urls = [];
  for (const model of models) {
    assert.ok(model.type.includes("text2image"), model.id);
    const answer = await generate({ model: model.id, width: 192, height: 192, seed: 4 });
    assert.equal(answer.status, 200, answer.text);
    readPng(pngOfUrl(answer.json.url));
    urls.push(answer.json.url);
  }
  assert.equal(new Set(urls).size, models.length);
});

test("other requests are answered while pictures are drawn", async () => {
  const drawings = Array.from({ length: 4 }, (_, i) => generate({ seed: i, width: 1536, height: 1536 }));
  let slowest = 0;
  let isDone = false;
  const all = Promise.all(drawings).then((answers) => {
    isDone = true;
    for (const answer of answers) assert.equal(answer.status, 200);
  });
  while (!isDone) {
    const began = performance.now();
    await (await fetch(`${server.origin}/api/health`)).text();
    slowest = Math.max(slowest, performance.now() - began);
  }
  await all;
  assert.ok(slowest < 700, `health took ${Math.round(slowest)} ms`);
});

test("auto: the sample is there, and last, while no provider has a token; on and off say so", async () => {
  const ids = async (one) => (await one.get("/api/v1/models")).json.map((model) => model.id);
  const isSample = (id) => id.startsWith("sample/");
  const auto = await ids(server);
  assert.ok(isSample(auto.at(-1)));
  assert.ok(!isSample(auto[0]), "needing no token, Hugging Face comes first");
  assert.ok(!(await ids(await serverWith({ GITEE_TOKENS: "t" }))).some(isSample));
  assert.ok((await ids(await serverWith({ GITEE_TOKENS: "t", SAMPLE_PROVIDER: "on" }))).some(isSample));
  const off = await serverWith({ SAMPLE_PROVIDER: "off" });
  assert.ok(!(await ids(off)).some(isSample));
  assert.equal((await off.post("/api/v1/generate", { model: "sample/nebula", prompt: "x" })).status, 400);
});
