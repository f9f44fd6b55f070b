// routes.test.mjs: every route, and every refusal that http-api.md names, by the real server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { curl, raw, scratch, startServer, startUpstream, tinyPng } from "../support/harness.mjs";
import { writeFileSync } from "node:fs";
import path from "node:path";

let upstream;
let server;

before(async () => {
  upstream = await startUpstream();
  server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "good-1,good-2", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", MAX_BODY_BYTES: "300000" } });
});

after(async () => {
  await server?.stop();
  await upstream?.stop();
});

function assertHeadersOfEveryAnswer(answer) {
  assert.equal(answer.headers["x-content-type-options"], "nosniff");
  assert.equal(answer.headers["x-frame-options"], "DENY");
  assert.equal(answer.headers["referrer-policy"], "no-referrer");
  assert.match(answer.headers["x-request-id"] ?? "", /^[\w-]{8,64}$/);
}

/** {error, message, code, requestId}, all of it. */
function assertError(answer, status, { error, message, code } = {}) {
  assert.equal(answer.status, status, answer.text);
  assertHeadersOfEveryAnswer(answer);
  assert.match(answer.headers["content-type"], /^application\/json/);
  assert.equal(typeof answer.json?.error, "string", answer.text);
  assert.equal(typeof answer.json.message, "string", answer.text);
  assert.match(answer.json.code, /^IMAGINE_E[A-Z]+$/);
  assert.equal(answer.json.requestId, answer.headers["x-request-id"]);
  assert.doesNotMatch(answer.json.message, /[\n\r]/);
  if (typeof error === "string") assert.equal(answer.json.error, error);
  if (error instanceof RegExp) assert.match(answer.json.error, error);
  if (message) assert.match(answer.json.message, message);
  if (code) assert.equal(answer.json.code, code);
}

const cat = (more) => ({ model: "gitee/z-image-turbo", prompt: "a cat", ...more });

// ---- what goes well ----------------------------------------------------------------------------

test("health says ok, when, and which version", async () => {
  const answer = await server.get("/api/health");
  assert.equal(answer.status, 200);
  assertHeadersOfEveryAnswer(answer);
  assert.equal(answer.json.status, "ok");
  assert.match(answer.json.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(answer.json.timestamp) - Date.now()) < 10000);
  assert.match(answer.json.version, /^\d+\.\d+\.\d+$/);
});

test("HEAD works where GET does, with the same length and no body", async () => {
  for (const where of ["/api/health", "/api/v1/models/all", "/api/v1/token-stats", "/metrics"]) {
    const head = await server.request("HEAD", where);
    const get = await server.get(where);
    assert.equal(head.status, 200, where);
    assert.equal(head.body.length, 0, where);
    assert.equal(head.headers["content-type"], get.headers["content-type"], where);
    if (where !== "/metrics") assert.equal(head.headers["content-length"], String(get.body.length), where);
  }
});

