// webhooks.test.mjs: a job's end is told to whoever asked, by the real server: signed as receivers
// check it, again until it is taken, also over kill -9. The judge of the signatures is the public
// standardwebhooks package (test/support/receiver.mjs).
import assert from "node:assert/strict";
import net from "node:net";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { eventually, pause, scratch, startServer, startUpstream, tinyPngUrl } from "../support/harness.mjs";
import { startReceiver } from "../support/receiver.mjs";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const film = { model: "gitee/wan2.2-i2v", prompt: "it walks", imageUrl: tinyPngUrl };
const cat = { model: "gitee/z-image-turbo", prompt: "a cat", async: true };

let upstream;
const stops = [];
const stopped = (thing) => (stops.push(() => thing.stop()), thing);
before(async () => (upstream = stopped(await startUpstream())));
after(async () => {
  for (const stop of stops.reverse()) await stop();
});
beforeEach(() => upstream.reset());

const settings = (env) => ({ ...upstream.settings, GITEE_TOKENS: "gitee-token", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", LOG_LEVEL: "trace", ALLOW_PRIVATE_HOSTS: "127.0.0.1", WEBHOOK_SECRET: SECRET, ...env });
const serverWith = async (env) => stopped(await startServer({ env: settings(env) }));
const receiverWith = async (options) => stopped(await startReceiver({ secret: SECRET, ...options }));
const came = (receiver, count = 1, timeoutMs = 15000) => eventually(`${count} webhooks`, () => receiver.posts.length >= count && receiver.posts[count - 1], { timeoutMs });
const listOf = async (server) => (await server.get("/api/v1/webhooks")).json;
const stateOf = (server, state) => eventually(`it is ${state}`, async () => (await listOf(server)).find((entry) => entry.state === state));

test("a finished video is told, signed so that the public library takes it", async (t) => {
  const [server, receiver] = [await serverWith(), await receiverWith()];
  t.diagnostic(`checked by ${receiver.judge}`);
  const { taskId } = (await server.post("/api/v1/video", { ...film, webhookUrl: receiver.url("/done?key=private") })).json;
  const post = await came(receiver);
  assert.equal(post.refusal, "");
  assert.equal(post.method, "POST");
  assert.equal(post.path, "/done?key=private");
  assert.equal(post.headers["content-type"], "application/json");
  assert.equal(post.json.taskId, taskId);
  assert.equal(post.json.provider, "gitee");
  assert.equal(post.json.status, "completed");
  assert.match(post.json.result.url, /video\.mp4$/);
  assert.equal(post.json.error, undefined);
  // The judge can say no.
  assert.notEqual(receiver.refusal(post.body.replace("gitee", "other"), post.headers), "");
  assert.notEqual(receiver.refusal(post.body, { ...post.headers, "webhook-id": "msg_other" }), "");
  assert.notEqual(receiver.refusal(post.body, { ...post.headers, "webhook-timestamp": "1" }), "");
  const { "x-webhook-signature": old, ...others } = post.headers;
  assert.match(old, /^sha256=[0-9a-f]{64}$/);
  assert.notEqual(receiver.refusal(post.body, others), "");
  // What an administrator sees, and what nobody does.
  const entry = await stateOf(server, "delivered");
  assert.deepEqual(entry, { id: post.id, taskId, url: receiver.url("/done"), state: "delivered", tries: 1, lastStatus: 204, lastError: null, nextAt: null });
  assert.ok(!server.log.includes("private") && !server.log.includes(SECRET.slice(6)), "the log tells too much");
  await pause(300);
  assert.equal(receiver.posts.length, 1);
});

test("a failed one too, with its reason", async () => {
  const [server, receiver] = [await serverWith(), await receiverWith()];
  await upstream.control({ taskFails: true, taskError: "out of GPU memory" });
  await server.post("/api/v1/video", { ...film, webhookUrl: receiver.url() });
  const post = await came(receiver);
  assert.equal(post.refusal, "");
  assert.equal(post.json.status, "failed");
  assert.match(post.json.error, /out of GPU memory/);
  assert.equal(post.json.result, undefined);
});

test("any action as a job, with a secret that is no base64", async () => {
  const secret = "a plain secret!";
  const [server, receiver] = [await serverWith({ WEBHOOK_SECRET: secret }), await receiverWith({ secret, format: "raw" })];
  const { taskId } = (await server.post("/api/v1/generate", { ...cat, webhookUrl: receiver.url() })).json;
  const post = await came(receiver);
  assert.equal(post.refusal, "");
  assert.equal(post.json.taskId, taskId);
  assert.equal(post.json.status, "completed");
  assert.ok(post.json.result.url);
});

test("without a secret nothing is signed", async () => {
  const [server, receiver] = [await serverWith({ WEBHOOK_SECRET: null }), await receiverWith({ secret: undefined })];
  await server.post("/api/v1/generate", { ...cat, webhookUrl: receiver.url() });
  const { headers } = await came(receiver);
  assert.match(headers["webhook-id"], /^msg_[0-9a-f]{16,32}$/);
  assert.ok(Math.abs(Number(headers["webhook-timestamp"]) - Date.now() / 1000) < 60);
  assert.equal(headers["webhook-signature"], undefined);
  assert.equal(headers["x-webhook-signature"], undefined);
});

test("a receiver that refuses at first gets it again, under the same id", async () => {
  const [server, receiver] = [await serverWith(), await receiverWith()];
  receiver.answers.push(500);
  await server.post("/api/v1/generate", { ...cat, webhookUrl: receiver.url() });
  await came(receiver);
  const waiting = await stateOf(server, "pending");
  assert.equal(waiting.lastStatus, 500);
  assert.ok(Date.parse(waiting.nextAt) > Date.now());
  await came(receiver, 2);
  assert.equal(receiver.posts[1].id, receiver.posts[0].id);
  assert.equal(receiver.posts[1].refusal, "");
  assert.equal(receiver.posts[1].body, receiver.posts[0].body);
  assert.equal((await stateOf(server, "delivered")).tries, 2);
});

test("an administrator sends it once more", async () => {
  const [server, receiver] = [await serverWith({ API_TOKEN: "user", ADMIN_TOKEN: "admin" }), await receiverWith()];
  receiver.answers.push(410);
  await server.post("/api/v1/generate", { ...cat, webhookUrl: receiver.url() }, { token: "user" });
  const { id } = await came(receiver);
  const ask = (token) => server.post("/api/v1/webhooks/redeliver", { id }, { token });
  await eventually("it has failed", async () => (await server.get("/api/v1/webhooks", { token: "admin" })).json[0]?.state === "failed");
  assert.equal((await ask("user")).status, 401);
  assert.equal((await server.get("/api/v1/webhooks", { token: "user" })).status, 401);
  const answer = await ask("admin");
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json, { success: true, id });
  assert.equal((await came(receiver, 2)).id, id);
  assert.equal((await server.post("/api/v1/webhooks/redeliver", { id: "msg_x" }, { token: "admin" })).status, 404);
});

for (const signal of ["SIGTERM", "SIGKILL"])
  test(`what was not taken before ${signal} arrives after it`, async () => {
    const file = path.join(scratch(), "state.db");
    const receiver = await receiverWith();
    let server = await startServer({ env: settings({ STATE_FILE: file }) });
    receiver.answers.push(503);
    const { taskId } = (await server.post("/api/v1/video", { ...film, webhookUrl: receiver.url() })).json;
    await came(receiver);
    await pause(signal === "SIGKILL" ? 1000 : 0); // memory is ahead of the store by a moment
    await server.stop(signal);
    await pause(1000);
    assert.equal(receiver.posts.length, 1);
    server = await serverWith({ STATE_FILE: file });
    const post = await came(receiver, 2);
    assert.equal(post.refusal, "");
    assert.equal(post.json.taskId, taskId);
    assert.equal(post.id, receiver.posts[0].id);
    assert.equal((await stateOf(server, "delivered")).tries, 2);
  });

test("an empty address is none", async () => {
  const server = await serverWith();
  const answer = await server.post("/api/v1/video", { ...film, webhookUrl: " " });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(await listOf(server), []);
});

test("an address that is not public is refused, also behind a name", async () => {
  const connections = [];
  const trap = net.createServer((socket) => connections.push(socket.destroy()));
  await new Promise((resolve) => trap.listen(0, "127.0.0.1", resolve));
  trap.unref();
  const server = await serverWith({ ALLOW_PRIVATE_HOSTS: null });
  const { port } = trap.address();
  for (const host of ["127.0.0.1", "localhost", "[::1]", "2130706433", "10.0.0.1"]) {
    const answer = await server.post("/api/v1/generate", { ...cat, webhookUrl: `http://${host}:${port}/` });
    assert.equal(answer.status, 400, `${host}: ${answer.text}`);
    assert.match(answer.json.message, /webhookUrl/);
  }
  // Of this name only the guard can tell where it leads: the io resolves it to this machine (RFC 6761).
  assert.equal((await server.post("/api/v1/generate", { ...cat, webhookUrl: `http://hooks.localhost:${port}/` })).status, 202);
  const entry = await stateOf(server, "failed");
  assert.equal(entry.tries, 1);
  assert.equal(entry.lastError, "the address leads to a host that is not public");
  assert.equal(connections.length, 0);
  await new Promise((resolve) => trap.close(resolve));
});
