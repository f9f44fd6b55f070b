// providers.test.mjs: every action of every provider, and what happens when tokens run out or a
// provider breaks, with the stand-in on the other side.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { eventually, scratch, startServer, startUpstream, tinyPng, tinyPngUrl } from "../support/harness.mjs";

let upstream;
const servers = [];

/** A server with fresh tokens: what one test does to them is not the next one's business. */
async function serverWith(env) {
  const server = await startServer({ env: { ...upstream.settings, RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", ALLOW_PRIVATE_HOSTS: "127.0.0.1", ...env } });
  servers.push(server);
  return server;
}

before(async () => (upstream = await startUpstream()));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const cat = { model: "gitee/z-image-turbo", prompt: "a cat" };
const picture = /^http:\/\/127\.0\.0\.1:\d+\/files\/\d+\/picture\.png$/;
const stats = async (server, provider) => (await server.get(`/api/v1/token-stats?provider=${provider}`)).json;

function assertOk(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** A task's status until it is no longer processing. */
async function taskEnd(server, taskId) {
  const states = [];
  const end = await eventually("the task ends", async () => {
    const answer = await server.get(`/api/v1/task-status?taskId=${encodeURIComponent(taskId)}`);
    assert.equal(answer.status, 200, answer.text);
    states.push(answer.json.status);
    return answer.json.status !== "processing" && answer.json;
  }, { timeoutMs: 15000, everyMs: 100 });
  return { ...end, states };
}

function pictureFile() {
  const file = path.join(scratch(), "cat.png");
  writeFileSync(file, tinyPng);
  return file;
}

// ---- what they can do --------------------------------------------------------------------------

describe("gitee", () => {
  let server;
  before(async () => (server = await serverWith({ GITEE_TOKENS: "gitee-token" })));

  test("generate", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { ...cat, model: "gitee/flux-2", ar: "3:2", seed: 7, negativePrompt: "rain" }));
    assert.match(answer.url, picture);
    const { url, ...others } = answer;
    assert.deepEqual(others, { width: 1440, height: 960, seed: 7, steps: 9, guidance: 3.5 });
    const [sent, ...more] = await upstream.log("/images/generations");
    assert.deepEqual(more, []);
    assert.equal(sent.token, "gitee-token");
    assert.match(sent.headers["content-type"], /^application\/json/);
    assert.deepEqual(sent.json, { prompt: "a cat", model: "FLUX.2-dev", width: 1440, height: 960, seed: 7, num_inference_steps: 9, response_format: "url", guidance_scale: 3.5 });
  });

  test("a model that the catalogue lacks goes upstream as it is", async () => {
    assertOk(await server.post("/api/v1/generate", { ...cat, model: "gitee/x-brand-new" }));
    assert.equal((await upstream.log("generations"))[0].json.model, "x-brand-new");
  });

  test("edit with a file, an address and a data: URL", async () => {
    const answer = assertOk(await server.request("POST", "/api/v1/edit", {
      form: [["model", "gitee/qwen-image-edit"], ["prompt", "make it red"], ["seed", "9"], ["image", `@${pictureFile()};type=image/png`]],
      args: ["--form-string", `image=${upstream.origin}/files/picture.jpg`, "--form-string", `image=${tinyPngUrl}`],
    }));
    assert.match(answer.url, picture);
    assert.equal(answer.seed, 9);
    assert.equal(answer.steps, 16);
    assert.equal(answer.guidance, 4);
    const [sent] = await upstream.log("/images/edits");
    const value = (name) => sent.parts.filter((part) => part.name === name);
    assert.equal(value("model")[0].value, "Qwen-Image-Edit");
    assert.deepEqual(value("image").map((part) => part.type).sort(), ["image/jpeg", "image/png", "image/png"]);
    assert.equal(JSON.parse(value("lora_weights")[0].value).weight, 1);
  });

  test("text, and the prompt again when the answer is empty", async () => {
    const answer = assertOk(await server.post("/api/v1/text", { model: "gitee/deepseek-v3", prompt: "ein Hund" }));
    assert.equal(answer.text, "A vivid picture: ein Hund");
    assert.equal(answer.usage.total_tokens, 28);
    const { messages, model } = (await upstream.log("/chat/completions"))[0].json;
    assert.equal(model, "DeepSeek-V3.2");
    assert.deepEqual(messages.map((message) => message.role), ["system", "user"]);
    assert.ok(messages[0].content.length > 60);
    assert.equal(assertOk(await server.post("/api/v1/text", { model: "gitee/qwen-3", prompt: "x [empty]" })).text, "x [empty]");
  });

  test("video: a task that succeeds, and stays so", async () => {
    const started = assertOk(await server.post("/api/v1/video", { model: "gitee/wan2.2-i2v", imageUrl: tinyPngUrl, duration: 2 }));
    assert.equal(started.predict, 400);
    const [sent] = await upstream.log("/image-to-video");
    const fields = Object.fromEntries(sent.parts.map((part) => [part.name, part.value]));
    assert.equal(fields.num_frames, "32");
    assert.equal(fields.num_inferenece_steps, fields.num_inference_steps);
    assert.ok(fields.prompt.length > 10, "a default prompt brings the picture to life");
    assert.ok(!("width" in fields));
    const end = await taskEnd(server, started.taskId);
    assert.equal(end.states[0], "processing");
    assert.equal(end.status, "success");
    assert.match(end.url, /video\.mp4$/);
    const polls = (await upstream.log("/task/")).length;
    assert.deepEqual((await server.get(`/api/v1/task-status?taskId=${started.taskId}`)).json.url, end.url);
    assert.equal((await upstream.log("/task/")).length, polls, "a finished task was asked for again");
  });

  test("video: a task that fails tells the provider's reason", async () => {
    await upstream.control({ taskFails: true, taskError: "the picture is too dark" });
    const { taskId } = assertOk(await server.post("/api/v1/video", { model: "gitee/wan2.2-i2v", prompt: "x", imageUrl: tinyPngUrl }));
    const end = await taskEnd(server, taskId);
    assert.equal(end.status, "failed");
    assert.match(end.error, /the picture is too dark/);
    await upstream.control({ taskFails: false });
    assert.equal((await taskEnd(server, taskId)).status, "failed");
  });

  test("a poll that fails is no verdict", async () => {
    await upstream.control({ next: [{ do: "html", status: 502, times: 2, match: { path: "/task/" } }, { do: "reset", times: 1, match: { path: "/task/" } }] });
    const { taskId } = assertOk(await server.post("/api/v1/video", { model: "gitee/wan2.2-i2v", prompt: "x", imageUrl: tinyPngUrl }));
    assert.equal((await taskEnd(server, taskId)).status, "success");
  });

  test("task-status answers within a second, whatever the provider does", async () => {
    const { taskId } = assertOk(await server.post("/api/v1/video", { model: "gitee/wan2.2-i2v", prompt: "x", imageUrl: tinyPngUrl }));
    await upstream.control({ next: [{ do: "stall", times: 50, match: { path: "/task/" } }] });
    for (let i = 0; i < 5; i++) {
      const began = performance.now();
      assert.equal((await server.get(`/api/v1/task-status?taskId=${taskId}`)).json.status, "processing");
      assert.ok(performance.now() - began < 1000);
    }
  });
});

describe("huggingface", () => {
  let server;
  before(async () => (server = await serverWith({ HUGGINGFACE_TOKENS: "hf-token" })));

  for (const [key, wanted] of [["z-image-turbo", { steps: 9 }], ["z-image", { steps: 30, guidance: 4 }], ["qwen-image", { steps: 8 }], ["ovis-image", { steps: 24, guidance: 4 }], ["flux-1-schnell", { steps: 4 }]])
    test(`generate: ${key}`, async () => {
      const answer = assertOk(await server.post("/api/v1/generate", { model: `huggingface/${key}`, prompt: "a cat", seed: 5, ar: "16:9" }));
      assert.match(answer.url, picture);
      assert.equal(answer.seed, 5);
      assert.equal(answer.steps, wanted.steps);
      if (wanted.guidance) assert.equal(answer.guidance, wanted.guidance);
      const [sent] = await upstream.log("/gradio_api/call/");
      assert.equal(sent.token, "hf-token");
    });

  test("a file that has only a path lies in its Space", async () => {
    await upstream.control({ result: "relative" });
    const answer = assertOk(await server.post("/api/v1/generate", { model: "huggingface/z-image-turbo", prompt: "a cat" }));
    assert.match(answer.url, /\/space\/mrfakename-z-image-turbo\/gradio_api\/file=\/tmp\//);
  });

  test("edit uploads the pictures first", async () => {
    const answer = assertOk(await server.request("POST", "/api/v1/edit", { form: [["model", "huggingface/qwen-image-edit"], ["prompt", "red"], ["image", `@${pictureFile()};type=image/png`], ["image", `@${pictureFile()};type=image/png`]] }));
    assert.match(answer.url, picture);
    assert.equal((await upstream.log("/gradio_api/upload")).length, 1);
    const sent = (await upstream.log("/gradio_api/call/")).find((entry) => entry.method === "POST");
    assert.equal(sent.json.data[0].length, 2);
  });

  test("upscaler, also without a model", async () => {
    for (const model of [{ model: "huggingface/realesrgan" }, { model: "huggingface/RealESRGAN_x4plus" }, {}]) {
      const answer = assertOk(await server.post("/api/v1/upscaler", { ...model, imageUrl: tinyPngUrl }));
      assert.match(answer.url, picture);
    }
  });

  test("text needs no token and sends none", async () => {
    const answer = assertOk(await server.post("/api/v1/text", { model: "huggingface/openai-gpt-4_1-nano", prompt: "a dog" }));
    assert.equal(answer.text, "A vivid picture: a dog");
    const [sent] = await upstream.log("/pollinations");
    assert.equal(sent.token, null);
    assert.equal(sent.json.model, "openai-fast");
  });

  for (const key of ["wan2.2-i2v", "wan2_2-i2v"])
    test(`video: ${key}`, async () => {
      await upstream.control({ heartbeats: 20, eventMs: 20 });
      const started = assertOk(await server.post("/api/v1/video", { model: `huggingface/${key}`, prompt: "x", imageUrl: tinyPngUrl }));
      assert.equal(started.predict, 60);
      const end = await taskEnd(server, started.taskId);
      assert.equal(end.status, "success", JSON.stringify(end));
      assert.match(end.url, /video\.mp4$/);
      assert.equal((await upstream.log("/gradio_api/call/")).filter((entry) => entry.method === "GET").length, 1, "an event stream can be read once");
    });

  test("a Space that sleeps is told, with its words and no markup", async () => {
    await upstream.control({ sleeping: ["mrfakename-z-image-turbo"] });
    const answer = await server.post("/api/v1/generate", { model: "huggingface/z-image-turbo", prompt: "x" });
    assert.equal(answer.status, 502, answer.text);
    assert.match(answer.json.message, /sleeping/);
    assert.doesNotMatch(answer.json.message, /[<>]/);
    assert.ok(answer.json.message.length <= 500);
  });

  test("an event that fails without a reason is the provider's fault", async () => {
    await upstream.control({ eventError: null });
    const answer = await server.post("/api/v1/generate", { model: "huggingface/ovis-image", prompt: "x" });
    assert.equal(answer.status, 502, answer.text);
    assert.ok(answer.json.message.length > 10);
  });

  test("an event stream that is cut is the provider's fault, and is not paid twice", async () => {
    await upstream.control({ next: [{ do: "truncate", match: { path: "/gradio_api/call/generate/", method: "GET" } }] });
    const answer = await server.post("/api/v1/generate", { model: "huggingface/ovis-image", prompt: "x" });
    assert.equal(answer.status, 502, answer.text);
    assert.equal((await upstream.log("/gradio_api/call/")).filter((entry) => entry.method === "POST").length, 1);
  });

  test("without any token the anonymous quota serves", async () => {
    const anonymous = await serverWith({});
    assertOk(await anonymous.post("/api/v1/generate", { model: "huggingface/z-image-turbo", prompt: "x" }));
    assert.equal((await upstream.log("/gradio_api/call/"))[0].token, null);
  });

  test("a quota that an event tells rests until the time it names", async () => {
    const short = await serverWith({ HUGGINGFACE_TOKENS: "hf-1" });
    await upstream.control({ tokens: { "hf-1": { state: "exhausted", shape: "event" }, "": { state: "exhausted", shape: "event" } } });
    const answer = await short.post("/api/v1/generate", { model: "huggingface/z-image-turbo", prompt: "x" });
    assert.equal(answer.status, 429, answer.text);
    assert.equal(answer.json.error, "error_huggingface_token_exhausted");
    const retry = Number(answer.headers["retry-after"]);
    assert.ok(retry > 3600 && retry <= 3723, `Retry-After: ${retry}`);
  });
});

describe("modelscope", () => {
  let server;
  before(async () => (server = await serverWith({ MODELSCOPE_TOKENS: "ms-token" })));

  test("generate: a task that we wait for", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "modelscope/flux-2", prompt: "a cat", seed: 3, ar: "16:9" }));
    assert.match(answer.url, picture);
    const { url, ...others } = answer;
    assert.deepEqual(others, { width: 1024, height: 576, seed: 3, steps: 9, guidance: 3.5 });
    const [create, ...polls] = await upstream.log("/modelscope/");
    assert.equal(create.headers["x-modelscope-async-mode"], "true");
    assert.equal(create.json.size, "1024x576");
    assert.equal(polls.length, 3);
    for (const poll of polls) assert.equal(poll.token, "ms-token");
  });

  test("edit: a file travels inside, an address as it is", async () => {
    const answer = assertOk(await server.request("POST", "/api/v1/edit", {
      form: [["model", "modelscope/qwen-image-edit"], ["prompt", "red"], ["image", `@${pictureFile()};type=image/png`]],
      args: ["--form-string", `image=${upstream.origin}/files/picture.png`],
    }));
    assert.match(answer.url, picture);
    const sent = (await upstream.log("generations"))[0].json.image_url;
    assert.equal(sent.length, 2);
    assert.ok(sent.some((address) => address.startsWith("data:image/png;base64,")));
    assert.ok(sent.includes(`${upstream.origin}/files/picture.png`));
  });

  test("text", async () => {
    assert.equal(assertOk(await server.post("/api/v1/text", { model: "modelscope/qwen-3", prompt: "a dog" })).text, "A vivid picture: a dog");
  });

  for (const field of [undefined, "errors"])
    test(`a task that fails tells why (${field ?? "error_message"})`, async () => {
      await upstream.control({ taskFails: true, taskError: "no such brush", taskErrorField: field });
      const answer = await server.post("/api/v1/generate", { model: "modelscope/z-image-turbo", prompt: "x" });
      assert.equal(answer.status, 502, answer.text);
      assert.match(answer.json.message, /no such brush/);
    });

  test("nothing left, told beside a good answer, sets the token aside at once", async () => {
    const two = await serverWith({ MODELSCOPE_TOKENS: "ms-1,ms-2" });
    await upstream.control({ remaining: { "ms-1": [1, 1], "ms-2": [1, 1] } });
    for (let i = 0; i < 2; i++) assertOk(await two.post("/api/v1/text", { model: "modelscope/qwen-3", prompt: "x" }));
    assert.equal((await stats(two, "modelscope")).exhausted, 2);
    const answer = await two.post("/api/v1/text", { model: "modelscope/qwen-3", prompt: "x" });
    assert.equal(answer.status, 429, answer.text);
    assert.equal((await upstream.log("/chat/")).length, 2, "a spent token was asked");
  });

  test("a quota of one model leaves the others", async () => {
    const one = await serverWith({ MODELSCOPE_TOKENS: "ms-1" });
    await upstream.control({ remaining: { "ms-1": [50, 1] } });
    assertOk(await one.post("/api/v1/text", { model: "modelscope/qwen-3", prompt: "x" }));
    assert.equal((await one.post("/api/v1/text", { model: "modelscope/qwen-3", prompt: "x" })).status, 429);
    await upstream.control({ remaining: {} });
    assertOk(await one.post("/api/v1/text", { model: "modelscope/deepseek-v3", prompt: "x" }));
  });
});

