// limits.test.mjs: how often a caller may ask, and how much may be in flight.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { eventually, pause, scratch, startServer, startUpstream } from "../support/harness.mjs";

let upstream;
const servers = [];
async function serverWith(env) {
  const server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "good-1", ...env } });
  servers.push(server);
  return server;
}
before(async () => (upstream = await startUpstream()));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };

function assertLimit(answer, limit, remaining) {
  assert.equal(answer.headers["x-ratelimit-limit"], String(limit), answer.text);
  assert.equal(answer.headers["x-ratelimit-remaining"], String(remaining));
  const reset = Number(answer.headers["x-ratelimit-reset"]);
  assert.ok(reset > Date.now() - 1000 && reset < Date.now() + 61000, `reset ${reset}`);
}

function assertOver(answer, limit) {
  assert.equal(answer.status, 429, answer.text);
  assert.equal(answer.json.error, "Too Many Requests");
  assert.equal(typeof answer.json.message, "string");
  assertLimit(answer, limit, 0);
  const retry = Number(answer.headers["retry-after"]);
  assert.ok(Number.isInteger(retry) && retry >= 1 && retry <= 60, answer.headers["retry-after"]);
}

test("POSTs are counted down, refused ones and bad ones too, then answered 429", async () => {
  const server = await serverWith({ RATE_LIMIT: "4" });
  assertLimit(await server.post("/api/v1/generate", cat), 4, 3);
  assertLimit(await server.post("/api/v1/generate", { ...cat, steps: 0 }), 4, 2);
  assertLimit(await server.post("/api/v1/text", { model: "gitee/qwen-3", prompt: "x" }), 4, 1);
  assertLimit(await server.request("POST", "/api/v1/generate", { body: "x", headers: { "Content-Type": "text/plain" } }), 4, 0);
  assertOver(await server.post("/api/v1/generate", cat), 4);
  assertOver(await server.post("/api/v1/generate", cat), 4);
  assert.equal((await upstream.log("generations")).length, 1, "a refused request reached a provider");
});

test("status reads have a limit of their own, others have none", async () => {
  const server = await serverWith({ RATE_LIMIT: "1", RATE_LIMIT_STATUS: "2" });
  assertLimit(await server.get("/api/v1/task-status?taskId=x"), 2, 1);
  assertLimit(await server.get("/api/v1/task-status?taskId=x"), 2, 0);
  assertOver(await server.get("/api/v1/task-status?taskId=x"), 2);
  assertLimit(await server.post("/api/v1/generate", cat), 1, 0);
  for (let i = 0; i < 4; i++) {
    const answer = await server.get("/api/v1/models");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["x-ratelimit-limit"], undefined);
    assert.equal((await server.get("/api/health")).status, 200);
  }
});

test("0 switches a limit off", async () => {
  const server = await serverWith({ RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0" });
  for (let i = 0; i < 5; i++) {
    const answer = await server.get("/api/v1/task-status?taskId=x");
    assert.equal(answer.status, 404);
    assert.equal(answer.headers["x-ratelimit-limit"], undefined);
  }
});

test("each token is a caller", async () => {
  const server = await serverWith({ RATE_LIMIT_STATUS: "2", API_TOKEN: "user-1,user-2" });
  const ask = (token) => server.get("/api/v1/task-status?taskId=x", { token });
  assertLimit(await ask("user-1"), 2, 1);
  assertLimit(await ask("user-1"), 2, 0);
  assertOver(await ask("user-1"), 2);
  assertLimit(await ask("user-2"), 2, 1);
  assert.equal((await ask("nobody")).status, 401);
});

test("without tokens each address is a caller, as a trusted proxy tells it, and only then", async () => {
  const trusting = await serverWith({ RATE_LIMIT_STATUS: "1", TRUSTED_PROXIES: "loopback" });
  const ask = (server, headers) => server.get("/api/v1/task-status?taskId=x", { headers });
  assertLimit(await ask(trusting, { "X-Forwarded-For": "203.0.113.1" }), 1, 0);
  assertLimit(await ask(trusting, { "X-Forwarded-For": "203.0.113.2" }), 1, 0);
  assertOver(await ask(trusting, { "X-Forwarded-For": "203.0.113.1" }), 1);
  assertOver(await ask(trusting, { "X-Forwarded-For": "198.51.100.7, 203.0.113.2" }), 1);
  assertLimit(await ask(trusting, { "CF-Connecting-IP": "203.0.113.3" }), 1, 0);
  const wary = await serverWith({ RATE_LIMIT_STATUS: "1" });
  assertLimit(await ask(wary, { "X-Forwarded-For": "203.0.113.1" }), 1, 0);
  assertOver(await ask(wary, { "X-Forwarded-For": "203.0.113.2" }), 1);
});

test("MAX_IN_FLIGHT answers 503 while it is reached, and serves again afterwards", async () => {
  const server = await serverWith({ MAX_IN_FLIGHT: "2", RATE_LIMIT: "0" });
  await upstream.reset();
  await upstream.control({ latencyMs: 1500 });
  const running = [server.post("/api/v1/generate", cat), server.post("/api/v1/generate", cat)];
  await eventually("both are under way", async () => (await upstream.log("generations")).length === 2);
  const refused = await server.post("/api/v1/generate", cat);
  assert.equal(refused.status, 503, refused.text);
  assert.equal(refused.json.code, "IMAGINE_EBUSY");
  assert.ok(Number(refused.headers["retry-after"]) >= 1);
  assert.equal((await server.get("/api/health")).status, 200, "looking is no work");
  for (const answer of await Promise.all(running)) assert.equal(answer.status, 200, answer.text);
  await upstream.reset();
  assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
});

test("MAX_CONNECTIONS keeps the ones that are there alive", async () => {
  const server = await serverWith({ MAX_CONNECTIONS: "8" });
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 6 }, () => server.get("/api/health")));
    for (const answer of answers) assert.equal(answer.status, 200);
  }
});

