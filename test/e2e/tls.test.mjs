// tls.test.mjs: providers over TLS, trusted by CA_FILE, over HTTP/2; tokens that stay at home when a
// redirect leads away; and our own HTTPS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import http from "node:http";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { curl, listen, scratch, startServer, startUpstream } from "../support/harness.mjs";

let upstream;
const servers = [];
async function serverWith(env) {
  const server = await startServer({ env: { ...upstream.settings, RATE_LIMIT: "0", ALLOW_PRIVATE_HOSTS: "localhost,127.0.0.1", GITEE_TOKENS: "gitee-token", MODELSCOPE_TOKENS: "ms-token", ...env } });
  servers.push(server);
  return server;
}
before(async () => (upstream = await startUpstream({ tls: true })));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };

test("a provider that CA_FILE vouches for is spoken to over HTTP/2, on few connections", async () => {
  const server = await serverWith({ CA_FILE: upstream.ca });
  const first = await server.post("/api/v1/generate", cat);
  assert.equal(first.status, 200, first.text);
  await upstream.control({ latencyMs: 300 });
  const answers = await Promise.all(Array.from({ length: 40 }, () => fetch(`${server.origin}/api/v1/generate`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(cat) })));
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  const log = await upstream.log("generations");
  assert.equal(log.length, 41);
  for (const entry of log) assert.equal(entry.httpVersion, "2.0");
  const connections = new Set(log.map((entry) => entry.connection)).size;
  assert.ok(connections <= 4, `${connections} connections for 41 requests`);
});

test("events and polls come over HTTP/2 too", async () => {
  const server = await serverWith({ CA_FILE: upstream.ca });
  for (const model of ["huggingface/z-image-turbo", "modelscope/z-image-turbo"]) {
    const answer = await server.post("/api/v1/generate", { model, prompt: "a cat" });
    assert.equal(answer.status, 200, answer.text);
  }
});

test("a provider that nobody vouches for gets no token", async () => {
  const server = await serverWith({});
  const answer = await server.post("/api/v1/generate", cat);
  assert.equal(answer.status, 502, answer.text);
  assert.match(answer.json.message, /certificate|TLS|SSL|trust|verif|connection/i);
  assert.equal((await upstream.log("generations")).length, 0);
});

test("a CA_FILE without a certificate stops the start, and is named", async () => {
  for (const file of ["/nowhere/ca.pem", "/", "/etc/passwd"])
    await assert.rejects(serverWith({ CA_FILE: file }), /imagine-server: CA_FILE: no PEM file of certificates\n/);
});

/** A host that only answers with a redirect, and remembers who asked. */
async function redirector(status, to) {
  const seen = [];
  const server = http.createServer((request, response) => {
    seen.push(request.headers);
    request.resume();
    request.on("end", () => {
      response.writeHead(status, { location: to(request.url) });
      response.end();
    });
  });
  return { seen, origin: `http://127.0.0.1:${await listen(server)}` };
}

test("a redirect to another host does not carry the token there", async () => {
  const stranger = [];
  const other = http.createServer((request, response) => {
    stranger.push({ url: request.url, headers: request.headers });
    request.resume();
    response.writeHead(200, { "content-type": "application/json" });
    response.end("{\"task_id\":\"x\",\"task_status\":\"SUCCEED\",\"output_images\":[\"https://cdn.example/1.png\"],\"data\":[{\"url\":\"https://cdn.example/1.png\"}]}");
  });
  const strangerOrigin = `http://localhost:${await listen(other)}`;
  for (const status of [301, 302, 303, 307, 308]) {
    const first = await redirector(status, (url) => strangerOrigin + url);
    const server = await serverWith({ CATALOGUE: "", GITEE_API_BASE: first.origin });
    await server.post("/api/v1/generate", cat);
    assert.equal(first.seen[0].authorization, "Bearer gitee-token");
  }
  for (const { url, headers } of stranger) {
    assert.equal(headers.authorization, undefined, `${url} got the token`);
    assert.ok(!JSON.stringify(headers).includes("gitee-token"));
  }
});

test("redirects without end are the provider's fault", async () => {
  const loop = await redirector(302, (url) => url);
  const server = await serverWith({ CATALOGUE: "", GITEE_API_BASE: loop.origin });
  const answer = await server.post("/api/v1/generate", cat);
  assert.equal(answer.status, 502, answer.text);
  assert.ok(loop.seen.length <= 20, `${loop.seen.length} requests`);
});

test("TLS_CERT and TLS_KEY serve HTTPS", async () => {
  const folder = scratch();
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
  const server = await startServer({ env: { TLS_CERT: cert, TLS_KEY: key, SAMPLE_PROVIDER: "on" } });
  servers.push(server);
  const origin = `https://127.0.0.1:${server.port}`;
  const health = await curl(["--cacert", cert, `${origin}/api/health`]);
  assert.equal(health.status, 200, health.stderr);
  const made = await curl(["--cacert", cert, "-H", "Content-Type: application/json", "-d", JSON.stringify({ model: "sample/nebula", prompt: "a sea", width: 256, height: 256 }), `${origin}/api/v1/generate`]);
  assert.equal(made.status, 200, made.text);
  assert.match(made.json.url, /^data:image\/png;base64,/);
  const large = await curl(["--cacert", cert, "-H", "Content-Type: application/json", "-H", "Expect:", "--data-binary", "@-", `${origin}/api/v1/generate`], { input: JSON.stringify({ model: "sample/nebula", prompt: "x".repeat(40000) }) });
  assert.equal(large.status, 400, large.text);
  const plain = await curl([`http://127.0.0.1:${server.port}/api/health`], { timeoutMs: 5000 });
  assert.notEqual(plain.status, 200);
  assert.equal((await curl(["--cacert", cert, `${origin}/api/health`])).status, 200);
});

test("a certificate without its key stops the start, and is named", async () => {
  await assert.rejects(startServer({ env: { TLS_CERT: "/nowhere/cert.pem" } }), /TLS_(KEY|CERT)/);
});
