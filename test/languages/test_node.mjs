// test_node.mjs: examples/node/imagine.mjs, which lies beside its copy, against the stand-in, whose
// settings are in the environment: run by test/e2e/languages.test.mjs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import { Client, ImagineError, Refused, errors } from "./imagine.mjs";

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
const haiku = { model: "gitee/qwen-3", prompt: "a cat" };

/** A client that is closed with the test. */
function open(t, { settings, ...options } = {}) {
  const client = new Client({ settings: { STATE_FILE: ":memory:", GITEE_TOKENS: "t1,t2", ...settings }, ...options });
  t.after(() => client.close());
  return client;
}

/** A provider without a network; `generate` is its whole work. */
const local = (name, generate) => ({ name, tokenOptional: true, catalogue: { models: [{ key: "one", type: ["text2image"] }] }, generate });
const instant = local("instant", (call) => ({ url: "data:,x", width: call.params.width }));

/** This file's own interpreter, with a program of its own. */
const node = (program, options) => spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8", timeout: 20000, ...options });

test("a picture", async (t) => {
  const result = await open(t).generate({ ...cat, prompt: 'a "cat"\n\\ \u0001 é 🐈', seed: 7 });
  assert.match(result.url, /^http/);
  assert.equal(result.seed, 7);
});

test("many at once, of several clients", async (t) => {
  const clients = [open(t), open(t), open(t)];
  const results = await Promise.all(Array.from({ length: 48 }, (_, i) => clients[i % 3].generate(cat)));
  assert.equal(new Set(results.map(({ seed }) => seed)).size, 48);
});

test("what fails is an ImagineError", async (t) => {
  const client = open(t);
  await assert.rejects(client.generate({ prompt: "" }), (e) => e instanceof ImagineError && e.code === "IMAGINE_EINVAL" && e.httpStatus === 400 && /prompt/.test(e.message));
  await assert.rejects(client.generate({ model: "nobody/x", prompt: "x" }), { number: errors.EPROVIDER, code: "IMAGINE_EPROVIDER" });
  await assert.rejects(client.generate({ ...cat, model: "modelscope/x" }), { code: "IMAGINE_ENOTOKEN" });
  await assert.rejects(open(t, { settings: { GITEE_TOKENS: "" } }).generate(cat), { code: "IMAGINE_ENOTOKEN" });
  await assert.rejects(client.taskStatus("no-such-task-at-all"), { code: "IMAGINE_ENOTFOUND", httpStatus: 404 });
  assert.throws(() => new Client({ settings: { PORT: "many" } }), /PORT/);
  assert.throws(() => new Client({ colour: "red" }), /colour/);
  const catalogue = { models: [{ key: "one", type: ["picture"] }] };
  assert.throws(() => open(t, { providers: [{ name: "bad", catalogue, generate() {} }] }), /models\[key one\]\.type/);
  assert.throws(() => client.tokens("nobody"), { code: "IMAGINE_EPROVIDER" });
  assert.equal(errors.ECANCELED, -4);
});

test("looking around, and the log", async (t) => {
  const lines = [];
  const client = open(t, { log: (level, line) => lines.push(line), logLevel: "trace" });
  assert.ok(client.models(true).length > 50);
  assert.equal(client.tokens("gitee").length, 2);
  await client.generate(cat);
  assert.ok(lines.some((line) => line.includes("http.start")), lines.join("\n"));
});

test("a signal that is aborted: before, at once, and at any moment", async (t) => {
  const client = open(t);
  await assert.rejects(client.generate(cat, { signal: AbortSignal.abort(new Error("never")) }), { message: "never" });
  const controller = new AbortController();
  const atOnce = client.generate(cat, { signal: controller.signal });
  controller.abort();
  await assert.rejects(atOnce, { name: "AbortError" });
  let ended = 0;
  for (let i = 0; i < 60; i++) {
    const moment = new AbortController();
    const one = client.generate(cat, { signal: moment.signal }).then(() => ended++, (e) => assert.equal(e.name, "AbortError"));
    if (i % 3 === 0) await null;
    else await pause(i / 4);
    moment.abort();
    await one;
  }
  const late = new AbortController();
  await client.generate(cat, { signal: late.signal });
  late.abort(); // harmless
  assert.ok(ended < 60);
});

