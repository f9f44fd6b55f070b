// openai.test.mjs: OpenAI, Grok and A4F, and a server of one's own that speaks as OpenAI does,
// through the real server, with the stand-in on the other side.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { eventually, scratch, startServer, startUpstream, tinyPng, tinyPngUrl } from "../support/harness.mjs";

let upstream;
const servers = [];

/** A server with fresh tokens: what one test does to them is not the next one's business. */
async function serverWith(env) {
  const server = await startServer({ env: { ...upstream.settings, RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", ALLOW_PRIVATE_HOSTS: "127.0.0.1,localhost", ...env } });
  servers.push(server);
  return server;
}

before(async () => (upstream = await startUpstream()));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const picture = /^http:\/\/127\.0\.0\.1:\d+\/files\/\d+\/picture\.png$/;
const stats = async (server, provider) => (await server.get(`/api/v1/token-stats?provider=${provider}`)).json;

function assertOk(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

async function taskEnd(server, taskId) {
  const seen = [];
  const end = await eventually("the task ends", async () => {
    const answer = await server.get(`/api/v1/task-status?taskId=${encodeURIComponent(taskId)}`);
    assert.equal(answer.status, 200, answer.text);
    seen.push(answer.json);
    return answer.json.status !== "processing" && answer.json;
  }, { timeoutMs: 15000, everyMs: 50 });
  return { ...end, seen };
}

function pictureFile() {
  const file = path.join(scratch(), "cat.png");
  writeFileSync(file, tinyPng);
  return file;
}

/** The pieces of a text, and what else its stream held. */
function piecesOf(answer) {
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers["content-type"], /^text\/event-stream/);
  const events = answer.text.split("\n\n").filter((event) => event.startsWith("data: ")).map((event) => event.slice(6));
  const json = events.filter((event) => event !== "[DONE]").map((event) => JSON.parse(event));
  return { pieces: json.filter((event) => event.choices).map((event) => event.choices[0].delta.content), error: json.find((event) => event.error)?.error, isDone: events.at(-1) === "[DONE]" };
}

/** Every way in which a provider says that a token has nothing left: the other one serves. */
function rotates(provider, shapes, fields) {
  for (const shape of shapes)
    test(`a token without credit (${shape}) makes room for the next one, and is asked no more`, async () => {
      const tokens = [`${provider}-spent`, `${provider}-good`];
      const server = await serverWith({ [`${provider.toUpperCase()}_TOKENS`]: tokens.join(",") });
      await upstream.control({ tokens: { [tokens[0]]: { state: "exhausted", shape } } });
      for (let i = 0; i < 4; i++) assertOk(await server.post("/api/v1/generate", { prompt: "x", ...fields }));
      const sent = await upstream.log("/images/generations");
      assert.equal(sent.filter((entry) => entry.token === tokens[0]).length, 1);
      assert.equal((await stats(server, provider)).exhausted, 1);
      await upstream.control({ tokens: Object.fromEntries(tokens.map((token) => [token, { state: "exhausted", shape }])) });
      const answer = await server.post("/api/v1/generate", { prompt: "x", ...fields });
      assert.equal(answer.status, 429, answer.text);
      assert.equal(answer.json.error, `error_${provider}_token_exhausted`);
      const retry = Number(answer.headers["retry-after"]);
      assert.ok(retry > 5 * 3600 && retry <= 6 * 3600, `Retry-After: ${retry}`);
    });

  test("a wrong token, one without the plan and one that goes too fast are passed over", async () => {
    const server = await serverWith({ [`${provider.toUpperCase()}_TOKENS`]: "bad-1,t-plan,t-rate,t-good" });
    await upstream.control({ tokens: { "t-plan": { state: "plan" }, "t-rate": { state: "rate", retryAfter: 60 } } });
    for (let i = 0; i < 5; i++) assertOk(await server.post("/api/v1/generate", { prompt: "x", ...fields }));
    const sent = await upstream.log("/images/generations");
    for (const token of ["bad-1", "t-plan", "t-rate"]) assert.equal(sent.filter((entry) => entry.token === token).length, 1, token);
    const { invalid, cooling } = await stats(server, provider);
    assert.deepEqual({ invalid, cooling }, { invalid: 1, cooling: 1 });
  });
}

// ---- OpenAI ------------------------------------------------------------------------------------

describe("openai", () => {
  let server;
  before(async () => (server = await serverWith({ OPENAI_TOKENS: "sk-token" })));

  for (const [fields, size] of [[{ ar: "16:9" }, [1536, 1024]], [{ ar: "9:16" }, [1024, 1536]], [{}, [1024, 1024]], [{ model: "openai/gpt-image-2", width: 1000, height: 700 }, [992, 704]], [{ model: "openai/gpt-image-2", width: 4096, height: 4096 }, [2880, 2880]]])
    test(`generate: ${JSON.stringify(fields)}`, async () => {
      const { url, ...others } = assertOk(await server.post("/api/v1/generate", { model: "openai/gpt-image-1.5", prompt: "a cat", seed: 7, ...fields }));
      assert.match(url, /^data:image\/png;base64,iVBOR/);
      assert.deepEqual(others, { type: "base64", width: size[0], height: size[1], seed: 7 });
      const [sent, ...more] = await upstream.log("/openai/");
      assert.deepEqual(more, []);
      assert.equal(sent.token, "sk-token");
      assert.deepEqual(sent.json, { model: fields.model?.slice(7) ?? "gpt-image-1.5", prompt: "a cat", n: 1, size: size.join("x") });
    });

  test("three pictures come with one call, each of them whole", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "openai/gpt-image-1-mini", prompt: "a cat", n: 3 }));
    assert.equal(answer.images.length, 3);
    assert.equal(new Set(answer.images.map(({ url }) => url)).size, 3);
    for (const { url } of answer.images) assert.equal(Buffer.from(url.split(",")[1], "base64").toString("latin1", 12, 16), "IHDR");
    assert.equal((await upstream.log("/images/generations")).length, 1);
  });

  test("edit: all pictures go along, as files", async () => {
    const answer = assertOk(await server.request("POST", "/api/v1/edit", {
      form: [["model", "openai/gpt-image-1.5"], ["prompt", "side by side"], ["image", `@${pictureFile()};type=image/png`], ["image", `@${pictureFile()};type=image/png`]],
      args: ["--form-string", `image=${upstream.origin}/files/picture.jpg`],
    }));
    assert.match(answer.url, /^data:image\/png;base64,/);
    const { parts } = (await upstream.log("/images/edits"))[0];
    assert.deepEqual(parts.filter((part) => part.name === "image[]").map((part) => part.type).sort(), ["image/jpeg", "image/png", "image/png"]);
    assert.deepEqual(parts.filter((part) => part.value !== undefined).map((part) => part.name), ["model", "prompt"]);
  });

  test("a refusal by the safety system is the caller's to know, and no token's fault", async () => {
    const answer = await server.post("/api/v1/generate", { model: "openai/gpt-image-1.5", prompt: "[unsafe]" });
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.message, /rejected by the safety system/);
    for (const [prompt, reason] of [["[unsafe]", /cannot help/], ["[filtered]", /content filter/]]) {
      const refused = await server.post("/api/v1/text", { model: "openai/gpt-5.4", prompt });
      assert.equal(refused.status, 422, refused.text);
      assert.match(refused.json.message, reason);
    }
    assert.equal((await stats(server, "openai")).active, 1);
  });

  test("a model that OpenAI lacks is refused in its words", async () => {
    const answer = await server.post("/api/v1/generate", { model: "openai/nonsense", prompt: "x" });
    assert.equal(answer.status, 400, answer.text);
    assert.match(answer.json.message, /does not exist/);
  });

  test("text, and the prompt again when the answer is empty", async () => {
    const answer = assertOk(await server.post("/api/v1/text", { model: "openai/gpt-5.4-mini", prompt: "ein Hund", temperature: 0.5, max_tokens: 100 }));
    assert.equal(answer.text, "A vivid picture: ein Hund");
    assert.equal(answer.usage.total_tokens, 28);
    const { instructions, ...sent } = (await upstream.log("/responses"))[0].json;
    assert.ok(instructions.length > 60);
    assert.deepEqual(sent, { model: "gpt-5.4-mini", input: "ein Hund", stream: false, temperature: 0.5, max_output_tokens: 100 });
    assert.equal(assertOk(await server.post("/api/v1/text", { model: "openai/gpt-5.5", prompt: "x [empty]" })).text, "x [empty]");
  });

  test("text in pieces", async () => {
    const { pieces, isDone } = piecesOf(await server.post("/api/v1/text", { model: "openai/gpt-5.4-nano", prompt: "a dog in the rain", stream: true }));
    assert.ok(pieces.length > 2 && isDone);
    assert.equal(pieces.join(""), "A vivid picture: a dog in the rain");
  });

  test("a text that breaks off in its middle says so", async () => {
    const { pieces, error, isDone } = piecesOf(await server.post("/api/v1/text", { model: "openai/gpt-5.4", prompt: "[crash] a dog in the rain", stream: true }));
    assert.ok(pieces.length > 0 && !isDone);
    assert.match(JSON.stringify(error), /The model crashed/);
    assert.equal((await upstream.log("/responses")).length, 1, "it is not begun anew");
  });

  for (const result of [null, "redirect-other"])
    test(`video of a picture${result ? ", kept by another host, which is not shown the token" : ""}`, async () => {
      await upstream.control({ result, polls: 3 });
      const started = assertOk(await server.post("/api/v1/video", { model: "openai/sora-2-pro", prompt: "it moves", imageUrl: tinyPngUrl, ar: "9:16", duration: 10 }));
      assert.equal(started.predict, 300);
      const { parts } = (await upstream.log("/videos")).find((entry) => entry.method === "POST");
      assert.deepEqual(parts.map((part) => [part.name, part.value ?? part.type]), [["model", "sora-2-pro"], ["prompt", "it moves"], ["size", "720x1280"], ["seconds", "8"], ["input_reference", "image/png"]]);
      const end = await taskEnd(server, started.taskId);
      assert.equal(end.status, "success", JSON.stringify(end));
      assert.match(end.url, /^data:video\/mp4;base64,AAAA/);
      assert.ok(end.seen.some((status) => status.progress > 0), "it tells how far it is");
      for (const entry of await upstream.log("/files/")) assert.equal(entry.token, null);
    });

  test("a video that fails tells why, and is not begun anew", async () => {
    await upstream.control({ taskFails: true, taskError: "the picture is too dark" });
    const { taskId } = assertOk(await server.post("/api/v1/video", { model: "openai/sora-2", prompt: "x" }));
    const end = await taskEnd(server, taskId);
    assert.deepEqual([end.status, end.error], ["failed", "the picture is too dark"]);
    assert.equal((await upstream.log("/videos")).filter((entry) => entry.method === "POST").length, 1);
  });

  rotates("openai", ["429", "400", "402"], { model: "openai/gpt-image-1.5" });
});

