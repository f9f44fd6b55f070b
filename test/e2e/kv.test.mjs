// kv.test.mjs: the stand-ins for Upstash and Workers KV, judged: the services' public clients from
// npm, `@upstash/redis` and `cloudflare`, work with them, and what the real services refuse they
// refuse. The drivers' own tests trust them. Last, a server that keeps its state in Workers KV.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, startServer, startUpstream } from "../support/harness.mjs";
import { cloudflareToken, startKv, upstashToken } from "../support/kv.mjs";
import { fetchPackages } from "../support/npm.mjs";

const SUITE_MS = 60000;
const judges = await fetchPackages("@upstash/redis@1", "cloudflare@4");
const skip = judges ? false : "npm cannot fetch the clients here";

let kv;
before(async () => (kv = await startKv()));
after(() => kv?.stop());

// ---- Upstash -----------------------------------------------------------------------------------

describe("the @upstash/redis client", { skip, timeout: SUITE_MS }, () => {
  const { Redis } = judges?.("@upstash/redis") ?? {};
  const clientOf = (more = {}) => new Redis({ url: kv.upstash, token: upstashToken, retry: false, enableTelemetry: false, enableAutoPipelining: false, automaticDeserialization: false, ...more });

  for (const responseEncoding of ["base64", false])
    test(`values, times to live and counters, responses ${responseEncoding || "plain"}`, async () => {
      const redis = clientOf({ responseEncoding });
      assert.equal(await redis.set("k", "vä\n", { px: 60000 }), "OK");
      assert.equal(await redis.get("k"), "vä\n");
      const left = await redis.pttl("k");
      assert.ok(left > 50000 && left <= 60000, `${left} ms are left`);
      assert.equal(await redis.get("absent"), null);
      assert.equal(await redis.incrby("n", 5), 5);
      assert.equal(await redis.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", ["n"], ["2"]), 7);
      assert.equal(await redis.del("k", "n"), 2);
    });

  test("a pipeline answers in order, each command with its own error", async () => {
    const redis = clientOf();
    await redis.set("text", "x");
    const answers = await redis.pipeline().set("a", "1").get("a").incr("text").del("a").exec({ keepErrors: true });
    assert.deepEqual(answers.map(({ result }) => result), ["OK", "1", undefined, 1]);
    assert.match(answers[2].error, /not an integer/);
    await assert.rejects(redis.incr("text"), /not an integer/);
  });

  test("SCAN and MGET", async () => {
    const redis = clientOf();
    const keys = Array.from({ length: 250 }, (_, i) => `list:${i}`);
    await redis.mset(Object.fromEntries(keys.map((key) => [key, key.toUpperCase()])));
    const found = new Set();
    for (let cursor = "0", rounds = 0; rounds === 0 || cursor !== "0"; rounds++) {
      assert.ok(rounds < 1000);
      const [next, some] = await redis.scan(cursor, { match: "list:*", count: 50 });
      cursor = String(next);
      for (const key of some) found.add(key);
    }
    assert.deepEqual([...found].sort(), [...keys].sort());
    assert.deepEqual(await redis.mget("list:1", "none", "list:2"), ["LIST:1", null, "LIST:2"]);
  });

  test("a wrong token is told", () => assert.rejects(clientOf({ token: "wrong" }).get("k"), /WRONGPASS/));
});

const askUpstash = (body, { method = "POST", path = "/pipeline", token = upstashToken } = {}) =>
  fetch(kv.upstash + path, { method, headers: token ? { authorization: `Bearer ${token}` } : {}, ...(method !== "GET" && { body }) });

describe("the stand-in for Upstash refuses", () => {
  for (const [what, status, body, options] of [
    ["a request without a token", 401, '[["GET","k"]]', { token: "" }],
    ["a wrong token", 401, '[["GET","k"]]', { token: "wrong" }],
    ["GET", 405, "", { method: "GET" }],
    ["another path", 404, '[["GET","k"]]', { path: "/pipelines" }],
    ["what is no JSON", 400, "[[", {}],
    ["what is no UTF-8", 400, Buffer.from([0x5b, 0x5b, 0x22, 0xff, 0x22, 0x5d, 0x5d]), {}],
    ["an object", 400, "{}", {}],
    ["no command", 400, "[]", {}],
    ["an empty command", 400, "[[]]", {}],
    ["one command in a pipeline", 400, '["GET","k"]', {}],
    ["an argument that is an object", 400, '[["SET","k",{}]]', {}],
    ["a command that waits", 400, '[["BLPOP","k","0"]]', {}],
    ["an unknown command", 400, '["FETCH","k"]', { path: "/" }],
    ["ten thousand commands", 400, JSON.stringify(Array(10000).fill(["GET", "k"])), {}],
  ])
    test(what, async () => {
      const answer = await askUpstash(body, options);
      assert.equal(answer.status, status);
      assert.equal(typeof (await answer.json()).error, "string");
    });
});

// ---- Workers KV --------------------------------------------------------------------------------

const account = "0123456789abcdef0123456789abcdef";
const place = (namespace, rest) => `${kv.cloudflare}/client/v4/accounts/${account}/storage/kv/namespaces/${namespace}/${rest}`;
const askCloudflare = (method, where, { namespace = "plain", headers = {}, token = cloudflareToken, body } = {}) =>
  fetch(place(namespace, where), { method, headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers }, body });