test("<PROVIDER>_API_BASE needs no catalogue, and trailing slashes do not matter", async () => {
  const server = await serverWith({ CATALOGUE: "", GITEE_TOKENS: "g", GITEE_API_BASE: `${upstream.origin}/gitee/v1//`, POLLINATIONS_API_BASE: `${upstream.origin}/pollinations/` });
  assertOk(await server.post("/api/v1/generate", cat));
  assert.equal((await upstream.log("generations"))[0].path, "/gitee/v1/images/generations");
  assertOk(await server.post("/api/v1/text", { model: "huggingface/openai-gpt-5-nano", prompt: "x" }));
  assert.equal((await upstream.log("pollinations"))[0].path, "/pollinations/openai");
});

// ---- tokens ------------------------------------------------------------------------------------

/** Seconds until the day of this zone is over. */
const secondsToMidnight = (offsetHours) => 86400 - (Math.floor(Date.now() / 1000) + offsetHours * 3600) % 86400;

describe("tokens that run out", () => {
  for (const shape of ["429", "402", "403", "400"])
    test(`quota told as ${shape}: the next token serves, and the spent one rests for the day`, async () => {
      const server = await serverWith({ GITEE_TOKENS: "t1,t2,t3,t4" });
      const spent = { state: "exhausted", shape };
      await upstream.control({ tokens: { t1: spent, t2: spent, t3: spent } });
      for (let i = 0; i < 4; i++) assertOk(await server.post("/api/v1/generate", cat));
      assert.deepEqual(await stats(server, "gitee"), { total: 4, exhausted: 3, active: 1, cooling: 0, invalid: 0 });
      const sent = (await upstream.log("generations")).map((entry) => entry.token);
      for (const token of ["t1", "t2", "t3"]) assert.equal(sent.filter((t) => t === token).length, 1, `${token} was asked again: ${sent}`);
      assert.equal(sent.filter((t) => t === "t4").length, 4);
      await upstream.control({ tokens: { t4: spent } });
      for (let i = 0; i < 2; i++) {
        const answer = await server.post("/api/v1/generate", cat);
        assert.equal(answer.status, 429, answer.text);
        assert.equal(answer.json.error, "error_gitee_token_exhausted");
        assert.equal(answer.json.code, "IMAGINE_EEXHAUSTED");
        const retry = Number(answer.headers["retry-after"]);
        assert.ok(Math.abs(retry - secondsToMidnight(8)) <= 60, `Retry-After: ${retry}, Beijing's midnight is in ${secondsToMidnight(8)} s`);
      }
    });

  test("no number of requests makes an exhausted token fail a request while a healthy one is there", async () => {
    const tokens = Array.from({ length: 40 }, (_, i) => `t${i}`);
    const server = await serverWith({ GITEE_TOKENS: tokens.join(",") });
    await upstream.control({ tokens: Object.fromEntries(tokens.slice(0, 39).map((token) => [token, { state: "exhausted", shape: "429" }])) });
    const answers = await Promise.all(Array.from({ length: 30 }, () => fetch(`${server.origin}/api/v1/generate`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(cat) })));
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  });

  test("requests at once spread evenly over the tokens", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1,t2,t3" });
    await upstream.control({ latencyMs: 400 });
    const answers = await Promise.all(Array.from({ length: 60 }, () => fetch(`${server.origin}/api/v1/generate`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(cat) })));
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
    const sent = (await upstream.log("generations")).map((entry) => entry.token);
    for (const token of ["t1", "t2", "t3"]) assert.equal(sent.filter((t) => t === token).length, 20);
  });

  test("a token that is asked too often cools as long as it was told", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1,t2" });
    await upstream.control({ tokens: { t1: { state: "rate", retryAfter: 2 }, t2: { state: "rate", retryAfter: 30 } } });
    const answer = await server.post("/api/v1/generate", cat);
    assert.equal(answer.status, 429, answer.text);
    assert.equal(answer.json.error, "error_gitee_token_exhausted");
    assert.ok(["1", "2"].includes(answer.headers["retry-after"]), `the earliest recovery: ${answer.headers["retry-after"]}`);
    assert.deepEqual(await stats(server, "gitee"), { total: 2, exhausted: 0, active: 0, cooling: 2, invalid: 0 });
    await upstream.control({ tokens: {} });
    await eventually("the first one serves again", async () => (await server.post("/api/v1/generate", cat)).status === 200, { timeoutMs: 5000, everyMs: 200 });
    assert.equal((await upstream.log("generations")).at(-1).token, "t1");
  });

  test("a bad token is set aside and the good one serves", async () => {
    const server = await serverWith({ GITEE_TOKENS: "bad-1,good-1,bad-2" });
    for (let i = 0; i < 4; i++) assertOk(await server.post("/api/v1/generate", cat));
    assert.deepEqual(await stats(server, "gitee"), { total: 3, exhausted: 0, active: 1, cooling: 0, invalid: 2 });
  });

  test("tokens of one group share its quota", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1@home,t2@home,t3" });
    await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" }, t2: { state: "exhausted", shape: "429" } } });
    for (let i = 0; i < 3; i++) assertOk(await server.post("/api/v1/generate", cat));
    const sent = (await upstream.log("generations")).map((entry) => entry.token);
    assert.equal(sent.filter((token) => token !== "t3").length, 1, `one of the group was enough to learn it: ${sent}`);
  });

  test("without a token: 503 that says so", async () => {
    const server = await serverWith({});
    const answer = await server.post("/api/v1/generate", cat);
    assert.equal(answer.status, 503, answer.text);
    assert.equal(answer.json.error, "error_gitee_token_required");
    assert.equal(answer.json.code, "IMAGINE_ENOTOKEN");
    assert.equal((await upstream.log()).length, 0);
  });
});