// ---- Grok --------------------------------------------------------------------------------------

describe("grok", () => {
  let server;
  before(async () => (server = await serverWith({ GROK_TOKENS: "xai-token" })));

  for (const [fields, ratio] of [[{ ar: "16:9" }, "16:9"], [{}, "1:1"], [{ width: 1500, height: 1000 }, "3:2"], [{ ar: "20:9" }, "20:9"]])
    test(`generate: ${JSON.stringify(fields)}`, async () => {
      const answer = assertOk(await server.post("/api/v1/generate", { model: "grok/grok-imagine-image", prompt: "a cat", seed: 7, n: 2, ...fields }));
      assert.match(answer.url, picture);
      assert.equal(answer.images.length, 2);
      assert.equal(answer.revisedPrompt, undefined, "an empty one is none");
      const [sent, ...more] = await upstream.log("/grok/");
      assert.deepEqual(more, []);
      assert.deepEqual(sent.json, { model: "grok-imagine-image", prompt: "a cat", aspect_ratio: ratio, n: 2 });
    });

  test("edit: a picture as it came, by its address or whole, and always as JSON", async () => {
    const model = ["model", "grok/grok-imagine-image-pro"];
    assert.match(assertOk(await server.request("POST", "/api/v1/edit", { form: [model, ["prompt", "red"], ["image", `@${pictureFile()};type=image/png`]] })).url, picture);
    const address = `${upstream.origin}/files/picture.jpg`;
    assert.match(assertOk(await server.request("POST", "/api/v1/edit", { form: [model, ["prompt", "red"], ["image", `@${pictureFile()};type=image/png`]], args: ["--form-string", `image=${address}`] })).url, picture);
    const [one, two] = await upstream.log("/images/edits");
    assert.match(one.json.image.url, /^data:image\/png;base64,/);
    assert.equal(one.json.image.type, "image_url");
    assert.equal(two.json.images.length, 2);
    assert.ok(two.json.images.some(({ url }) => url === address));
  });

  test("what is against the rules is the caller's to know, and no token's fault", async () => {
    for (const [action, model] of [["generate", "grok-imagine-image"], ["text", "grok-4-1-fast-reasoning"], ["video", "grok-imagine-video"]]) {
      const answer = await server.post(`/api/v1/${action}`, { model: `grok/${model}`, prompt: "[unsafe]" });
      assert.equal(answer.status, 422, answer.text);
      assert.match(answer.json.message, /usage guidelines/);
    }
    assert.equal((await stats(server, "grok")).active, 1);
    assertOk(await server.post("/api/v1/generate", { model: "grok/grok-imagine-image", prompt: "a cat" }));
  });

  test("text, whole and in pieces", async () => {
    assert.equal(assertOk(await server.post("/api/v1/text", { model: "grok/grok-4.20-0309-reasoning", prompt: "ein Hund" })).text, "A vivid picture: ein Hund");
    const { pieces, isDone } = piecesOf(await server.post("/api/v1/text", { model: "grok/grok-4-1-fast-non-reasoning", prompt: "a dog", stream: true }));
    assert.ok(pieces.length > 2 && isDone);
    assert.equal(pieces.join(""), "A vivid picture: a dog");
  });

  test("video: pending answers of all kinds, then its address", async () => {
    await upstream.control({ polls: 3 });
    const started = assertOk(await server.post("/api/v1/video", { model: "grok/grok-imagine-video", prompt: "it moves", imageUrl: tinyPngUrl }));
    assert.equal(started.predict, 120);
    const [sent] = await upstream.log("/videos/generations");
    assert.equal(sent.json.duration, 5);
    assert.match(sent.json.image.url, /^data:image\/png;base64,/);
    const end = await taskEnd(server, started.taskId);
    assert.equal(end.status, "success", JSON.stringify(end));
    assert.match(end.url, /video\.mp4$/);
  });

  for (const [field, reason] of [[undefined, /the video could not be made/], ["expired", /expired/]])
    test(`video: one that ${field ?? "failed"}`, async () => {
      await upstream.control({ taskFails: true, taskErrorField: field });
      const { taskId } = assertOk(await server.post("/api/v1/video", { model: "grok/grok-imagine-video", prompt: "x", ar: "9:16", duration: 3 }));
      const end = await taskEnd(server, taskId);
      assert.equal(end.status, "failed");
      assert.match(end.error, reason);
    });

  rotates("grok", ["429", "403", "400"], { model: "grok/grok-imagine-image" });
});

