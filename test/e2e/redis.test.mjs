// redis.test.mjs: a Redis that is away, stands still, forgets, is full or may only be read hurts no
// request.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, root, startServer, startUpstream } from "../support/harness.mjs";
import { startRedis } from "../support/redis.mjs";

const WAIT_MAX_MS = 250;
const SLACK_MS = 250; // of curl and of a busy machine
const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };

let upstream;
const stops = [];
const stopped = (thing) => (stops.push(() => thing.stop()), thing);
before(async () => (upstream = stopped(await startUpstream())));
after(async () => {
  for (const stop of stops.reverse()) await stop();
});
beforeEach(() => upstream.reset());

async function start(url, env) {
  const server = await startServer({ env: { ...upstream.settings, REDIS_URL: url, GITEE_TOKENS: "gitee-one,gitee-two", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", DRAIN_SECONDS: "1", ...env } });
  const stop = () => server.stop();
  stops.push(stop);
  server.die = async () => {
    stops.splice(stops.indexOf(stop), 1);
    await server.stop("SIGKILL");
  };
  return server;
}
const generate = async (server) => assert.equal((await server.post("/api/v1/generate", cat)).status, 200);
const exhausted = async (server) => (await server.get("/api/v1/token-stats?provider=gitee")).json.exhausted;
/** gitee-one is used up, and this server has found out. */
async function learn(server) {
  await upstream.control({ tokens: { "gitee-one": { state: "exhausted", shape: "429" } } });
  for (let i = 0; i < 2; i++) await generate(server);
  assert.equal(await exhausted(server), 1);
}
const marks = async (redis) => ((await redis.ask("KEYS", "live/token/*")).match(/^live\//gm) ?? []).length;
const said = (server, event) => server.log.split("\n").filter((line) => line.includes(event)).length;

test("a Redis that is away at the start is said once, and learns everything when it comes", async () => {
  const redis = stopped(await startRedis());
  await redis.kill();
  const server = await start(redis.url);
  await learn(server);
  await pause(1000);
  assert.equal(said(server, "store.lost"), 1, server.log);
  await redis.start();
  await eventually("the mark is in the store", async () => (await marks(redis)) > 0, { timeoutMs: 20000 });
  const other = await start(redis.url);
  await generate(other);
  assert.equal(await exhausted(other), 1);
});

test("a Redis that stands still in the middle holds nobody up", async () => {
  const redis = stopped(await startRedis()), server = await start(redis.url);
  await generate(server);
  redis.pause();
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    await generate(server);
    const tookMs = performance.now() - began;
    assert.ok(tookMs < WAIT_MAX_MS + SLACK_MS, `request ${i} took ${tookMs} ms`);
  }
  redis.resume();
});

test("a Redis that was killed and comes back empty is told what everybody knows", async () => {
  const redis = stopped(await startRedis()), a = await start(redis.url), b = await start(redis.url);
  await learn(a);
  await eventually("the mark is in the store", async () => (await marks(redis)) > 0);
  await redis.kill();
  for (let i = 0; i < 4; i++) await generate(i % 2 ? a : b);
  await redis.start();
  await eventually("the mark is in the store again", async () => (await marks(redis)) > 0, { timeoutMs: 10000 });
  for (let i = 0; i < 4; i++) await generate(i % 2 ? a : b);
  assert.equal(await exhausted(a), 1);
  const c = await start(redis.url); // one that knows nothing by itself
  await eventually("the mark is known to a new one", async () => (await exhausted(c)) === 1);
  await upstream.control({ tokens: { "gitee-two": { state: "exhausted", shape: "429" } } });
  await a.post("/api/v1/generate", cat);
  await eventually("what is learned now is in the store", async () => (await marks(redis)) > 0, { timeoutMs: 20000 });
  await eventually("and with the other one", async () => (await exhausted(b)) === 2, { timeoutMs: 10000 });
});

test("a Redis that keeps its data on disk has all of it after kill -9", async () => {
  const redis = stopped(await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] })), a = await start(redis.url);
  await learn(a);
  await eventually("the mark is in the store", async () => (await marks(redis)) > 0);
  await a.die();
  await redis.kill();
  await redis.start();
  const b = await start(redis.url);
  await generate(b);
  assert.equal(await exhausted(b), 1);
});

test("three servers that die in turn under load exceed no limit and forget no mark", async () => {
  const limit = 40, redis = stopped(await startRedis()), env = { RATE_LIMIT: String(limit), MODELSCOPE_TOKENS: "scope-one" };
  let servers = [await start(redis.url, env), await start(redis.url, env), await start(redis.url, env)];
  await upstream.control({ tokens: { "gitee-one": { state: "exhausted", shape: "429" } } });
  const left = 60000 - (Date.now() % 60000); // a window is a minute of the wall clock
  if (left < 25000) await pause(left + 50);
  const minute = Math.floor(Date.now() / 60000);
  let good = 0, sent = 0;
  for (let round = 0; round < 4; round++) {
    const load = Promise.all(
      Array.from({ length: 18 }, async (_, i) => {
        await pause(i * 30);
        sent++;
        const answer = await servers[i % servers.length].post("/api/v1/generate", cat);
        if (answer.status === 200) good++;
        else assert.ok([0, 429].includes(answer.status), answer.text); // 0: its server was killed
      }),
    );
    if (round < 3) {
      await pause(250);
      await servers[0].die();
    }
    await load;
    if (round < 3) servers = [...servers.slice(1), await start(redis.url, env)];
  }
  assert.equal(Math.floor(Date.now() / 60000), minute, "this machine is too slow: two windows");
  assert.ok(sent > limit && good <= limit, `${good} of ${sent} were let through`);
  assert.ok(good > 0.7 * limit, `only ${good}: who was killed had counted, but no more than a few`);
  for (const server of servers) await eventually("every one knows the mark", async () => (await exhausted(server)) === 1);
});

for (const [name, words] of [["full", ["CONFIG", "SET", "maxmemory", "1"]], ["read-only", ["REPLICAOF", "127.0.0.1", "1"]]])
  test(`a Redis that is ${name} is said once a minute, not once a request`, async () => {
    const redis = stopped(await startRedis());
    await redis.ask(...words);
    const server = await start(redis.url);
    await learn(server);
    for (let i = 0; i < 20; i++) {
      await generate(server);
      await pause(100);
    }
    for (const event of ["store.lost", "store.failed", "store.back"])
      assert.ok(said(server, event) <= 1, `${event}: ${said(server, event)} times\n${server.log}`);
    assert.ok(said(server, "store.lost") + said(server, "store.failed") >= 1, server.log);
  });

test("a user who may no more than README.md says is enough", async () => {
  const redis = stopped(await startRedis());
  const rules = /`ACL SETUSER imagine on >password ([^`]+)`/.exec(readFileSync(path.join(root, "README.md"), "utf8"))[1];
  await redis.ask("ACL", "SETUSER", "imagine", "on", ">p@ss:w/rd", ...rules.split(/\s+/));
  const url = `redis://imagine:${encodeURIComponent("p@ss:w/rd")}@127.0.0.1:${redis.port}/2`, env = { RATE_LIMIT: "1000" };
  const a = await start(url, env), b = await start(url, env);
  await learn(a);
  await eventually("the other one knows", async () => (await exhausted(b)) === 1);
  assert.equal(await redis.ask("ACL", "LOG"), "*0\r\n", "something was refused");
  for (const server of [a, b]) {
    assert.ok(!/store\.(lost|deaf|failed)|limit\.alone/.test(server.log), server.log);
    assert.ok(!server.log.includes("p@ss"), "the password is in the log");
  }
});

test("a user without a channel knows what others mark within a second, and the log says why not at once", async () => {
  const redis = stopped(await startRedis());
  await redis.ask("ACL", "SETUSER", "imagine", "on", ">pass", "~*", "+@all");
  const url = `redis://imagine:pass@127.0.0.1:${redis.port}`, a = await start(url), b = await start(url);
  await learn(a);
  await eventually("the other one knows", async () => (await exhausted(b)) === 1);
  assert.equal(said(b, "store.deaf"), 1, b.log);
});
