// drain.test.mjs: how the server stops.
import assert from "node:assert/strict";
import net from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, startServer, startUpstream } from "../support/harness.mjs";

let upstream;
before(async () => (upstream = await startUpstream()));
after(() => upstream?.stop());
beforeEach(() => upstream.reset());

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
const start = (env) => startServer({ env: { ...upstream.settings, GITEE_TOKENS: "t1,t2", RATE_LIMIT: "0", ...env } });
const underWay = (count) => eventually("the provider is asked", async () => (await upstream.log("generations")).length >= count);

async function assertQuick(what, ms, work) {
  const began = performance.now();
  const result = await work();
  assert.ok(performance.now() - began < ms, `${what} took ${Math.round(performance.now() - began)} ms`);
  return result;
}

for (const signal of ["SIGTERM", "SIGINT"])
  test(`${signal} ends an idle server at once, with 0`, async () => {
    const server = await start({});
    await server.get("/api/health");
    await assertQuick("stopping", 3000, () => server.stop(signal));
  });

test("running requests finish, new ones find nobody, then it exits with 0", async () => {
  const server = await start({});
  await upstream.control({ latencyMs: 2000 });
  const running = [1, 2, 3].map(() => server.post("/api/v1/generate", cat));
  await underWay(3);
  server.kill("SIGTERM");
  await eventually("nobody listens any more", async () => (await server.get("/api/health")).exit === 7, { timeoutMs: 1500 });
  for (const answer of await Promise.all(running)) assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(await server.ended(), { code: 0, signal: null });
});

test("a connection that is kept is told to close, and one that is idle holds nothing up", async () => {
  const server = await start({});
  await upstream.control({ latencyMs: 1500 });
  const idle = net.connect(server.port, "127.0.0.1");
  await new Promise((resolve) => idle.on("connect", resolve));
  idle.on("error", () => {});
  idle.write("GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => idle.once("data", resolve));
  const running = server.post("/api/v1/generate", cat);
  await underWay(1);
  server.kill("SIGTERM");
  const answer = await running;
  assert.equal(answer.status, 200, answer.text);
  assert.equal((answer.headers.connection ?? "").toLowerCase(), "close");
  assert.deepEqual(await assertQuick("stopping", 3000, () => server.ended()), { code: 0, signal: null });
  idle.destroy();
});

test("a second signal ends it at once", async () => {
  const server = await start({});
  await upstream.control({ next: [{ do: "stall", match: { path: "generations" } }] });
  const running = server.post("/api/v1/generate", cat);
  await underWay(1);
  server.kill("SIGTERM");
  await pause(500);
  server.kill("SIGTERM");
  const end = await assertQuick("stopping", 2000, () => server.ended());
  assert.ok(end.code !== null || end.signal !== null);
  assert.equal((await running).status, 0, "the request was cut");
});

test("DRAIN_SECONDS is how long it waits", async () => {
  const server = await start({ DRAIN_SECONDS: "1" });
  await upstream.control({ next: [{ do: "stall", match: { path: "generations" } }] });
  const running = server.post("/api/v1/generate", cat);
  await underWay(1);
  const began = performance.now();
  server.kill("SIGTERM");
  await server.ended();
  const ms = performance.now() - began;
  assert.ok(ms > 700 && ms < 5000, `it ended after ${Math.round(ms)} ms`);
  assert.ok([0, 503].includes((await running).status));
});

test("a request that is still being written when the signal comes does not hold it up for ever", async () => {
  const server = await start({ DRAIN_SECONDS: "1" });
  const socket = net.connect(server.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("POST /api/v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  await pause(200);
  server.kill("SIGTERM");
  const end = await assertQuick("stopping", 5000, () => server.ended());
  assert.deepEqual(end, { code: 0, signal: null });
  socket.destroy();
});