const catalogueIds = [
  "gitee/z-image-turbo", "gitee/qwen-image", "gitee/flux-2", "gitee/flux-1-schnell", "gitee/flux-1-krea", "gitee/flux-1",
  "gitee/qwen-image-edit", "gitee/wan2.2-i2v", "gitee/deepseek-v3", "gitee/qwen-3",
  "huggingface/z-image", "huggingface/z-image-turbo", "huggingface/qwen-image", "huggingface/ovis-image",
  "huggingface/flux-1-schnell", "huggingface/qwen-image-edit", "huggingface/realesrgan", "huggingface/wan2.2-i2v",
  "huggingface/openai-gpt-4_1-nano", "huggingface/openai-gpt-5-nano",
  "modelscope/z-image-turbo", "modelscope/flux-2", "modelscope/flux-1-krea", "modelscope/flux-1",
  "modelscope/qwen-image-edit", "modelscope/deepseek-v3", "modelscope/qwen-3",
  "a4f/z-image", "a4f/imagen-4", "a4f/imagen-3.5", "a4f/flux-schnell", "a4f/gemini-2.5-flash-lite", "a4f/gemini-2.0-flash", "a4f/deepseek-v3.1", "a4f/deepseek-r1-0528", "a4f/qwen3-235b", "a4f/kimi-k2-thinking", "a4f/glm-4.5",
  "modelslab/flux", "modelslab/flux-dev", "modelslab/sdxl", "modelslab/realistic-vision", "modelslab/cogvideox-5b",
  "gemini/nano-banana-2", "gemini/nano-banana-pro", "gemini/nano-banana", "gemini/gemini-3.1-pro",
  "gemini/gemini-3-flash", "gemini/gemini-3.1-flash-lite", "gemini/gemini-2.5-flash", "gemini/gemini-2.5-pro",
  "gemini/gemini-2.5-flash-lite", "gemini/veo-3.1", "gemini/veo-3.1-fast", "gemini/veo-3.1-lite", "gemini/veo-3",
  "gemini/veo-3-fast", "gemini/veo-2",
  "grok/grok-imagine-image", "grok/grok-imagine-image-pro", "grok/grok-4.20-0309-reasoning", "grok/grok-4.20-0309-non-reasoning", "grok/grok-4-1-fast-reasoning", "grok/grok-4-1-fast-non-reasoning", "grok/grok-imagine-video",
  "openai/gpt-image-2", "openai/gpt-image-1.5", "openai/gpt-image-1-mini", "openai/gpt-5.5", "openai/gpt-5.4", "openai/gpt-5.4-mini", "openai/gpt-5.4-nano", "openai/sora-2", "openai/sora-2-pro",
];
const types = ["text2image", "image2image", "text2text", "text2video", "image2video", "upscaler"];

test("models/all lists every model with what a page needs to know", async () => {
  const answer = await server.get("/api/v1/models/all");
  assert.equal(answer.status, 200);
  const ids = answer.json.map((model) => model.id);
  assert.deepEqual(ids.filter((id) => !id.startsWith("sample/")), catalogueIds);
  assert.equal(new Set(ids).size, ids.length, "an id comes twice");
  for (const model of answer.json) {
    assert.ok(model.name.length > 0, model.id);
    assert.ok(model.type.length > 0 && model.type.every((type) => types.includes(type)), `${model.id}: ${model.type}`);
    for (const range of [model.steps, model.guidance].filter(Boolean)) {
      assert.ok(range.range[0] <= range.default && range.default <= range.range[1], model.id);
    }
    for (const secret of ["api_id", "space", "fn", "data", "api_base"]) assert.ok(!(secret in model), `${model.id} tells ${secret}`);
  }
  const flux = answer.json.find((model) => model.id === "gitee/flux-2");
  assert.deepEqual(flux.steps, { range: [1, 50], default: 9 });
  assert.deepEqual(flux.guidance, { range: [1, 10], default: 3.5 });
  assert.deepEqual(flux.type, ["text2image"]);
});

test("models lists those whose provider can serve now, in the same order", async () => {
  const all = (await server.get("/api/v1/models/all")).json.map((model) => model.id);
  const usable = (await server.get("/api/v1/models")).json.map((model) => model.id);
  assert.deepEqual(usable, all.filter((id) => usable.includes(id)));
  assert.ok(usable.includes("gitee/flux-2"), "it has a token");
  assert.ok(usable.includes("huggingface/z-image-turbo"), "it needs none");
  assert.ok(!usable.some((id) => id.startsWith("modelscope/")), "it has no token");
  assert.ok(!usable.some((id) => id.startsWith("sample/")), "there are better ones");
});

for (const word of ["generate", "imagine"]) {
  test(`${word} answers address, size, seed and steps`, async () => {
    const answer = await server.post(`/api/v1/${word}`, cat({ seed: 42, ar: "16:9" }));
    assert.equal(answer.status, 200, answer.text);
    assertHeadersOfEveryAnswer(answer);
    const { url, ...others } = answer.json;
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/files\/.*picture\.png$/);
    assert.deepEqual(others, { width: 2048, height: 1152, seed: 42, steps: 9 });
  });
}

