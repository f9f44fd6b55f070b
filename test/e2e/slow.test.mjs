// slow.test.mjs: callers that dawdle, stop, or leave. The server's own time limits are 30 s, so that
// these tests wait side by side.
import assert from "node:assert/strict";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { eventually, pause, raw, startServer, startUpstream } from "../support/harness.mjs";

let upstream;
let server;
before(async () => {
  upstream = await startUpstream();
  server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "t1,t2,t3", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0" } });
});
after(async () => {
  await server?.stop();
  await upstream?.stop();
});

const body = JSON.stringify({ model: "gitee/z-image-turbo", prompt: "a cat" });
const post = ["POST /api/v1/generate HTTP/1.1", "Host: x", "Content-Type: application/json"];
const head = (...lines) => `${lines.join("\r\n")}\r\n\r\n`;
const post1 = `${head(...post, `Content-Length: ${body.length}`)}${body}`;
const metric = async (name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "m").exec((await server.get("/metrics")).text)?.[1] ?? NaN);

/** Sends what is left of `bytes`, one each second, until the other end closes. */
function dribble(socket, bytes) {
  let at = 0;
  const timer = setInterval(() => at < bytes.length && socket.write(bytes[at++]), 1000);
  socket.on("close", () => clearInterval(timer));
}

describe("side by side", { concurrency: true }, () => {
  test("a header that does not arrive within 30 s: 408", async () => {
    const answer = await raw(server.port, "GET /api/health HTTP/1.1\r\nHos", { timeoutMs: 45000, afterwards: (socket) => dribble(socket, `t: ${"x".repeat(100)}`) });
    assert.ok(answer.isClosed, "it was left open");
    assert.equal(answer.status, 408, answer.text);
    assert.ok(answer.ms > 25000 && answer.ms < 42000, `after ${Math.round(answer.ms)} ms`);
  });

  test("a connection that says nothing is closed", async () => {
    const answer = await raw(server.port, "", { timeoutMs: 90000 });
    assert.ok(answer.isClosed, "it was left open");
    assert.ok(answer.ms > 25000 && answer.ms < 85000, `after ${Math.round(answer.ms)} ms`);
  });

  test("a body that does not arrive within 30 s: 408", async () => {
    const answer = await raw(server.port, head(...post, "Content-Length: 1000"), { timeoutMs: 45000, afterwards: (socket) => dribble(socket, body.padEnd(1000)) });
    assert.equal(answer.status, 408, answer.text);
    assert.ok(answer.isClosed, "it was left open");
    assert.ok(answer.ms > 25000 && answer.ms < 42000, `after ${Math.round(answer.ms)} ms`);
    assert.match(answer.text, /"code":"IMAGINE_ETIMEDOUT"/);
  });

  test("a chunked body that stops: 408", async () => {
    const answer = await raw(server.port, `${head(...post, "Transfer-Encoding: chunked")}5\r\n{"a":\r\n`, { timeoutMs: 45000 });
    assert.equal(answer.status, 408, answer.text);
  });

  test("a connection that is kept lives through a minute, and not for ever", async () => {
    const answer = await raw(server.port, "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n", {
      timeoutMs: 90000,
      afterwards: (socket) => setTimeout(() => socket.write("GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"), 1000),
    });
    assert.ok(answer.isClosed, "it was left open");
    assert.equal(answer.text.match(/HTTP\/1\.1 200/g).length, 2);
    assert.ok(answer.ms > 60000 && answer.ms < 88000, `after ${Math.round(answer.ms)} ms`);
  });

  test("200 callers that send a byte a second keep nobody waiting", async () => {
    const sockets = Array.from({ length: 200 }, (_, i) => {
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("data", () => {});
      if (i % 2) {
        socket.write(head(...post, "Content-Length: 1000"));
        dribble(socket, body.padEnd(1000));
      } else dribble(socket, head("GET /api/health HTTP/1.1", `X-Slow: ${"x".repeat(500)}`));
      return socket;
    });
    await pause(1500);
    const times = [];
    for (let i = 0; i < 60; i++) {
      const began = performance.now();
      const answer = await fetch(`${server.origin}/api/v1/${i % 3 ? "models" : "generate"}`, i % 3 ? {} : { method: "POST", headers: { "content-type": "application/json" }, body });
      assert.equal(answer.status, 200);
      await answer.text();
      times.push(performance.now() - began);
      await pause(20);
    }
    times.sort((a, b) => a - b);
    assert.ok(times[30] < 100 && times.at(-1) < 2000, `median ${times[30].toFixed(1)} ms, slowest ${times.at(-1).toFixed(1)} ms`);
    for (const socket of sockets) socket.destroy();
  });

  test("a caller that reads slowly keeps nobody waiting", async () => {
    const socket = net.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.pause();
    const many = "GET /api/v1/models/all HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    socket.write(many);
    await pause(500);
    const began = performance.now();
    assert.equal((await server.get("/api/health")).status, 200);
    assert.ok(performance.now() - began < 1000);
    socket.destroy();
  });
});