// ---- whose fault -------------------------------------------------------------------------------

describe("when a provider breaks", () => {
  const broken = { do: "html", status: 500, match: { path: "generations" } };

  test("after five faults in a row it is left alone, until a reset", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1,t2", MODELSCOPE_TOKENS: "m1" });
    await upstream.control({ next: [{ ...broken, times: 100 }] });
    for (let i = 0; i < 5; i++) {
      const answer = await server.post("/api/v1/generate", cat);
      assert.equal(answer.status, 502, answer.text);
      assert.doesNotMatch(answer.json.message, /[<>]/);
    }
    const asked = (await upstream.log("generations")).length;
    const answer = await server.post("/api/v1/generate", cat);
    assert.equal(answer.status, 503, answer.text);
    assert.equal(answer.json.error, "Circuit breaker is OPEN for provider: gitee");
    assert.equal(answer.json.message, "Circuit breaker is OPEN for provider: gitee");
    assert.equal(answer.json.code, "IMAGINE_EBREAKER");
    const retry = Number(answer.headers["retry-after"]);
    assert.ok(retry >= 1 && retry <= 60, `Retry-After: ${retry}`);
    assert.equal((await upstream.log("generations")).length, asked);
    assert.equal((await stats(server, "gitee")).active, 2, "the tokens are not to blame");
    assertOk(await server.post("/api/v1/text", { model: "modelscope/qwen-3", prompt: "another provider" }));
    await upstream.reset();
    await server.post("/api/v1/token-reset", { provider: "gitee" });
    assertOk(await server.post("/api/v1/generate", cat));
  });

  test("a caller's own fault blames neither token nor provider", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1" });
    for (let i = 0; i < 7; i++) {
      const answer = await server.post("/api/v1/generate", { ...cat, prompt: "a cat [unsafe]" });
      assert.ok([400, 422].includes(answer.status), answer.text);
      assert.match(answer.json.message, /content policy/);
    }
    assert.equal((await upstream.log("generations")).length, 7, "it was repeated");
    assertOk(await server.post("/api/v1/generate", cat));
    assert.equal((await stats(server, "gitee")).active, 1);
  });

  test("a refused prompt is a 422", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1" });
    const answer = await server.post("/api/v1/generate", { ...cat, prompt: "[unsafe]" });
    assert.equal(answer.status, 422, answer.text);
    assert.equal(answer.json.code, "IMAGINE_ECONTENT");
  });

  const faults = [
    ["an answer of HTML with 200", { do: "html" }, 502, 1],
    ["an answer that is cut", { do: "truncate" }, 502, 1],
    ["a connection that is cut behind the request", { do: "reset" }, 502, 1],
    ["502", { do: "answer", status: 502, body: { message: "bad gateway" } }, 502, 1],
    ["504", { do: "answer", status: 504, body: { message: "too late" } }, [502, 504], 1],
    ["503 once", { do: "answer", status: 503, body: { message: "busy" } }, 200, 2],
    ["503 for ever", { do: "answer", status: 503, body: { message: "busy" }, times: 50 }, [502, 503], 3],
    ["an answer without a picture", { do: "answer", status: 200, body: { data: [] } }, 502, 1],
    ["an answer that never comes", { do: "stall" }, 504, 1],
    ["an answer that stops in the middle", { do: "stall", afterBytes: 10 }, 504, 1],
  ];
  for (const [name, fault, status, count] of faults)
    test(`${name}: ${[status].flat().join(" or ")}, asked ${count} times`, async () => {
      const server = await serverWith({ GITEE_TOKENS: "t1,t2", TIMEOUT_IMAGE_MS: "1500" });
      await upstream.control({ next: [{ ...fault, match: { path: "generations" } }] });
      const answer = await server.post("/api/v1/generate", cat);
      assert.ok([status].flat().includes(answer.status), answer.text);
      assert.equal((await upstream.log("generations")).length, count, "a create that may have been carried out is paid for once");
      assert.equal((await stats(server, "gitee")).active, 2, "no token is to blame");
    });

  test("a provider that is not there: 502, and soon left alone", async () => {
    const server = await serverWith({ CATALOGUE: "", GITEE_TOKENS: "t1", GITEE_API_BASE: "http://127.0.0.1:9/v1" });
    for (let i = 0; i < 5; i++) assert.equal((await server.post("/api/v1/generate", cat)).status, 502);
    assert.equal((await server.post("/api/v1/generate", cat)).status, 503);
  });

  test("what a provider says arrives cleaned: short, one line, no secret", async () => {
    const server = await serverWith({ GITEE_TOKENS: "very-secret-token-1" });
    await upstream.control({ next: [{ do: "answer", status: 400, body: { message: `bad\u0007 request\r\nfrom very-secret-token-1: ${"x".repeat(5000)}` }, match: { path: "generations" } }] });
    const answer = await server.post("/api/v1/generate", cat);
    assert.equal(answer.status, 400, answer.text);
    assert.ok([...answer.json.message].length <= 500, `${answer.json.message.length} characters`);
    assert.doesNotMatch(answer.json.message, /[\u0000-\u001f\u007f]/);
    assert.match(answer.json.message, /bad/);
    assert.ok(!answer.text.includes("very-secret-token-1"));
    assert.ok(!server.log.includes("very-secret-token-1"));
  });

  test("an answer as large as a picture in base64 arrives whole", async () => {
    const server = await serverWith({ GITEE_TOKENS: "t1" });
    await upstream.control({ next: [{ do: "large", size: 20 * 1024 * 1024, match: { path: "generations" } }] });
    assertOk(await server.post("/api/v1/generate", cat));
  });
});