test("an id without a slash means gitee", async () => {
  const answer = await server.post("/api/v1/generate", cat({ model: "flux-2" }));
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.guidance, 3.5);
});

test("multipart is taken for every action, and its numbers are read as numbers", async () => {
  const form = [["model", "gitee/flux-2"], ["prompt", "a cat; with a comma, and \"quotes\""], ["seed", "7"], ["steps", "12"], ["guidance", "2.5"], ["width", "512"], ["height", "768"]];
  const answer = await server.request("POST", "/api/v1/generate", { args: form.flatMap(([name, value]) => ["--form-string", `${name}=${value}`]) });
  assert.equal(answer.status, 200, answer.text);
  const { url, ...others } = answer.json;
  assert.deepEqual(others, { width: 512, height: 768, seed: 7, steps: 12, guidance: 2.5 });
  assert.equal((await upstream.log("generations")).at(-1).json.prompt, "a cat; with a comma, and \"quotes\"");
});

test("steps and guidance beyond the model's range are held to it, and told", async () => {
  const answer = await server.post("/api/v1/generate", cat({ model: "gitee/flux-2", steps: 900, guidance: 90 }));
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.steps, 50);
  assert.equal(answer.json.guidance, 10);
});

test("without a seed a random one is used, and told", async () => {
  const seeds = [];
  for (let i = 0; i < 3; i++) seeds.push((await server.post("/api/v1/generate", cat())).json.seed);
  for (const seed of seeds) assert.ok(Number.isInteger(seed) && seed >= 0 && seed <= 2147483646, String(seed));
  assert.equal(new Set(seeds).size, 3);
});

test("unknown fields are ignored", async () => {
  assert.equal((await server.post("/api/v1/generate", cat({ nonsense: { deep: [1, 2] }, steps: 5 }))).json.steps, 5);
});

test("token statistics add up, in all three forms", async () => {
  const sum = (stats) => stats.active + stats.exhausted + stats.cooling + stats.invalid;
  const one = await server.get("/api/v1/token-stats");
  assert.deepEqual(one.json, { total: 2, exhausted: 0, active: 2, cooling: 0, invalid: 0 });
  assert.deepEqual((await server.get("/api/v1/token-stats?provider=modelscope")).json, { total: 0, exhausted: 0, active: 0, cooling: 0, invalid: 0 });
  const all = (await server.get("/api/v1/token-stats/all")).json;
  for (const provider of ["gitee", "huggingface", "modelscope"]) assert.equal(all[provider].total, sum(all[provider]), provider);
  assert.equal(all.gitee.tokens, undefined);
  const details = (await server.get("/api/v1/token-stats/all?details=1")).json.gitee;
  assert.equal(details.total, 2);
  assert.equal(details.tokens.length, 2);
  for (const token of details.tokens) {
    assert.match(token.fingerprint, /^[0-9a-f]{12}$/);
    assert.equal(token.state, "active");
  }
});

test("token-reset forgets that tokens are set aside", async () => {
  await upstream.control({ tokens: { "good-1": { state: "exhausted", shape: "429" } } });
  for (let i = 0; i < 3; i++) assert.equal((await server.post("/api/v1/generate", cat())).status, 200);
  assert.equal((await server.get("/api/v1/token-stats")).json.exhausted, 1);
  const answer = await server.post("/api/v1/token-reset", { provider: "gitee" });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, { success: true, message: "Token status reset for gitee" });
  assert.deepEqual((await server.get("/api/v1/token-stats")).json, { total: 2, exhausted: 0, active: 2, cooling: 0, invalid: 0 });
  await upstream.reset();
});

