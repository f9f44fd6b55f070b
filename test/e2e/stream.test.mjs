// stream.test.mjs: texts in pieces through the real server: the form that callers know, pieces as they
// come, failures before and inside the stream, callers that leave.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { eventually, startServer, startUpstream } from "../support/harness.mjs";

let upstream, server;
before(async () => {
  upstream = await startUpstream();
  server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "t1,t2", API_TOKEN: "u", STATE_FILE: ":memory:", RATE_LIMIT: "0" } });
});
after(async () => {
  await server?.stop();
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

/** Reads a stream as it comes: its events, and when each came. */
function ask(fields, { headers = {}, leaveAfter = Infinity } = {}) {
  const body = JSON.stringify({ model: "gitee/qwen-3", prompt: "a lighthouse in a storm", ...fields });
  return new Promise((resolve, reject) => {
    const request = http.request(`${server.origin}/api/v1/text`, { method: "POST", headers: { authorization: "Bearer u", "content-type": "application/json", ...headers } }, (response) => {
      let text = "";
      const events = [], times = [];
      response.on("data", (piece) => {
        text += piece;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          events.push(text.slice(0, end).replace(/^data: /, ""));
          times.push(performance.now());
          if (events.length === leaveAfter) request.destroy();
        }
      });
      const done = () => resolve({ status: response.statusCode, type: response.headers["content-type"], events, times, rest: text });
      response.on("end", done);
      response.on("error", done);
    });
    request.on("error", (error) => (leaveAfter === Infinity ? reject(error) : resolve({ status: 0, events: [] })));
    request.end(body);
  });
}
const textOf = (events) => events.slice(0, -1).map((event) => JSON.parse(event).choices[0].delta.content).join("");
const whole = "A vivid picture: a lighthouse in a storm";

test("stream: true brings pieces in the chat-completions form, then [DONE]", async () => {
  const answer = await ask({ stream: true });
  assert.equal(answer.status, 200);
  assert.equal(answer.type, "text/event-stream");
  assert.equal(answer.events.at(-1), "[DONE]");
  assert.ok(answer.events.length > 3, "more than one piece");
  assert.equal(textOf(answer.events), whole);
  const [sent] = await upstream.log("chat/completions");
  assert.equal(sent.json.stream, true);
});

test("so does Accept: text/event-stream, and nobody else gets one", async () => {
  assert.equal(textOf((await ask({}, { headers: { accept: "text/event-stream" } })).events), whole);
  const plain = await ask({});
  assert.equal(plain.type, "application/json");
  assert.equal(JSON.parse(plain.rest).text, whole);
  assert.equal((await ask({ stream: false }, { headers: { accept: "text/event-stream" } })).type, "application/json");
});

test("pieces leave as they come", async () => {
  await upstream.control({ eventMs: 80 });
  const { times } = await ask({ stream: true });
  assert.ok(times.at(-1) - times[0] > 200, `all at once: ${times.at(-1) - times[0]} ms`);
});

test("an empty answer gives the prompt back", async () => {
  const answer = await ask({ stream: true, prompt: "nothing [empty]" });
  assert.deepEqual([textOf(answer.events), answer.events.at(-1)], ["nothing [empty]", "[DONE]"]);
});

test("before the first piece another token tries, and a failure is an answer of its own", async () => {
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" } } });
  for (let i = 0; i < 2; i++) assert.equal(textOf((await ask({ stream: true })).events), whole);
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" }, t2: { state: "exhausted", shape: "429" } } });
  const answer = await ask({ stream: true });
  assert.equal(answer.status, 429);
  assert.match(answer.rest, /error_gitee_token_exhausted/);
  await server.post("/api/v1/token-reset", { provider: "gitee" }, { token: "u" });
});

test("a stream that breaks says so in the stream", async () => {
  await upstream.control({ next: [{ do: "truncate", match: { path: "chat/completions" } }] });
  const answer = await ask({ stream: true });
  assert.equal(answer.status, 200);
  const last = JSON.parse(answer.events.at(-1));
  assert.match(last.error.code, /^IMAGINE_E/);
  assert.ok(last.error.message.length > 0);
  assert.ok(!answer.events.includes("[DONE]"));
});

test("a caller that leaves is noticed, and the server lives on", async () => {
  await upstream.control({ eventMs: 50 });
  await ask({ stream: true }, { leaveAfter: 2 });
  await eventually("the request's end in the log", async () => /status=499|path=\/api\/v1\/text .*status=200/.test(server.stderr) || undefined);
  await upstream.control({ eventMs: 1 });
  assert.equal(textOf((await ask({ stream: true })).events), whole);
});