test("a peer that leaves while its request waits is noticed, and what was begun is finished", async () => {
  await upstream.reset();
  await upstream.control({ next: [{ do: "latency", ms: 4000, match: { path: "generations" } }] });
  const socket = net.connect(server.port, "127.0.0.1");
  socket.write(post1);
  await eventually("the provider is asked", async () => (await upstream.log("generations")).length === 1);
  const began = performance.now();
  socket.destroy();
  await eventually("the log says that the caller left", () => /request .*status=499/.test(server.log), { timeoutMs: 2500 });
  assert.ok(performance.now() - began < 2500);
  await eventually("the provider's work ends", async () => (await upstream.log("generations"))[0].status === 200, { timeoutMs: 6000 });
  await pause(200);
  assert.ok(!(await upstream.log("generations"))[0].left, "the work that was paid for was cut");
  await eventually("the token is free again", async () => (await server.get("/api/v1/token-stats/all?details=1")).json.gitee.tokens.every((token) => token.inFlight === 0));
});

test("peers that leave at every moment leave nothing behind", async () => {
  await upstream.reset();
  await upstream.control({ latencyMs: 60 });
  const bytes = Buffer.from(post1);
  await Promise.all(
    Array.from({ length: 120 }, async (_, i) => {
      await pause(i * 4);
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(bytes.subarray(0, Math.min(bytes.length, 1 + ((i * 7) % (bytes.length + 60)))));
      await pause((i * 13) % 150);
      if (i % 3 === 0) socket.end();
      else socket.destroy();
    }),
  );
  await eventually("no token is held", async () => (await server.get("/api/v1/token-stats/all?details=1")).json.gitee.tokens.every((token) => token.inFlight === 0));
  const name = /^(imagine_\w*in_flight\w*)/m.exec((await server.get("/metrics")).text)?.[1];
  assert.ok(name, "metrics tell what is in flight");
  await eventually("nothing is in flight but the question", async () => (await metric(name)) <= 1);
  const answer = await server.post("/api/v1/generate", { model: "gitee/z-image-turbo", prompt: "after all that" });
  assert.equal(answer.status, 200, answer.text);
});

test("a caller that half-closes behind its request still gets the answer", async () => {
  const answer = await raw(server.port, post1.replace("Host: x", "Host: x\r\nConnection: close"), { timeoutMs: 8000, afterwards: (socket) => socket.end() });
  assert.ok([200, 0].includes(answer.status), answer.text);
});

test("many requests that wait at once cost no thread and lose no answer", async () => {
  await upstream.reset();
  await upstream.control({ latencyMs: 1500 });
  const answers = await Promise.all(Array.from({ length: 400 }, () => fetch(`${server.origin}/api/v1/generate`, { method: "POST", headers: { "content-type": "application/json" }, body }).then(async (answer) => [answer.status, (await answer.json()).url !== undefined])));
  assert.equal(answers.filter(([status, hasUrl]) => status === 200 && hasUrl).length, 400);
});
