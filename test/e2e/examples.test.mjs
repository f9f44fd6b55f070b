// examples.test.mjs: the programs that users copy from, run.
import assert from "node:assert/strict";
import http from "node:http";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { build, listen, root, run, scratch, startServer, startUpstream } from "../support/harness.mjs";
import { pngOfUrl, readPng } from "../support/png.mjs";

let upstream;
before(async () => (upstream = await startUpstream()));
after(() => upstream?.stop());
beforeEach(() => upstream.reset());

const example = (name) => path.join(build, "examples", name);

test("generate draws a sample without any setting", async () => {
  const cwd = scratch();
  const { code, stderr } = await run(example("generate"), ["a quiet sea at dawn", "sea.png"], { cwd });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  readPng(readFileSync(path.join(cwd, "sea.png")));
});

test("generate asks a provider, and brings the picture's bytes", async () => {
  const cwd = scratch();
  const { code, stderr } = await run(example("generate"), ["a sea", "sea.png", "gitee/flux-2"], { cwd, env: { ...upstream.settings, GITEE_TOKENS: "t1", ALLOW_PRIVATE_HOSTS: "127.0.0.1", STATE_FILE: ":memory:" } });
  assert.equal(code, 0, stderr);
  const picture = readPng(readFileSync(path.join(cwd, "sea.png")));
  assert.deepEqual([picture.width, picture.height], [8, 8]);
});

test("generate says why there is no picture", async () => {
  const { code, stderr } = await run(example("generate"), ["a sea", "sea.png", "gitee/flux-2"], { env: { STATE_FILE: ":memory:" } });
  assert.equal(code, 1);
  assert.match(stderr, /error_gitee_token_required/);
  assert.equal((await run(example("generate"), [])).code, 2);
});

test("threads ask at once, each for its own picture, with memory and log of the host's", async () => {
  const prompts = Array.from({ length: 12 }, (_, i) => `picture ${i}`);
  const { code, stdout, stderr } = await run(example("threads"), ["gitee/flux-2", ...prompts], { env: { ...upstream.settings, GITEE_TOKENS: "t1,t2", STATE_FILE: path.join(scratch(), "state.db") } });
  assert.equal(code, 0, stderr);
  for (const prompt of prompts) assert.match(stdout, new RegExp(`^${prompt}: \\d+ characters`, "m"));
  assert.ok(Number(/^(\d+) allocations$/m.exec(stdout)?.[1]) > 12, stdout);
  assert.match(stderr, /^log: store\.opened/m);
  assert.equal((await upstream.log("generations")).length, 12);
  assert.equal((await run(example("threads"), ["no/such", "a cat"], { env: { STATE_FILE: ":memory:" } })).code, 1);
});

test("processes that were forked first have a client each, and one storage", async () => {
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" } } });
  const env = { ...upstream.settings, GITEE_TOKENS: "t1,t2", STATE_FILE: path.join(scratch(), "state.db") };
  const { code, stdout, stderr } = await run(example("prefork"), ["gitee/flux-2", "one", "two", "three", "four"], { env });
  assert.equal(code, 0, stderr);
  assert.equal(new Set([...stdout.matchAll(/^(\d+): (?:one|two|three|four): \d+ characters/gm)].map(([, pid]) => pid)).size, 4, stdout);
  await upstream.reset();
  assert.equal((await run(example("prefork"), ["gitee/flux-2", "five"], { env })).code, 0);
  assert.deepEqual((await upstream.log("generations")).map((entry) => entry.token), ["t2"], "what one has learned, those after it know");
  assert.equal((await run(example("prefork"), ["no/such", "a cat"], { env })).code, 1);
});

for (const name of ["epoll_loop", "glib_loop", "uv_loop"])
  test(`${name} makes three pictures at once, and its own clock ticks on`, async () => {
    await upstream.control({ latencyMs: 300 });
    const env = { ...upstream.settings, GITEE_TOKENS: "t1,t2", ALLOW_PRIVATE_HOSTS: "127.0.0.1", STATE_FILE: ":memory:" };
    const { code, stdout, stderr } = await run(example(name), ["gitee/z-image-turbo", "one", "two", "three"], { env });
    assert.equal(code, 0, stderr);
    for (const prompt of ["one", "two", "three"]) assert.match(stdout, new RegExp(`^${prompt}: http`, "m"));
    const ticks = Number(/^(\d+) ticks/m.exec(stdout)?.[1]);
    assert.ok(ticks >= 10 && ticks < 200, stdout);
  });

test("file_io answers from a file, in a time of its own, and reaches nobody", async () => {
  const cwd = scratch(), env = { GITEE_TOKENS: "one,two" };
  const ask = (answers) => {
    writeFileSync(path.join(cwd, "answers.json"), JSON.stringify(answers));
    return run(example("file_io"), ["answers.json", "gitee/flux-2", "a cat"], { cwd, env });
  };
  const picture = { url: "/images/generations", body: { data: [{ url: "https://pictures.test/cat.png" }] } };
  const good = await ask([picture]);
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /^https:\/\/pictures\.test\/cat\.png after 0 ms and 1 calls$/m);
  const rotated = await ask([{ url: "/images/generations", status: 429, headers: { "Retry-After": "2" }, body: {} }, picture]);
  assert.equal(rotated.code, 0, rotated.stderr);
  assert.match(rotated.stdout, /cat\.png after \d+ ms and 2 calls/);
  const late = await ask([1, 2].map(() => ({ url: "/images/generations", status: 429, headers: { "Retry-After": "2" }, body: {} })).concat(picture));
  assert.match(late.stdout, /cat\.png after [2-9]\d{3} ms and 3 calls/, "both cool down, and one is waited for");
  const none = await ask([{ url: "/elsewhere", body: {} }]);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no answer/);
});