test("metrics are Prometheus text", async () => {
  await server.get("/api/health");
  const answer = await server.get("/metrics");
  assert.equal(answer.status, 200);
  assert.match(answer.headers["content-type"], /^text\/plain; version=0\.0\.4/);
  const lines = answer.text.trimEnd().split("\n");
  for (const line of lines) assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+)$/);
  assert.ok(lines.some((line) => /^imagine_/.test(line)));
});

// ---- what is refused ---------------------------------------------------------------------------

const post = (where, json, wanted) => [`POST ${where} ${JSON.stringify(json).slice(0, 60)}`, () => server.post(where, json), ...wanted];
const invalid = (message) => [400, { error: "Invalid parameters", message }];
const generate = (more, message) => post("/api/v1/generate", cat(more), invalid(message));

const refusals = [
  // Who is asked for.
  post("/api/v1/generate", { prompt: "a cat" }, invalid(/model/)),
  post("/api/v1/generate", { model: "", prompt: "a cat" }, invalid(/model/)),
  generate({ model: 5 }, /model/),
  post("/api/v1/generate", cat({ model: "nobody/x" }), [400, { error: "Invalid provider", message: /^Provider 'nobody' is not supported\. Available providers: .*gitee.*huggingface/ }]),
  post("/api/v1/upscaler", { model: "gitee/z-image-turbo", imageUrl: "https://example.com/a.png" }, [400, { message: /gitee.*upscal|upscal.*gitee/i, code: "IMAGINE_EACTION" }]),
  post("/api/v1/video", { model: "modelscope/flux-2", prompt: "x" }, [400, { message: /modelscope.*video|video.*modelscope/i }]),
  generate({ model: "gitee/../../secret" }, /model/),
  generate({ model: "gitee/a?b=c" }, /model/),
  generate({ model: "gitee/a#b" }, /model/),
  generate({ model: "gitee/a\u0001b" }, /model/),
  generate({ model: `gitee/${"x".repeat(300)}` }, /model/),
  // The prompt.
  post("/api/v1/generate", { model: "gitee/flux-2" }, invalid(/prompt/)),
  generate({ prompt: "" }, /prompt/),
  generate({ prompt: 7 }, /prompt/),
  generate({ prompt: "x".repeat(32001) }, /prompt/),
  post("/api/v1/text", { model: "gitee/qwen-3" }, invalid(/prompt/)),
  post("/api/v1/video", { model: "gitee/wan2.2-i2v" }, invalid(/prompt|image/)),
  // Numbers within sane bounds.
  generate({ steps: 0 }, /steps/),
  generate({ steps: 1.5 }, /steps/),
  generate({ steps: 1001 }, /steps/),
  generate({ steps: "nine" }, /steps/),
  generate({ steps: true }, /steps/),
  generate({ seed: 1.5 }, /seed/),
  generate({ seed: "x" }, /seed/),
  generate({ width: 15, height: 512 }, /width/),
  generate({ width: 512, height: 8193 }, /height/),
  generate({ width: "wide", height: 512 }, /width/),
  generate({ n: 0 }, /\bn\b/),
  generate({ n: 11 }, /\bn\b/),
  generate({ ar: 5 }, /\bar\b/),
  post("/api/v1/video", { model: "gitee/wan2.2-i2v", prompt: "x", imageUrl: "data:image/png;base64,AAAA", duration: 61 }, invalid(/duration/)),
  post("/api/v1/video", { model: "gitee/wan2.2-i2v", prompt: "x", imageUrl: "data:image/png;base64,AAAA", duration: 0.5 }, invalid(/duration/)),
  // Pictures.
  post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red" }, invalid(/image/)),
  post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red", image: "ftp://example.com/a.png" }, invalid(/image|address/)),
  post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red", image: "data:image/png;base64,bm8gcGljdHVyZQ==" }, [400, {}]),
  post("/api/v1/upscaler", { model: "huggingface/realesrgan" }, invalid(/image/)),
  // Bodies.
  ["a body that is no JSON", () => server.post("/api/v1/generate", "{\"model\":"), ...invalid(/JSON/)],
  ["a body that is no object", () => server.post("/api/v1/generate", "[1,2]"), 400, {}],
  ["an empty body", () => server.post("/api/v1/generate", ""), 400, {}],
  ["a body that is no UTF-8", () => server.request("POST", "/api/v1/generate", { body: Buffer.from("{\"model\":\"gitee/flux-2\",\"prompt\":\"\xff\xfe\"}", "latin1"), headers: { "Content-Type": "application/json" } }), 400, {}],
  ["JSON that is too deep", () => server.post("/api/v1/generate", `{"model":"gitee/flux-2","prompt":"x","deep":${"[".repeat(100)}${"]".repeat(100)}}`), 400, {}],
  ["a type that nobody reads", () => server.request("POST", "/api/v1/generate", { body: "a=b", headers: { "Content-Type": "text/plain" } }), 415, {}],
  ["a form of the old kind", () => server.request("POST", "/api/v1/generate", { body: "a=b", headers: { "Content-Type": "application/x-www-form-urlencoded" } }), 415, {}],
  ["multipart without a boundary", () => server.request("POST", "/api/v1/generate", { body: "--x--", headers: { "Content-Type": "multipart/form-data" } }), 400, {}],
  ["multipart that is cut", () => server.request("POST", "/api/v1/generate", { body: "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngit", headers: { "Content-Type": "multipart/form-data; boundary=x" } }), 400, {}],
  ["a body that is too large", () => server.post("/api/v1/generate", cat({ prompt: "x".repeat(400000) })), 413, {}],
  ["a chunked body that is too large", () => server.request("POST", "/api/v1/generate", { body: JSON.stringify(cat({ prompt: "x".repeat(400000) })), headers: { "Content-Type": "application/json", "Transfer-Encoding": "chunked" } }), 413, {}],
  // Tasks and tokens.
  ["task-status without an id", () => server.get("/api/v1/task-status"), 400, { error: "taskId is required" }],
  ["task-status with an empty id", () => server.get("/api/v1/task-status?taskId="), 400, { error: "taskId is required" }],
  ["token-stats of a stranger", () => server.get("/api/v1/token-stats?provider=nobody"), 400, { error: "Invalid provider", message: /Valid providers: .*gitee/ }],
  ["token-reset without a provider", () => server.post("/api/v1/token-reset", {}), 400, { error: "Provider is required" }],
  ["token-reset of a stranger", () => server.post("/api/v1/token-reset", { provider: "nobody" }), 400, { error: "Invalid provider", message: /^Valid providers: .*gitee/ }],
  ["cleanup without hosting", () => server.request("DELETE", "/api/v1/storage/cleanup?startDate=2026-01-01T00:00:00Z&endDate=2026-01-02T00:00:00Z"), 400, { error: "S3 service is not enabled" }],
  ["cleanup with bad dates", () => server.request("DELETE", "/api/v1/storage/cleanup?startDate=yesterday"), 400, { message: /startDate/ }],
  // Places.
  ["an unknown route", () => server.get("/api/v1/nothing"), 404, {}],
  ["an unknown route that is posted to", () => server.post("/api/v1/generates", cat()), 404, {}],
  ["an unknown version", () => server.get("/api/v2/models"), 404, {}],
  ["an unknown place outside", () => server.get("/nothing/here.txt"), 404, {}],
  ["a place outside the root", () => curl(["--path-as-is", `${server.origin}/../../../../etc/passwd`]), 404, {}],
  ["an encoded place outside the root", () => curl(["--path-as-is", `${server.origin}/%2e%2e/%2e%2e/etc/passwd`]), 404, {}],
];