// ---- A4F ---------------------------------------------------------------------------------------

describe("a4f", () => {
  let server;
  before(async () => (server = await serverWith({ A4F_TOKENS: "a4f-token" })));

  test("generate, with what became of the prompt", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "a4f/imagen-4", prompt: "a cat", ar: "3:4", n: 2, enableHD: true }));
    assert.match(answer.url, picture);
    assert.equal(answer.images.length, 2);
    assert.deepEqual([answer.width, answer.height, answer.revisedPrompt], [768, 1024, "a cat, in fine detail"]);
    const [sent] = await upstream.log("/a4f/");
    assert.deepEqual(sent.json, { model: "provider-4/imagen-4", prompt: "a cat", n: 2, size: "768x1024" });
  });

  test("text by a plain assistant, whole and in pieces", async () => {
    const answer = assertOk(await server.post("/api/v1/text", { model: "a4f/glm-4.5", prompt: "ein Hund" }));
    assert.equal(answer.text, "A vivid picture: ein Hund");
    assert.equal(answer.usage.total_tokens, 28);
    const { messages, ...sent } = (await upstream.log("/chat/completions"))[0].json;
    assert.deepEqual(sent, { model: "provider-8/glm-4.5", stream: false, temperature: 0.7, max_tokens: 1000 });
    assert.match(messages[0].content, /assistant/);
    const { pieces, isDone } = piecesOf(await server.post("/api/v1/text", { model: "a4f/kimi-k2-thinking", prompt: "a dog", stream: true }));
    assert.ok(pieces.length > 2 && isDone);
    assert.equal(pieces.join(""), "A vivid picture: a dog");
  });

  test("a prompt that is not safe is refused, in its words", async () => {
    const answer = await server.post("/api/v1/generate", { model: "a4f/z-image", prompt: "[unsafe]" });
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.message, /content policy/);
  });

  rotates("a4f", ["429", "402", "403", "400"], { model: "a4f/flux-schnell" });
});