// ---- two servers on one file ----

/** Windows that are shared are the wall clock's minutes: begins early enough in one. */
async function untilEarlyInAMinute() {
  const left = 60000 - (Date.now() % 60000);
  if (left < 10000) await pause(left + 50);
}

async function twoOnOneFile(env, file = path.join(scratch(), "state.db")) {
  return [await serverWith({ STATE_FILE: file, ...env }), await serverWith({ STATE_FILE: file, ...env })];
}

test("two servers on one file keep to one limit exactly", async () => {
  const [a, b] = await twoOnOneFile({ RATE_LIMIT: "25", RATE_LIMIT_STATUS: "3" });
  await untilEarlyInAMinute();
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).post("/api/v1/generate", cat)));
  const good = answers.filter(({ status }) => status === 200);
  assert.equal(good.length, 25, answers.map(({ status }) => status).join(" "));
  const remaining = good.map(({ headers }) => Number(headers["x-ratelimit-remaining"])).sort((x, y) => x - y);
  assert.deepEqual(remaining, Array.from({ length: 25 }, (_, i) => i), "each call has a place of its own");
  const resets = new Set(answers.map(({ headers }) => headers["x-ratelimit-reset"]));
  assert.equal(resets.size, 1, "they do not agree on the window's end");
  assert.equal(Number([...resets][0]) % 60000, 0);
  for (const answer of answers) if (answer.status !== 200) assertOver(answer, 25);
  assertLimit(await a.get("/api/v1/task-status?taskId=x"), 3, 2);
  assertLimit(await b.get("/api/v1/task-status?taskId=x"), 3, 1);
  assert.doesNotMatch(a.log + b.log, /limit\.alone|store\.failed/);
});

test("two servers on one file tell the sum of what their tokens served, also after a restart", async () => {
  const file = path.join(scratch(), "state.db");
  const [a, b] = await twoOnOneFile({ RATE_LIMIT: "0" }, file);
  const servedBy = async (server) => (await server.get("/api/v1/token-stats/all?details=1")).json.gitee.tokens[0].served;
  await upstream.reset();
  for (let i = 0; i < 3; i++) assert.equal((await a.post("/api/v1/generate", cat)).status, 200);
  for (let i = 0; i < 2; i++) assert.equal((await b.post("/api/v1/generate", cat)).status, 200);
  for (const server of [a, b]) await eventually("it tells the sum", async () => (await servedBy(server)) === 5, { timeoutMs: 8000 });
  assert.equal((await b.post("/api/v1/generate", cat)).status, 200);
  servers.splice(servers.indexOf(b), 1);
  await b.stop("SIGTERM");
  await eventually("it hears of the last one", async () => (await servedBy(a)) === 6, { timeoutMs: 8000 });
  const later = await serverWith({ STATE_FILE: file, RATE_LIMIT: "0" });
  await eventually("the next life knows", async () => (await servedBy(later)) === 6, { timeoutMs: 8000 });
});