describe("refused before any provider is asked", () => {
  before(() => upstream.reset());
  for (const [name, ask, status, wanted] of refusals) {
    test(`${status}: ${name}`, async () => assertError(await ask(), status, wanted));
  }
  test("and no provider was", async () => assert.deepEqual(await upstream.log(), []));
});

test("an unknown task is a 404 that says so in `status`", async () => {
  for (const id of ["nobody", "0123456789abcdef0123456789abcdef", "operations%2Fwith%2Fslashes", "..%2F..%2Fetc"]) {
    const answer = await server.get(`/api/v1/task-status?taskId=${id}`);
    assert.equal(answer.status, 404, answer.text);
    assert.equal(answer.json.status, "error");
    assert.equal(typeof answer.json.message, "string");
  }
});

const methodsOf = {
  "/api/health": "GET, HEAD, OPTIONS",
  "/api/v1/models": "GET, HEAD, OPTIONS",
  "/api/v1/models/all": "GET, HEAD, OPTIONS",
  "/api/v1/task-status": "GET, HEAD, DELETE, OPTIONS",
  "/api/v1/token-stats": "GET, HEAD, OPTIONS",
  "/api/v1/token-stats/all": "GET, HEAD, OPTIONS",
  "/api/v1/token-reset": "POST, OPTIONS",
  "/api/v1/storage/cleanup": "DELETE, OPTIONS",
  "/api/v1/generate": "POST, OPTIONS",
  "/api/v1/imagine": "POST, OPTIONS",
  "/api/v1/edit": "POST, OPTIONS",
  "/api/v1/text": "POST, OPTIONS",
  "/api/v1/video": "POST, OPTIONS",
  "/api/v1/upscaler": "POST, OPTIONS",
};

