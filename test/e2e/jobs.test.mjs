// jobs.test.mjs: any action as a job of the real server: accepted, polled, waited for, given up, and
// found again after a restart and after kill -9.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, scratch, startServer, startUpstream } from "../support/harness.mjs";

let upstream;
const servers = [];
before(async () => (upstream = await startUpstream()));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const cat = { model: "gitee/z-image-turbo", prompt: "a cat", seed: 7 };
const slowCat = { model: "modelscope/flux-2", prompt: "a cat" };

async function start(env) {
  const server = await startServer({ env: { ...upstream.settings, STATE_FILE: path.join(scratch(), "state.db"), GITEE_TOKENS: "t1,t2", MODELSCOPE_TOKENS: "m1", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", POLL_INTERVAL_MS: "100", ...env } });
  servers.push(server);
  return server;
}
const begin = (server, body, prefer = "respond-async") => server.post("/api/v1/generate", body, { headers: { prefer } });
const statusOf = async (server, taskId) => (await server.get(`/api/v1/task-status?taskId=${taskId}`)).json;
const ended = (server, taskId) =>
  eventually("the job's end", async () => {
    const status = await statusOf(server, taskId);
    return status.status === "processing" ? undefined : status;
  });

test("a job is accepted at once, and its result found where Location says", async () => {
  const server = await start();
  await upstream.control({ latencyMs: 300 });
  const accepted = await begin(server, cat);
  assert.equal(accepted.status, 202);
  assert.deepEqual(Object.keys(accepted.json), ["taskId", "predict", "status"]);
  assert.equal(accepted.json.status, "processing");
  assert.equal(accepted.headers.location, `/api/v1/task-status?taskId=${accepted.json.taskId}`);
  assert.deepEqual(await statusOf(server, accepted.json.taskId), { status: "processing" });
  const result = await ended(server, accepted.json.taskId);
  assert.equal(result.status, "success");
  assert.match(result.url, /^http/);
  assert.equal(result.seed, 7);
  assert.equal(result.width, 2048);
  assert.deepEqual(await statusOf(server, accepted.json.taskId), result);
});

test("async in the body is the same, and a quick job may be waited for", async () => {
  const server = await start();
  assert.equal((await server.post("/api/v1/generate", { ...cat, async: true })).status, 202);
  const quick = await begin(server, cat, "respond-async, wait=20");
  assert.equal(quick.status, 200);
  assert.match(quick.json.url, /^http/);
});

test("n pictures, each by a call of its own", async () => {
  const server = await start();
  const answer = await server.post("/api/v1/generate", { ...cat, n: 3 });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.images.length, 3);
  assert.equal(answer.json.url, answer.json.images[0].url);
  const seeds = (await upstream.log("generations")).map((entry) => entry.json.seed);
  assert.deepEqual(seeds.sort(), [7, 8, 9]);
});

test("a job that is given up fails, and stays so", async () => {
  const server = await start();
  await upstream.control({ polls: 1000 });
  const { taskId } = (await begin(server, slowCat)).json;
  const gone = await server.request("DELETE", `/api/v1/task-status?taskId=${taskId}`);
  assert.equal(gone.status, 200);
  assert.deepEqual(gone.json, { status: "failed", error: "canceled" });
  const polls = (await upstream.log("/tasks/")).length;
  await pause(1500);
  assert.ok((await upstream.log("/tasks/")).length <= polls + 1, "nobody polls it any more");
  assert.equal((await statusOf(server, taskId)).status, "failed");
});

for (const signal of ["SIGTERM", "SIGKILL"])
  test(`a job is read on after ${signal}, with the token that made it`, async () => {
    const env = { STATE_FILE: path.join(scratch(), "state.db"), MODELSCOPE_TOKENS: "m1,m2", DRAIN_SECONDS: "1" };
    let server = await start(env);
    await upstream.control({ polls: 8 });
    const { taskId } = (await begin(server, slowCat)).json;
    await eventually("a poll", async () => (await upstream.log("/tasks/")).length > 0 || undefined);
    await pause(signal === "SIGKILL" ? 1000 : 0); // memory is ahead of the store by a moment
    servers.splice(servers.indexOf(server), 1);
    await server.stop(signal);
    server = await start(env);
    const result = await ended(server, taskId);
    assert.equal(result.status, "success", JSON.stringify(result));
    assert.match(result.url, /^http/);
    const log = await upstream.log("/v1/");
    assert.equal(log.filter((entry) => entry.method === "POST").length, 1, "asked for once");
    assert.equal(new Set(log.map((entry) => entry.token)).size, 1);
  });
