// state.test.mjs: what is remembered across restarts, also after kill -9 in the middle.
import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, scratch, serverProgram, startServer, startUpstream, tinyPngUrl } from "../support/harness.mjs";

let upstream;
const servers = [];
before(async () => (upstream = await startUpstream()));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
const film = { model: "gitee/wan2.2-i2v", prompt: "it walks", imageUrl: tinyPngUrl };

async function start(stateFile, env) {
  const server = await startServer({ env: { ...upstream.settings, STATE_FILE: stateFile, GITEE_TOKENS: "t1,t2", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", ...env } });
  servers.push(server);
  return server;
}
/** Ends a server for good: it is not stopped once more at the end. */
async function end(server, signal) {
  servers.splice(servers.indexOf(server), 1);
  await server.stop(signal);
}
const statsOf = async (server) => (await server.get("/api/v1/token-stats?provider=gitee")).json;
const statusOf = async (server, taskId) => (await server.get(`/api/v1/task-status?taskId=${taskId}`)).json;
const stateFile = () => path.join(scratch(), "deep", "er", "state.db");

for (const signal of ["SIGTERM", "SIGKILL"])
  test(`exhausted and bad tokens are remembered over ${signal}`, async () => {
    const file = stateFile();
    let server = await start(file, { GITEE_TOKENS: "t1,t2,t3" });
    await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" }, t2: { state: "invalid" } } });
    for (let i = 0; i < 3; i++) assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
    const before = await statsOf(server);
    assert.deepEqual(before, { total: 3, exhausted: 1, active: 1, cooling: 0, invalid: 1 });
    await pause(signal === "SIGKILL" ? 1000 : 0); // memory is ahead of the store by a moment
    await end(server, signal);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(path.dirname(file)).mode & 0o777, 0o700);
    await upstream.reset();
    server = await start(file, { GITEE_TOKENS: "t1,t2,t3" });
    assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
    assert.equal((await statsOf(server)).exhausted, 1);
    for (let i = 0; i < 3; i++) await server.post("/api/v1/generate", cat);
    const sent = (await upstream.log("generations")).map((entry) => entry.token);
    assert.ok(!sent.includes("t1"), `the exhausted one was asked: ${sent}`);
  });

test("a reset is remembered too", async () => {
  const file = stateFile();
  let server = await start(file);
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "402" }, t2: { state: "exhausted", shape: "402" } } });
  assert.equal((await server.post("/api/v1/generate", cat)).status, 429);
  await upstream.reset();
  assert.equal((await server.post("/api/v1/token-reset", { provider: "gitee" })).status, 200);
  await end(server, "SIGTERM");
  server = await start(file);
  assert.equal((await statsOf(server)).active, 2);
  assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
});

for (const signal of ["SIGTERM", "SIGKILL"])
  test(`a task that runs goes on after ${signal}, with the token that began it`, async () => {
    const file = stateFile();
    await upstream.control({ polls: 12 });
    let server = await start(file);
    const { taskId } = (await server.post("/api/v1/video", film)).json;
    const token = (await upstream.log("image-to-video"))[0].token;
    await eventually("it was polled", async () => (await upstream.log("/task/")).length >= 1);
    await pause(signal === "SIGKILL" ? 1000 : 0);
    await end(server, signal);
    server = await start(file);
    assert.equal((await statusOf(server, taskId)).status, "processing");
    const done = await eventually("it ends", async () => {
      const answer = await statusOf(server, taskId);
      return answer.status !== "processing" && answer;
    }, { timeoutMs: 20000, everyMs: 200 });
    assert.equal(done.status, "success", JSON.stringify(done));
    assert.match(done.url, /video\.mp4$/);
    for (const poll of await upstream.log("/task/")) assert.equal(poll.token, token);
    assert.equal((await upstream.log("image-to-video")).length, 1, "it was paid for twice");
  });

test("what became of a task is still told after a restart", async () => {
  const file = stateFile();
  await upstream.control({ polls: 0 });
  let server = await start(file);
  const { taskId } = (await server.post("/api/v1/video", film)).json;
  const first = await eventually("it ends", async () => {
    const answer = await statusOf(server, taskId);
    return answer.status === "success" && answer;
  });
  await end(server, "SIGTERM");
  server = await start(file);
  assert.deepEqual(await statusOf(server, taskId), first);
  assert.equal((await server.get("/api/v1/task-status?taskId=0123456789abcdef0123456789abcdef")).status, 404);
});

test("kill -9 in the middle of work, again and again: the file stays good", async () => {
  const file = stateFile();
  for (let round = 0; round < 5; round++) {
    await upstream.reset();
    await upstream.control({ tokens: { [`t${round}`]: { state: "exhausted", shape: "429" } } });
    const server = await start(file, { GITEE_TOKENS: "t0,t1,t2,t3,t4,t5" });
    const running = Array.from({ length: 10 }, () => fetch(`${server.origin}/api/v1/generate`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(cat) }).then((answer) => answer.status, () => 0));
    await pause(30 + 60 * round);
    await end(server, "SIGKILL");
    await Promise.all(running);
  }
  const server = await start(file, { GITEE_TOKENS: "t0,t1,t2,t3,t4,t5" });
  await upstream.reset();
  assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
  assert.doesNotMatch(server.log, /store\.failed|corrupt|malformed/);
});

test("a file that is no database is left as it is, said, and slows nothing", async () => {
  const file = path.join(scratch(), "state.db");
  writeFileSync(file, "this is somebody else's file, and longer than a header of a database would be. ".repeat(20));
  const size = statSync(file).size;
  const server = await start(file);
  for (let i = 0; i < 3; i++) assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
  await eventually("the log says so", () => /store/.test(server.log));
  assert.equal(statSync(file).size, size);
});

test("a place that cannot be written slows nothing", async () => {
  const server = await start("/proc/nowhere/state.db");
  for (let i = 0; i < 3; i++) assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
  await eventually("the log says so", () => /store/.test(server.log));
});

test("a file that may not grow any more slows nothing", async () => {
  const cwd = scratch(), file = path.join(cwd, "state.db"), program = path.join(cwd, "limited");
  writeFileSync(program, `#!/bin/sh\nulimit -f 60\nexec '${serverProgram}' "$@"\n`, { mode: 0o755 });
  const server = await startServer({ cwd, program, env: { ...upstream.settings, STATE_FILE: file, GITEE_TOKENS: "t1,t2", RATE_LIMIT: "0" } });
  servers.push(server);
  await eventually("the log says it", async () => {
    assert.equal((await server.post("/api/v1/generate", { ...cat, prompt: "p".repeat(3000) }, { headers: { prefer: "respond-async" } })).status, 202);
    return server.log.includes("store.failed");
  });
  assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
});

test("two servers share one file", async () => {
  const file = stateFile();
  const [a, b] = [await start(file), await start(file)];
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" } } });
  for (let i = 0; i < 2; i++) assert.equal((await a.post("/api/v1/generate", cat)).status, 200);
  for (let i = 0; i < 4; i++) assert.equal((await b.post("/api/v1/generate", cat)).status, 200);
  assert.doesNotMatch(a.log + b.log, /store\.failed|locked|busy/);
});

test(":memory: writes no file", async () => {
  const server = await start(":memory:");
  await server.post("/api/v1/generate", cat);
  assert.ok(!existsSync(path.join(server.cwd, ":memory:")));
  assert.ok(!existsSync(path.join(server.cwd, ".local")));
});