describe("another method is a 405 that says which ones there are", () => {
  for (const [where, allowed] of Object.entries(methodsOf)) {
    test(where, async () => {
      for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "BREW"].filter((m) => !allowed.includes(m))) {
        const answer = await server.request(method, where, method === "POST" ? { json: cat() } : {});
        assertError(answer, 405);
        assert.equal(answer.headers.allow, allowed, method);
      }
    });
  }
});

// ---- the wire ----------------------------------------------------------------------------------

const head = (...lines) => `${lines.join("\r\n")}\r\n\r\n`;
const body = JSON.stringify(cat());
const post11 = (...lines) => head("POST /api/v1/generate HTTP/1.1", "Host: x", "Content-Type: application/json", ...lines);

const wires = [
  ["a POST without a length", () => post11("Connection: close"), 411],
  ["a length that is none", () => post11("Content-Length: ten") + body, 400],
  ["a negative length", () => post11("Content-Length: -1") + body, 400],
  ["two lengths that differ", () => post11("Content-Length: 5", "Content-Length: 6") + body, 400],
  ["a length and chunks", () => `${post11(`Content-Length: ${body.length}`, "Transfer-Encoding: chunked")}0\r\n\r\n`, 400],
  ["a coding that nobody knows", () => `${post11("Transfer-Encoding: gzip")}0\r\n\r\n`, [400, 501]],
  ["chunks of no size", () => `${post11("Transfer-Encoding: chunked")}xyz\r\n`, 400],
  ["a target that is too long", () => head(`GET /${"x".repeat(9000)} HTTP/1.1`, "Host: x"), 414],
  ["headers that are too large", () => head("GET /api/health HTTP/1.1", "Host: x", `X-Large: ${"x".repeat(17000)}`), 431],
  ["many headers that are too large together", () => head("GET /api/health HTTP/1.1", "Host: x", ...Array.from({ length: 40 }, (_, i) => `X-${i}: ${"x".repeat(500)}`)), 431],
  ["a JSON length over 32 MiB", () => post11("Content-Length: 40000000"), 413],
  ["no HTTP at all", () => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [0, 400]],
  ["a request line of one word", () => "HELLO\r\n\r\n", [0, 400]],
  ["a blank before the colon", () => head("GET /api/health HTTP/1.1", "Host: x", "X-Odd : 1"), [200, 400]],
];