/** What examples/custom_provider.c is written for: tasks, polls, tokens that run out. */
async function acme({ spent = [] } = {}) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const token = (request.headers.authorization ?? "").replace("Bearer ", "");
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      seen.push({ route: `${request.method} ${request.url}`, token, body: body === "" ? undefined : JSON.parse(body) });
      const answer = (status, json) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(json));
      };
      if (spent.includes(token)) answer(429, { message: "your quota is spent" });
      else if (request.method === "POST") answer(200, { task: { id: "a/b 1" } });
      else if (seen.filter((entry) => entry.route.startsWith("GET")).length < 3) answer(200, { task: { state: "running" } });
      else answer(200, { task: { state: "done", images: ["https://cdn.example/cat.png"] } });
    });
  });
  return { seen, origin: `http://127.0.0.1:${await listen(server)}` };
}

test("custom_provider makes a task, polls it, and prints the address", async () => {
  const provider = await acme();
  const { code, stdout, stderr } = await run(example("custom_provider"), [provider.origin, "token-a,token-b", "a cat"]);
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stdout, "https://cdn.example/cat.png\n");
  const [create, ...polls] = provider.seen;
  assert.equal(create.body.prompt, "a cat");
  assert.equal(polls.length, 3);
  assert.equal(new Set(provider.seen.map((entry) => entry.token)).size, 1, "a task belongs to the token that made it");
});

test("custom_provider goes on with the next token when one is spent", async () => {
  const provider = await acme({ spent: ["token-a"] });
  for (let i = 0; i < 2; i++) {
    const { code, stdout } = await run(example("custom_provider"), [provider.origin, "token-a,token-b", "a cat"]);
    assert.equal(code, 0, stdout);
  }
  const spent = await acme({ spent: ["token-a", "token-b"] });
  const { code, stdout } = await run(example("custom_provider"), [spent.origin, "token-a,token-b", "a cat"]);
  assert.equal(code, 1);
  assert.match(stdout, /error_acme_token_exhausted/);
});

test("stream prints a text as it comes, or why there is none", async () => {
  const env = { ...upstream.settings, GITEE_TOKENS: "t1", STATE_FILE: ":memory:" };
  const good = await run(example("stream"), ["a lighthouse", "gitee/qwen-3"], { env });
  assert.equal(good.code, 0, good.stderr);
  assert.equal(good.stdout, "A vivid picture: a lighthouse\n");
  const bad = await run(example("stream"), ["a lighthouse", "gitee/qwen-3"], { env: { ...env, GITEE_TOKENS: "" } });
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /error_gitee_token_required/);
});

test("file_storage keeps what a client learned, for the next one", async () => {
  const folder = path.join(scratch(), "state");
  const env = { ...upstream.settings, GITEE_TOKENS: "spent,good" };
  await upstream.control({ tokens: { spent: { state: "exhausted", shape: "429" } } });
  const make = () => run(example("file_storage"), [folder, "a sea", "gitee/flux-2"], { env });
  for (let i = 0; i < 3; i++) {
    const { code, stdout, stderr } = await make();
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^http/);
  }
  const sent = (await upstream.log("generations")).map((entry) => entry.token);
  assert.deepEqual(sent, ["spent", "good", "good", "good"]);
  assert.ok(readdirSync(folder).every((name) => /^[0-9a-f]{16}\.value$/.test(name)));
  for (const name of readdirSync(folder)) assert.ok(!readFileSync(path.join(folder, name), "utf8").includes("spent"), "a token, not its fingerprint");
});

test("generate tells a setting that makes no sense", async () => {
  const { code, stderr } = await run(example("generate"), ["a sea", "sea.png"], { cwd: scratch(), env: { TIMEOUT_IMAGE_MS: "soon", STATE_FILE: ":memory:" } });
  assert.equal(code, 1);
  assert.match(stderr, /^TIMEOUT_IMAGE_MS: a whole number/);
});

test("the headers' initializers are C++, too", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "picture.cpp"), `#include <imagine.h>
    static imagine_params_t other = IMAGINE_PARAMS_INIT;
    int main() {
        imagine_options_t options = IMAGINE_OPTIONS_INIT;
        imagine_params_t params = IMAGINE_PARAMS_INIT;
        return options.size == sizeof(options) && params.size == sizeof(params) && other.prompt == params.prompt && params.prompt == nullptr ? 0 : 1;
    }`);
  const compiled = await run(process.env.CXX ?? "c++", ["-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror", `-I${root}/include`, "-o", "picture", "picture.cpp"], { cwd });
  assert.equal(compiled.code, 0, compiled.stderr);
  assert.equal((await run(path.join(cwd, "picture"), [], { cwd })).code, 0);
});

test("embed_gateway has the whole API", async () => {
  const server = await startServer({ program: example("embed_gateway"), env: { PORT: "0", API_TOKEN: "user-token", SAMPLE_PROVIDER: "on" } });
  assert.equal((await server.get("/api/health")).status, 200);
  assert.equal((await server.get("/api/v1/models")).status, 401);
  const answer = await server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a sea", width: 300, height: 200 }, { token: "user-token" });
  assert.equal(answer.status, 200, answer.text);
  const picture = readPng(pngOfUrl(answer.json.url));
  assert.deepEqual([picture.width, picture.height], [300, 200]);
  const many = await Promise.all(Array.from({ length: 50 }, () => fetch(`${server.origin}/api/v1/models`, { headers: { authorization: "Bearer user-token" } }).then(async (each) => [each.status, (await each.json()).length > 10])));
  assert.ok(many.every(([status, isWhole]) => status === 200 && isWhole));
  await server.stop("SIGKILL"); // it says that it runs until it is killed
});
