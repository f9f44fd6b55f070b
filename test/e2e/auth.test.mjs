// auth.test.mjs: who may call what: API_TOKEN, ADMIN_TOKEN, neither; and what browsers may do (CORS).
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";
import { curl, startServer } from "../support/harness.mjs";

const servers = [];
async function serverWith(env) {
  const server = await startServer({ env: { SAMPLE_PROVIDER: "on", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", ...env } });
  servers.push(server);
  return server;
}
after(() => Promise.all(servers.map((server) => server.stop())));

const userRoutes = [
  ["GET", "/api/v1/models", 200],
  ["GET", "/api/v1/models/all", 200],
  ["GET", "/api/v1/task-status?taskId=x", 404],
  ["GET", "/api/v1/nothing", 404],
  ["POST", "/api/v1/generate", 400],
  ["POST", "/api/v1/imagine", 400],
  ["POST", "/api/v1/edit", 400],
  ["POST", "/api/v1/text", 400],
  ["POST", "/api/v1/video", 400],
  ["POST", "/api/v1/upscaler", 400],
];
const adminRoutes = [
  ["GET", "/api/v1/token-stats", 200],
  ["GET", "/api/v1/token-stats/all", 200],
  ["POST", "/api/v1/token-reset", 400],
  ["DELETE", "/api/v1/storage/cleanup", 400],
];
const openRoutes = [
  ["GET", "/api/health", 200],
];

/** Every route answers as its row says; `options` go into each request. */
async function assertAnswers(server, routes, options, wanted) {
  for (const [method, where, status] of routes) {
    const answer = await server.request(method, where, { ...(method === "POST" ? { json: {} } : {}), ...options });
    assert.equal(answer.status, wanted ?? status, `${method} ${where}: ${answer.text}`);
  }
}

describe("with API_TOKEN and ADMIN_TOKEN", () => {
  let server;
  before(async () => (server = await serverWith({ API_TOKEN: "user-token-1, user-token-2", ADMIN_TOKEN: "admin-token" })));

  test("health is for all", async () => {
    await assertAnswers(server, openRoutes, {});
  });
  test("users' routes take each user's token", async () => {
    for (const token of ["user-token-1", "user-token-2"]) await assertAnswers(server, userRoutes, { token });
  });
  test("and nobody else's", async () => {
    await assertAnswers(server, userRoutes, {}, 401);
    for (const token of ["user-token", "user-token-11", "user-token-1,user-token-2", "USER-TOKEN-1", "x"]) await assertAnswers(server, userRoutes.slice(0, 2), { token }, 401);
  });
  test("admins' routes take the admin's token only", async () => {
    await assertAnswers(server, adminRoutes, { token: "admin-token" });
    await assertAnswers(server, adminRoutes, { token: "user-token-1" }, 401);
    await assertAnswers(server, adminRoutes, {}, 401);
  });
  test("metrics answer on this machine without a token", async () => {
    assert.equal((await server.get("/metrics")).status, 200);
  });
  test("metrics behind a proxy that nobody trusts need the token", async () => {
    assert.equal((await server.get("/metrics", { headers: { "X-Forwarded-For": "203.0.113.9" } })).status, 401);
    assert.equal((await server.get("/metrics", { headers: { "X-Forwarded-For": "203.0.113.9" }, token: "admin-token" })).status, 200);
  });

  const refusals = [
    ["no header", {}, "Missing Authorization header"],
    ["another scheme", { Authorization: "Basic dXNlcjp4" }, "Invalid Authorization format"],
    ["the token alone", { Authorization: "user-token-1" }, "Invalid Authorization format"],
    ["two blanks", { Authorization: "Bearer  user-token-1" }, "Invalid Authorization format"],
    ["no token", { Authorization: "Bearer" }, "Invalid Authorization format"],
    ["something behind the token", { Authorization: "Bearer user-token-1 x" }, "Invalid Authorization format"],
    ["another token", { Authorization: "Bearer user-token-3" }, "Invalid token"],
  ];
  for (const [name, headers, error] of refusals)
    test(`401 ${error}: ${name}`, async () => {
      const answer = await server.get("/api/v1/models", { headers });
      assert.equal(answer.status, 401);
      assert.equal(answer.json.error, error);
      assert.equal(answer.headers["www-authenticate"], "Bearer");
      assert.equal(answer.json.requestId, answer.headers["x-request-id"]);
    });
  test("the scheme's name is read in any case", async () => {
    for (const scheme of ["bearer", "BEARER", "BeArEr"]) assert.equal((await server.get("/api/v1/models", { headers: { Authorization: `${scheme} user-token-2` } })).status, 200);
  });
  test("a caller without a token does not make us read its body", async () => {
    const answer = await curl(["-X", "POST", "-H", "Content-Type: application/json", "-H", "Content-Length: 30000000", "--data-binary", "{}", `${server.origin}/api/v1/generate`], { timeoutMs: 5000 });
    assert.equal(answer.status, 401);
  });
});

test("without ADMIN_TOKEN the users' tokens are the admin's", async () => {
  const server = await serverWith({ API_TOKEN: "only-token" });
  await assertAnswers(server, adminRoutes, { token: "only-token" });
  await assertAnswers(server, adminRoutes, {}, 401);
});

test("with ADMIN_TOKEN alone users need no token", async () => {
  const server = await serverWith({ ADMIN_TOKEN: "admin-token" });
  await assertAnswers(server, userRoutes, {});
  await assertAnswers(server, adminRoutes, {}, 401);
});

describe("without any token", () => {
  const outer = Object.values(networkInterfaces()).flat().find((each) => each.family === "IPv4" && !each.internal)?.address;

  test("all is open on this machine, and the start says so", async () => {
    const server = await serverWith({ HOST: null });
    await assertAnswers(server, [...openRoutes, ...userRoutes, ...adminRoutes], {});
    assert.match(server.log, /open|without .*token|no .*token/i);
    assert.match(server.origin, /127\.0\.0\.1/);
    if (outer) {
      const answer = await curl(["--connect-timeout", "2", `http://${outer}:${server.port}/api/health`]);
      assert.notEqual(answer.exit, 0, "it listens on more than loopback");
    }
  });

  test("admins' routes are closed to other machines", async () => {
    const server = await serverWith({ HOST: "0.0.0.0" });
    if (outer) {
      const ask = (where) => curl([`http://${outer}:${server.port}${where}`]);
      assert.equal((await ask("/api/v1/models")).status, 200);
      assert.equal((await ask("/api/v1/token-stats")).status, 403);
      assert.equal((await ask("/metrics")).status, 403);
    }
    const forwarded = await server.get("/api/v1/token-stats", { headers: { "X-Forwarded-For": "203.0.113.9" } });
    assert.equal(forwarded.status, 403, "a proxy on this machine must not lend its address");
  });

  test("a proxy on this machine that is trusted tells who calls", async () => {
    const server = await serverWith({ TRUSTED_PROXIES: "loopback" });
    const ask = async (address) => (await server.get("/api/v1/token-stats", { headers: { "X-Forwarded-For": address } })).status;
    assert.equal(await ask("203.0.113.9"), 403);
    assert.equal(await ask("127.0.0.1"), 200);
  });
});

// ---- browsers ----------------------------------------------------------------------------------

describe("CORS", () => {
  const exposed = ["content-length", "content-type", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
  const listOf = (header) => (header ?? "").toLowerCase().split(/\s*,\s*/);
  const preflight = (server, origin, where = "/api/v1/generate") =>
    server.request("OPTIONS", where, { headers: { Origin: origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, authorization" } });

  test("by default every origin may read, without credentials", async () => {
    const server = await serverWith({ API_TOKEN: "t" });
    const answer = await preflight(server, "https://page.example");
    assert.equal(answer.status, 204, answer.text);
    assert.equal(answer.body.length, 0);
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.deepEqual(listOf(answer.headers["access-control-allow-methods"]), ["get", "post", "put", "delete", "options"]);
    assert.deepEqual(listOf(answer.headers["access-control-allow-headers"]), ["content-type", "authorization"]);
    assert.equal(answer.headers["access-control-max-age"], "86400");
    assert.equal(answer.headers["access-control-allow-credentials"], undefined);
    for (const [name, ask] of [["an answer", server.get("/api/health")], ["a refusal", server.get("/api/v1/models", { headers: { Origin: "https://page.example" } })], ["a stranger's place", server.get("/api/v1/nothing")]]) {
      const other = await ask;
      assert.equal(other.headers["access-control-allow-origin"], "*", name);
      assert.deepEqual(listOf(other.headers["access-control-expose-headers"]), exposed, name);
    }
  });

  test("with a list the matching origin is echoed, with credentials", async () => {
    const server = await serverWith({ ALLOWED_ORIGINS: "https://page.example, http://localhost:5173" });
    for (const origin of ["https://page.example", "http://localhost:5173"]) {
      for (const answer of [await preflight(server, origin), await server.get("/api/v1/models", { headers: { Origin: origin } })]) {
        assert.equal(answer.headers["access-control-allow-origin"], origin);
        assert.equal(answer.headers["access-control-allow-credentials"], "true");
        assert.match(answer.headers.vary ?? "", /\bOrigin\b/i);
      }
    }
    for (const origin of ["https://evil.example", "https://page.example.evil.example", "http://page.example", "null", ""]) {
      for (const answer of [await preflight(server, origin), await server.get("/api/v1/models", { headers: { Origin: origin } })]) {
        assert.equal(answer.headers["access-control-allow-origin"], undefined, origin);
        assert.equal(answer.headers["access-control-allow-credentials"], undefined, origin);
        assert.match(answer.headers.vary ?? "", /\bOrigin\b/i);
      }
    }
  });
});