describe("a broken request does not reach a provider and the server lives on", () => {
  before(() => upstream.reset());
  for (const [name, bytes, wanted] of wires) {
    test(name, async () => {
      const answer = await raw(server.port, bytes(), { timeoutMs: 3000 });
      assert.ok([wanted].flat().includes(answer.status), `${answer.status}: ${answer.text.slice(0, 300)}`);
      if (answer.status === 413) assert.match(answer.text, /connection: close/i);
      assert.equal((await server.get("/api/health")).status, 200);
    });
  }
  test("and no provider was asked", async () => assert.deepEqual(await upstream.log(), []));
});

test("requests of one connection are answered in order, also when they come at once", async () => {
  const one = (n) => head(`GET /api/v1/task-status?taskId=${n} HTTP/1.1`, "Host: x");
  const last = head("GET /api/health HTTP/1.1", "Host: x", "Connection: close");
  const answer = await raw(server.port, one(1) + one(2) + last, { timeoutMs: 5000 });
  assert.deepEqual(answer.text.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 404", "HTTP/1.1 404", "HTTP/1.1 200"]);
  assert.ok(answer.isClosed);
});

test("a connection is kept for the next request", async () => {
  const answer = await curl(["-o", "/dev/null", "-w", "%{num_connects}", `${server.origin}/api/health`, "--next", "-q", "-sS", "-i", "-w", "%{num_connects}", `${server.origin}/api/health`]);
  assert.match(answer.text, /^1|0$/);
  assert.ok(answer.text.endsWith("0"), "the second request made a connection of its own");
});

test("a refused POST with a small body keeps its connection in order", async () => {
  const first = head("POST /api/v1/nothing HTTP/1.1", "Host: x", "Content-Type: application/json", `Content-Length: ${body.length}`) + body;
  const answer = await raw(server.port, first + head("GET /api/health HTTP/1.1", "Host: x", "Connection: close"), { timeoutMs: 5000 });
  assert.deepEqual(answer.text.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 404", "HTTP/1.1 200"]);
});

test("chunked bodies work, in pieces of any size", async () => {
  const pieces = body.match(/.{1,7}/gs).map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`);
  const answer = await raw(server.port, post11("Transfer-Encoding: chunked", "Connection: close"), {
    afterwards: async (socket) => {
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      socket.write("0\r\n\r\n");
    },
  });
  assert.equal(answer.status, 200, answer.text);
});

test("a request that comes byte by byte is the same request", async () => {
  const whole = post11(`Content-Length: ${body.length}`, "Connection: close") + body;
  const answer = await raw(server.port, whole[0], {
    afterwards: async (socket) => {
      socket.setNoDelay(true);
      for (const byte of whole.slice(1)) {
        socket.write(byte);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  });
  assert.equal(answer.status, 200, answer.text);
});

test("a caller that waits for 100 Continue gets it, or the refusal instead", async () => {
  const asked = await server.post("/api/v1/generate", cat(), { headers: { Expect: "100-continue" } });
  assert.equal(asked.status, 200, asked.text);
  const refused = await raw(server.port, post11("Expect: 100-continue", "Content-Length: 400000"), { timeoutMs: 3000 });
  assert.equal(refused.status, 413, refused.text);
});

test("curl can send a picture of real size as a form", async () => {
  const file = path.join(scratch(), "cat.png");
  writeFileSync(file, Buffer.concat([tinyPng, Buffer.alloc(200000)]));
  const answer = await server.request("POST", "/api/v1/edit", { form: [["model", "gitee/qwen-image-edit"], ["prompt", "red"], ["image", `@${file};type=image/png`]] });
  assert.equal(answer.status, 200, answer.text);
  const sent = (await upstream.log("edits")).at(-1).parts.find((part) => part.name === "image");
  assert.equal(sent.size, tinyPng.length + 200000);
  assert.equal(sent.type, "image/png");
});