// ---- a server of one's own ---------------------------------------------------------------------

test("a server at home that speaks as OpenAI does needs a few lines of catalogue, and no token", async () => {
  const models = [{ key: "small", api_id: "x-small", type: ["text2text"] }, { key: "painter", api_id: "x-painter", type: ["text2image"] }];
  const file = path.join(scratch(), "home.json");
  writeFileSync(file, JSON.stringify({ providers: { "my-llm": { kind: "openai", api_base: `${upstream.origin}/home/v1`, models } } }));
  for (const token of [null, "home-token"]) {
    await upstream.reset();
    const server = await serverWith({ CATALOGUE: file, ...(token ? { MY_LLM_TOKENS: token } : {}) });
    assert.equal(assertOk(await server.post("/api/v1/text", { model: "my-llm/small", prompt: "ein Hund" })).text, "A vivid picture: ein Hund");
    assert.equal(piecesOf(await server.post("/api/v1/text", { model: "my-llm/small", prompt: "a dog", stream: true })).pieces.join(""), "A vivid picture: a dog");
    const answer = assertOk(await server.post("/api/v1/generate", { model: "my-llm/painter", prompt: "a cat", ar: "3:2" }));
    assert.match(answer.url, picture);
    const sent = await upstream.log("/home/v1/");
    assert.deepEqual(sent.map((entry) => entry.token), [token, token, token]);
    assert.equal(sent[2].json.size, "960x640");
  }
});
