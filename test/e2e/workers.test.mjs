// workers.test.mjs: one server with three loops. Every request of the harness is a connection of its
// own, which the kernel gives to one of them: what holds for any dozen of them holds for all.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, scratch, startServer, startUpstream } from "../support/harness.mjs";
import { startReceiver } from "../support/receiver.mjs";

const WORKERS = 3;
const MANY = 18; // all at one of three: 3 in a billion
let upstream;
const stops = [];
before(async () => (upstream = await startUpstream()));
after(async () => {
  for (const stop of stops.reverse()) await stop();
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
const slowCat = { model: "modelscope/flux-2", prompt: "a cat" };

async function start(env) {
  const server = await startServer({ env: { ...upstream.settings, WORKERS: String(WORKERS), GITEE_TOKENS: "t1,t2", MODELSCOPE_TOKENS: "m1", ALLOW_PRIVATE_HOSTS: "127.0.0.1", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", POLL_INTERVAL_MS: "100", DRAIN_SECONDS: "5", ...env } });
  const stop = () => server.stop();
  stops.push(stop);
  server.die = async () => {
    stops.splice(stops.indexOf(stop), 1);
    await server.stop("SIGKILL");
  };
  return server;
}
const many = (count, ask) => Promise.all(Array.from({ length: count }, (_, i) => ask(i)));
const begin = async (server, body) => (await server.post("/api/v1/generate", body, { headers: { prefer: "respond-async" } })).json;
const statusOf = async (server, taskId) => (await server.get(`/api/v1/task-status?taskId=${taskId}`)).json;
const ended = (server, taskId) =>
  eventually("the job's end", async () => {
    const status = await statusOf(server, taskId);
    return status.status === "processing" ? undefined : status;
  }, { timeoutMs: 20000, everyMs: 100 });
const answered = (text) => Number(/^imagine_http_requests_total\{route="generate",status="2xx"\} (\d+)$/m.exec(text)?.[1]);

test("three threads answer, and count as one server", async () => {
  const server = await start();
  const alone = await start({ WORKERS: "1" });
  const threads = ({ pid }) => readdirSync(`/proc/${pid}/task`).length;
  assert.ok(threads(server) >= threads(alone) + WORKERS - 1, `${threads(server)} and ${threads(alone)} threads`);
  const answers = await many(MANY, () => server.post("/api/v1/generate", cat));
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  await pause(100);
  for (let i = 0; i < 6; i++) {
    const { text } = await server.get("/metrics");
    assert.equal(answered(text), MANY, text);
  }
});

test("a limit is one limit", async () => {
  const server = await start({ RATE_LIMIT: "5" });
  const answers = await many(MANY, () => server.post("/api/v1/generate", cat));
  assert.equal(answers.filter((answer) => answer.status === 200).length, 5);
  assert.equal(answers.filter((answer) => answer.status === 429).length, MANY - 5);
});

test("MAX_IN_FLIGHT is one limit", async () => {
  const server = await start({ MAX_IN_FLIGHT: "4" });
  await upstream.control({ latencyMs: 1500 });
  const answers = await many(MANY, () => server.post("/api/v1/generate", cat));
  assert.equal(answers.filter((answer) => answer.status === 200).length, 4);
  assert.ok(answers.every((answer) => [200, 503].includes(answer.status)), answers.map((answer) => answer.status).join());
});

test("what one loop learns of a token, all know", async () => {
  const server = await start();
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" } } });
  for (let i = 0; i < 2; i++) assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
  await pause(200);
  await upstream.reset();
  for (const answer of await many(MANY, () => server.post("/api/v1/generate", cat))) assert.equal(answer.status, 200);
  assert.deepEqual([...new Set((await upstream.log("generations")).map((entry) => entry.token))], ["t2"]);
  const stats = await many(MANY, () => server.get("/api/v1/token-stats?provider=gitee"));
  for (const { json } of stats) assert.equal(json.exhausted, 1);
});

test("a job is read by one, and answered and canceled by whoever is asked", async () => {
  const server = await start();
  await upstream.control({ polls: 4 });
  const { taskId } = await begin(server, slowCat);
  const result = await ended(server, taskId);
  assert.equal(result.status, "success", JSON.stringify(result));
  for (const status of await many(MANY, () => statusOf(server, taskId))) assert.deepEqual(status, result);
  const log = await upstream.log("/v1/");
  assert.equal(log.filter((entry) => entry.method === "POST").length, 1);
  await upstream.control({ polls: 1000 });
  const jobs = await many(6, () => begin(server, slowCat));
  await pause(300);
  const gone = await many(6, (i) => server.request("DELETE", `/api/v1/task-status?taskId=${jobs[i].taskId}`));
  for (const { json } of gone) assert.deepEqual(json, { status: "failed", error: "canceled" });
  await pause(2000);
  const polls = (await upstream.log("/tasks/")).length;
  await pause(500);
  assert.equal((await upstream.log("/tasks/")).length, polls, "nobody reads them any more");
});

test("a signal lets all of them finish", async () => {
  const server = await start();
  await upstream.control({ latencyMs: 1500 });
  const running = many(MANY, () => server.post("/api/v1/generate", cat));
  await eventually("the provider is asked", async () => (await upstream.log("generations")).length >= MANY);
  server.kill("SIGTERM");
  for (const answer of await running) assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(await server.ended(), { code: 0, signal: null });
});

test("a second signal ends all of them at once", async () => {
  const server = await start();
  await upstream.control({ latencyMs: 20000 });
  const running = many(6, () => server.post("/api/v1/generate", cat, { args: ["--max-time", "10"] }));
  await eventually("the provider is asked", async () => (await upstream.log("generations")).length >= 6);
  server.kill("SIGTERM");
  await pause(300);
  const began = performance.now();
  server.kill("SIGTERM");
  const end = await server.ended();
  assert.ok(performance.now() - began < 2000);
  assert.deepEqual(end, { code: 128 + 15, signal: null });
  stops.pop();
  await running;
});

test("after kill -9 the next life finishes what all of them had begun", async () => {
  const receiver = await startReceiver({ secret: "signing-secret" });
  stops.push(() => receiver.stop());
  const env = { STATE_FILE: path.join(scratch(), "state.db"), WEBHOOK_SECRET: "signing-secret" };
  const first = await start(env);
  await upstream.control({ polls: 10 });
  const jobs = await many(9, (i) => begin(first, { ...slowCat, prompt: `cat ${i}`, webhookUrl: receiver.url("/done") }));
  await pause(1000);
  await first.die();
  const second = await start(env);
  for (const { taskId } of jobs) assert.equal((await ended(second, taskId)).status, "success");
  assert.equal((await upstream.log("/v1/")).filter((entry) => entry.method === "POST").length, jobs.length, "none was paid for twice");
  await eventually("every webhook", () => new Set(receiver.posts.map((post) => post.json.taskId)).size === jobs.length || undefined, { timeoutMs: 20000 });
});

test("a port that is taken is said, and WORKERS=0 is one loop for each core", async () => {
  const server = await start({ WORKERS: "0" });
  assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
  await assert.rejects(startServer({ env: { ...upstream.settings, WORKERS: "2", PORT: String(server.port) } }), /address already in use/);
});