test("who aborts a request aborts what its provider awaits", async (t) => {
  let why;
  const slow = local("slow", async (call) => {
    call.signal.addEventListener("abort", () => (why = "told"));
    await call.sleep(60000);
  });
  const client = open(t, { providers: [slow] });
  await assert.rejects(client.generate({ model: "slow/one", prompt: "x" }, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  for (let i = 0; i < 100 && why === undefined; i++) await pause(10);
  assert.equal(why, "told");
});

test("closing fails what is in flight, and what comes later", async (t) => {
  const client = open(t, { providers: [local("slow", (call) => call.sleep(60000))] });
  const one = assert.rejects(client.generate({ model: "slow/one", prompt: "x" }), { code: "IMAGINE_ECANCELED" });
  const other = assert.rejects(client.generate(cat), { code: "IMAGINE_ECANCELED" });
  await client.close();
  await Promise.all([one, other]);
  await assert.rejects(client.generate(cat), { code: "IMAGINE_ECLOSED" });
  for (const look of [() => client.models(), () => client.tokens("gitee")]) assert.throws(look, { code: "IMAGINE_ECLOSED" });
  await client.close(); // again: the same end
});

test("a text comes in pieces", async (t) => {
  const client = open(t);
  const pieces = [];
  for await (const piece of client.stream(haiku)) pieces.push(piece);
  assert.ok(pieces.length > 1);
  assert.equal(pieces.join("").trim(), (await client.text(haiku)).text.trim());
  for await (const piece of client.stream(haiku)) break; // who leaves ends it
  await assert.rejects(client.stream({ ...haiku, prompt: "" }).next(), { code: "IMAGINE_EINVAL" });
  const controller = new AbortController();
  await assert.rejects(async () => {
    for await (const piece of client.stream(haiku, { signal: controller.signal })) controller.abort();
  }, { name: "AbortError" });
});

test("a slow reader of a text loses nothing", async (t) => {
  const client = open(t);
  let text = "";
  for await (const piece of client.stream({ ...haiku, prompt: "word ".repeat(400) })) {
    text += piece;
    if (text.length < 100) await pause(1);
  }
  assert.ok(text.split("word").length > 390, text.slice(0, 80));
});

test("a provider in JavaScript", async (t) => {
  const seen = [];
  const picky = {
    name: "picky",
    catalogue: { api_base: process.env.GITEE_API_BASE, models: [{ key: "z-image-turbo", type: ["text2image"] }] },
    async generate(call) {
      const { prompt, seed } = call.params;
      seen.push(call.token);
      await call.sleep(10);
      if (prompt === "broken") throw new RangeError("nobody expected that");
      if (prompt === "nothing") return;
      if (call.token === "spent") throw new Refused(errors.EQUOTA, "nothing left");
      await new Promise((resolve) => setTimeout(resolve, 5)); // not the library's
      const answer = await call.http(call.url("/images/generations"), { json: { model: call.model, prompt, seed, width: 1024, height: 1024, num_inference_steps: 9, response_format: "url" } });
      assert.deepEqual([answer.status, answer.type], [200, "application/json"]);
      return { url: answer.json().data[0].url };
    },
  };
  const client = open(t, { settings: { PICKY_TOKENS: "spent,t1" }, providers: [picky] });
  const wish = { model: "picky/z-image-turbo", prompt: "a cat" };
  assert.match((await client.generate(wish)).url, /^http/);
  assert.deepEqual(seen, ["spent", "t1"]);
  assert.deepEqual(client.tokens("picky").map(({ state }) => state), ["exhausted", "active"]);
  await assert.rejects(client.generate({ ...wish, prompt: "broken" }), { code: "IMAGINE_EPROTOCOL", message: /RangeError: nobody expected that/ });
  await assert.rejects(client.generate({ ...wish, prompt: "nothing" }), { code: "IMAGINE_EPROTOCOL" });
});

/** Streams a text as gitee does. */
function teller(onStream = () => {}) {
  return {
    name: "teller",
    tokenOptional: true,
    catalogue: { api_base: process.env.GITEE_API_BASE, models: [{ key: "qwen-3", type: ["text2text"] }] },
    answers: [],
    async text(call) {
      const { prompt } = call.params;
      const url = call.url("/chat/completions");
      const ask = (stream) => ({ json: { model: "x-one", messages: [{ role: "user", content: prompt }], stream }, headers: { Authorization: "Bearer t1" }, auth: "none" });
      if (!call.wantsPieces) return { text: (await call.http(url, ask(false))).json().choices[0].message.content };
      for await (const event of call.events(url, ask(prompt !== "no stream"))) {
        if (event.data === "[DONE]" || prompt.startsWith("break")) break;
        const { content } = event.json().choices[0].delta;
        if (!content) continue;
        call.delta(content);
        await onStream(call);
      }
      this.answers.push(call.answer?.type);
      if (prompt === "break, wait") await pause(50); // not the library's: the stream would have ended
      if (prompt.startsWith("break")) {
        await call.sleep(1);
        call.delta("enough");
      }
      if (call.answer) call.delta(`${call.answer.status}`);
      return {};
    },
  };
}

async function gather(pieces) {
  let text = "";
  for await (const piece of pieces) text += piece;
  return text;
}

test("a provider that streams", async (t) => {
  const mine = teller();
  const client = open(t, { providers: [mine] });
  const told = (prompt) => gather(client.stream({ model: "teller/qwen-3", prompt }));
  const { text } = await client.text({ model: "teller/qwen-3", prompt: "a cat é 🐈" });
  assert.match(text, /a cat é 🐈/);
  assert.equal(await told("a cat é 🐈"), text);
  assert.equal(await told("break"), "enough");
  assert.equal(await told("break, wait"), "enough");
  assert.equal(await told("no stream"), "200");
  assert.deepEqual(mine.answers, [undefined, undefined, undefined, "application/json"]);
});

test("a provider that streams goes on when its reader has left: the work was begun", async (t) => {
  const mine = teller(() => pause(5));
  const client = open(t, { providers: [mine] });
  for await (const piece of client.stream({ model: "teller/qwen-3", prompt: "a cat ".repeat(20) })) {
    assert.ok(piece);
    break;
  }
  while (mine.answers.length === 0) await pause(1);
  assert.match((await client.generate(cat)).url, /^http/);
});

test("closing ends a stream that a provider reads", async (t) => {
  let reason;
  const stuck = teller((call) => new Promise((resolve) => call.signal.addEventListener("abort", () => resolve((reason = call.signal.reason)))));
  const client = open(t, { providers: [stuck] });
  await assert.rejects(async () => {
    for await (const _ of client.stream({ model: "teller/qwen-3", prompt: "a cat" })) client.close();
  }, { code: "IMAGINE_ECANCELED" });
  await pause(1);
  assert.equal(reason.name, "AbortError");
  assert.equal(stuck.answers.length, 0);
});

test("a process ends when nothing is in flight, and no earlier", () => {
  const settings = `{ settings: { STATE_FILE: ":memory:", GITEE_TOKENS: "t1" } }`;
  const quiet = node(`import { Client } from "./imagine.mjs"; new Client(${settings});`);
  assert.deepEqual([quiet.status, quiet.stderr], [0, ""]);
  const one = node(`import { Client } from "./imagine.mjs"; new Client(${settings}).generate(${JSON.stringify(cat)}).then((r) => console.log(r.url));`);
  assert.equal(one.status, 0, one.stderr);
  assert.match(one.stdout, /^http/);
  const began = performance.now();
  const left = node(`import { Client } from "./imagine.mjs"; const slow = { name: "slow", tokenOptional: true, catalogue: { models: [{ key: "one", type: ["text2image"] }] }, generate: (call) => call.sleep(60000) };
    new Client({ settings: { STATE_FILE: ":memory:" }, providers: [slow] }).generate({ model: "slow/one", prompt: "x" }); setTimeout(() => process.exit(3), 200);`);
  assert.equal(left.status, 3, left.stderr);
  assert.ok(performance.now() - began < 4000, "an exit waited for the pool's thread");
});

test("who waits costs nothing", async (t) => {
  const client = open(t, { providers: [local("slow", async (call) => (await call.sleep(1500), { url: "data:,x" }))] });
  await client.generate(cat); // a connection is kept
  for (const work of [client.generate({ model: "slow/one", prompt: "x" }), pause(1000)]) {
    const before = process.cpuUsage();
    await work;
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 100000, `${user + system} µs`);
  }
});

test("ten thousand requests leave nothing", async (t) => {
  const client = open(t, { providers: [instant] });
  const collect = globalThis.gc ?? assert.fail("run it with --expose-gc");
  const resident = () => (collect(), Number(readFileSync("/proc/self/statm", "latin1").split(" ")[1]) * 4096);
  const some = async (count) => {
    for (let i = 0; i < count; i += 100) {
      await Promise.all(Array.from({ length: 100 }, () => client.generate({ model: "instant/one", prompt: "x" })));
      if (i % 500 === 0) collect();
    }
  };
  await some(4000);
  const before = resident();
  await some(10000);
  const grown = resident() - before;
  assert.ok(grown < 8 << 20, `${grown} bytes`);
});
