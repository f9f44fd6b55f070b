// shared.test.mjs: several servers on one storage are one: what one learns the others know, each
// job is worked on by one of them and answered by all, and what a dead one leaves another takes on.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, startServer, startUpstream } from "../support/harness.mjs";
import { startReceiver } from "../support/receiver.mjs";
import { storages } from "../support/storages.mjs";

const SECRETS = ["gitee-one", "gitee-two", "scope-one", "seal-key", "signing-secret"];
const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
const slowCat = { model: "modelscope/flux-2", prompt: "a cat" };

let upstream;
const stops = [];
const stopped = (thing) => (stops.push(() => thing.stop()), thing);
before(async () => (upstream = stopped(await startUpstream())));
after(async () => {
  for (const stop of stops.reverse()) await stop();
});
beforeEach(() => upstream.reset());

async function start(world, env) {
  const server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "gitee-one,gitee-two", MODELSCOPE_TOKENS: "scope-one", ENCRYPTION_KEY: "seal-key", WEBHOOK_SECRET: "signing-secret", ALLOW_PRIVATE_HOSTS: "127.0.0.1", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", POLL_INTERVAL_MS: "200", DRAIN_SECONDS: "1", ...world.settings, ...env } });
  const stop = () => server.stop();
  stops.push(stop);
  /** Ends it for good, in the middle of its work. */
  server.die = async () => {
    stops.splice(stops.indexOf(stop), 1);
    await server.stop("SIGKILL");
  };
  return server;
}
const begin = async (server, body) => (await server.post("/api/v1/generate", body, { headers: { prefer: "respond-async" } })).json;
const statusOf = async (server, taskId) => (await server.get(`/api/v1/task-status?taskId=${taskId}`)).json;
const ended = (server, taskId, timeoutMs = 20000) =>
  eventually("the job's end", async () => {
    const status = await statusOf(server, taskId);
    return status.status === "processing" ? undefined : status;
  }, { timeoutMs, everyMs: 100 });
const statsOf = async (server) => (await server.get("/api/v1/token-stats?provider=gitee")).json;

for (const name of ["sqlite", "redis", "upstash"]) { // Workers KV has no atomic step: one server only
  const open = () => storages[name](stopped);
  test(`${name}: what one server learns of a token, the other knows within a second`, async () => {
    const world = await open(), a = await start(world), b = await start(world);
    await upstream.control({ tokens: { "gitee-one": { state: "exhausted", shape: "429" } } });
    for (let i = 0; i < 2; i++) assert.equal((await a.post("/api/v1/generate", cat)).status, 200);
    assert.equal((await statsOf(a)).exhausted, 1);
    await pause(1000);
    await upstream.reset();
    for (let i = 0; i < 4; i++) {
      assert.equal((await b.post("/api/v1/generate", cat)).status, 200);
      if (i === 0) await pause(200); // it hears of it when it has work
    }
    assert.equal((await statsOf(b)).exhausted, 1);
    const sent = (await upstream.log("generations")).map((entry) => entry.token);
    assert.ok(sent.filter((token) => token === "gitee-one").length <= (name === "redis" ? 0 : 1), `the exhausted one was asked: ${sent}`);
  });

  test(`${name}: a job is answered by both, read by one, and canceled by whoever is asked`, async () => {
    const world = await open(), a = await start(world), b = await start(world);
    await upstream.control({ polls: 6 });
    const { taskId } = await begin(a, slowCat);
    assert.equal((await ended(b, taskId)).status, "success");
    assert.deepEqual(await statusOf(a, taskId), await statusOf(b, taskId));
    const log = await upstream.log("/v1/");
    assert.equal(log.filter((entry) => entry.method === "POST").length, 1, "asked for once");
    assert.ok(log.filter((entry) => entry.path.includes("/tasks/")).length <= 8, "two read it");
    await upstream.control({ polls: 1000 });
    const second = await begin(a, slowCat);
    await pause(500);
    const gone = await b.request("DELETE", `/api/v1/task-status?taskId=${second.taskId}`);
    assert.deepEqual(gone.json, { status: "failed", error: "canceled" });
    await pause(2500);
    const polls = (await upstream.log("/tasks/")).length;
    await pause(1000);
    assert.equal((await upstream.log("/tasks/")).length, polls, "nobody reads it any more");
    assert.deepEqual(await statusOf(a, second.taskId), { status: "failed", error: "canceled" });
  });

  test(`${name}: of three that die one after the other no job is lost and no webhook is missing`, async () => {
    const world = await open(), receiver = stopped(await startReceiver({ secret: "signing-secret" }));
    let servers = [await start(world), await start(world), await start(world)];
    await upstream.control({ polls: 12 });
    const jobs = [];
    for (const server of servers)
      for (let i = 0; i < 4; i++) jobs.push((await begin(server, { ...slowCat, prompt: `cat ${jobs.length}`, webhookUrl: receiver.url("/done") })).taskId);
    for (let round = 0; round < 2; round++) {
      await pause(700);
      await servers[0].die();
      servers = [...servers.slice(1), await start(world)];
    }
    for (const taskId of jobs) {
      const result = await ended(servers[2], taskId, 40000);
      assert.equal(result.status, "success", JSON.stringify(result));
    }
    assert.equal((await upstream.log("/v1/")).filter((entry) => entry.method === "POST").length, jobs.length, "none was paid for twice");
    await eventually("every webhook", () => new Set(receiver.posts.map((post) => post.json.taskId)).size === jobs.length || undefined, { timeoutMs: 40000 });
    assert.ok(receiver.posts.every((post) => post.json.status === "completed"));
    await pause(300);
    const text = await world.dump();
    assert.ok(text.includes("task/"), "nothing was dumped");
    for (const secret of [...SECRETS, ...world.secrets]) assert.ok(!text.includes(secret), `${secret} is in the store`);
  });
}