describe("the cloudflare client", { skip, timeout: SUITE_MS }, () => {
  const Cloudflare = judges?.("cloudflare");
  const valuesOf = (apiToken = cloudflareToken) => new Cloudflare({ apiToken, baseURL: `${kv.cloudflare}/client/v4`, maxRetries: 0 }).kv.namespaces;

  test("a value and its metadata come back, and go", async () => {
    const { values, keys } = valuesOf();
    await values.update("judged", "My-Key", { account_id: account, value: "Some Value", metadata: '{"some":"metadata"}', expiration_ttl: 60 });
    assert.equal(await (await values.get("judged", "My-Key", { account_id: account })).text(), "Some Value");
    const [entry, ...others] = (await keys.list("judged", { account_id: account, prefix: "My-" })).result;
    assert.equal(others.length, 0);
    assert.equal(entry.name, "My-Key");
    assert.deepEqual(entry.metadata, { some: "metadata" });
    assert.ok(Math.abs(entry.expiration - Date.now() / 1000 - 60) < 10);
    await values.delete("judged", "My-Key", { account_id: account });
    await assert.rejects(values.get("judged", "My-Key", { account_id: account }), /404.*key not found/s);
  });

  test("a list comes in pages", async () => {
    const { values, keys } = valuesOf();
    for (let i = 0; i < 25; i++) await values.update("paged", `key-${i}`, { account_id: account, value: "x" });
    const names = [];
    for await (const { name } of keys.list("paged", { account_id: account, limit: 10 })) names.push(name);
    assert.deepEqual(names.sort(), Array.from({ length: 25 }, (_, i) => `key-${i}`).sort());
    assert.equal(kv.log.filter(({ path, status }) => path.includes("/paged/keys") && status === 200).length, 3);
  });

  test("a wrong token is told", () => assert.rejects(valuesOf("wrong").values.get("judged", "k", { account_id: account }), /401.*Authentication error/s));
});

describe("the stand-in for Workers KV refuses", () => {
  const form = (fields) => {
    const out = new FormData();
    for (const [name, value] of Object.entries(fields)) out.append(name, value);
    return out;
  };
  for (const [what, status, method, where, options] of [
    ["a request without a token", 401, "GET", "values/k", { token: "" }],
    ["a namespace that is not there", 404, "GET", "values/k", { namespace: "missing" }],
    ["a key that is not there", 404, "GET", "values/none", {}],
    ["a time to live under a minute", 400, "PUT", "values/k?expiration_ttl=59", { body: "x" }],
    ["a time to live that is no whole number", 400, "PUT", "values/k?expiration_ttl=60.5", { body: "x" }],
    ["a key of 513 bytes", 414, "PUT", `values/${"k".repeat(513)}`, { body: "x" }],
    ["a key with a space", 400, "PUT", "values/a%20b", { body: "x" }],
    ["a key with a line feed", 400, "PUT", "values/a%0Ab", { body: "x" }],
    ["a key that is not escaped", 404, "PUT", "values/a/b", { body: "x" }],
    ["a broken escape", 400, "PUT", "values/a%zz", { body: "x" }],
    ["POST", 405, "POST", "values/k", { body: "x" }],
    ["an unknown parameter", 400, "PUT", "values/k?ttl=60", { body: "x" }],
    ["a page of 1001", 400, "GET", "keys?limit=1001", {}],
    ["a page of 9", 400, "GET", "keys?limit=9", {}],
    ["a cursor of its own making", 400, "GET", "keys?cursor=x", {}],
    ["metadata of 1025 bytes", 413, "PUT", "values/k", { body: form({ value: "x", metadata: JSON.stringify("m".repeat(1023)) }) }],
    ["metadata that is no JSON", 400, "PUT", "values/k", { body: form({ value: "x", metadata: "{" }) }],
    ["a form without a value", 400, "PUT", "values/k", { body: form({ metadata: "{}" }) }],
    ["another field", 400, "PUT", "values/k", { body: form({ value: "x", other: "y" }) }],
  ])
    test(what, async () => {
      const answer = await askCloudflare(method, where, options);
      assert.equal(answer.status, status);
      const json = await answer.json();
      assert.equal(json.success, false);
      assert.equal(typeof json.errors[0].code, "number");
    });
});

// ---- a server on it ----------------------------------------------------------------------------

test("a server says how weak Workers KV is, and remembers there what it learned of a token", async (t) => {
  const upstream = await startUpstream();
  t.after(() => upstream.stop());
  const env = { ...upstream.settings, GITEE_TOKENS: "gitee-one,gitee-two", RATE_LIMIT: "0", CF_API_BASE: `${kv.cloudflare}/client/v4`, CF_ACCOUNT_ID: account, CF_KV_NAMESPACE_ID: "server", CF_API_TOKEN: cloudflareToken };
  const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
  const exhausted = async (server) => (await server.get("/api/v1/token-stats?provider=gitee")).json.exhausted;
  const first = await startServer({ env });
  await upstream.control({ tokens: { "gitee-one": { state: "exhausted", shape: "429" } } });
  for (let i = 0; i < 2; i++) assert.equal((await first.post("/api/v1/generate", cat)).status, 200);
  assert.equal(await exhausted(first), 1);
  await first.stop();
  const second = await startServer({ env });
  await eventually("it is remembered", async () => (await exhausted(second)) === 1 || undefined);
  await second.stop();
  for (const { log } of [first, second]) {
    assert.match(log, /storage\.weak driver=cloudflare atomic=0/);
    assert.ok(!log.includes(cloudflareToken) && !log.includes("storage.failed"), log);
  }
  const list = await (await askCloudflare("GET", "keys", { namespace: "server" })).json();
  assert.ok(list.result.length > 0);
  for (const { name } of list.result) {
    const record = await (await askCloudflare("GET", `values/${encodeURIComponent(name)}`, { namespace: "server" })).text();
    assert.ok(!/gitee-one|gitee-two/.test(name + record), `a token is in ${name}`);
  }
});
