// gemini.test.mjs: Gemini and ModelsLab through the real server, with the stand-in on the other
// side: every action, and what happens when tokens run out.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
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

const picture = /^http:\/\/127\.0\.0\.1:\d+\/files\/\d+\/picture\.png$/;
const stats = async (server, provider) => (await server.get(`/api/v1/token-stats?provider=${provider}`)).json;

function assertOk(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

async function taskEnd(server, taskId) {
  return eventually("the task ends", async () => {
    const answer = await server.get(`/api/v1/task-status?taskId=${encodeURIComponent(taskId)}`);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.status !== "processing" && answer.json;
  }, { timeoutMs: 15000, everyMs: 100 });
}

function pictureFile() {
  const file = path.join(scratch(), "cat.png");
  writeFileSync(file, tinyPng);
  return file;
}

/** Seconds until midnight in California. */
function secondsToPacificMidnight() {
  const clock = new Intl.DateTimeFormat("en-US", { timeZone: "America/Los_Angeles", hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23" });
  const part = Object.fromEntries(clock.formatToParts(new Date()).map(({ type, value }) => [type, Number(value)]));
  return 86400 - part.hour * 3600 - part.minute * 60 - part.second;
}

describe("gemini", () => {
  let server;
  before(async () => (server = await serverWith({ GEMINI_TOKENS: "g-token" })));

  for (const key of ["nano-banana", "nano-banana-2", "nano-banana-pro"])
    test(`generate: ${key}`, async () => {
      const answer = assertOk(await server.post("/api/v1/generate", { model: `gemini/${key}`, prompt: "a cat", ar: "16:9", seed: 7 }));
      const { url, ...others } = answer;
      assert.match(url, /^data:image\/png;base64,iVBOR/);
      assert.deepEqual(others, { type: "base64", width: 1344, height: 768, seed: 7 }, "the size is the picture's own");
      const [sent] = await upstream.log("generateContent");
      assert.equal(sent.token, "g-token");
      assert.equal(sent.headers.authorization, undefined);
      assert.equal(sent.json.generationConfig.imageConfig.aspectRatio, "16:9");
      assert.ok(sent.json.systemInstruction.parts[0].text.length > 60);
    });

  test("edit with two pictures and an address: all of them go along", async () => {
    const answer = assertOk(await server.request("POST", "/api/v1/edit", {
      form: [["model", "gemini/nano-banana"], ["prompt", "side by side"], ["image", `@${pictureFile()};type=image/png`], ["image", `@${pictureFile()};type=image/png`]],
      args: ["--form-string", `image=${upstream.origin}/files/picture.jpg`],
    }));
    assert.match(answer.url, /^data:image\/png;base64,/);
    const parts = (await upstream.log("generateContent"))[0].json.contents[0].parts;
    assert.equal(parts[0].text, "side by side");
    assert.deepEqual(parts.slice(1).map((part) => part.inline_data.mime_type).sort(), ["image/jpeg", "image/png", "image/png"]);
  });

  test("a picture of several megabytes arrives whole", async () => {
    const answer = assertOk(await server.request("POST", "/api/v1/edit", { form: [["model", "gemini/nano-banana"], ["prompt", "x"]], args: ["--form-string", `image=${upstream.origin}/files/big.png?size=9000000`] }));
    assert.match(answer.url, /^data:image\/png;base64,/);
    const [sent] = await upstream.log("generateContent");
    assert.ok(sent.bodySize > 12000000 && sent.bodySize < 12001000, `${sent.bodySize} bytes`);
  });

  test("refusals are the caller's to know, with the reason", async () => {
    for (const [prompt, status, reason] of [["[unsafe]", 422, /IMAGE_SAFETY.*Unable to show/], ["[blocked]", 422, /PROHIBITED_CONTENT/], ["[words]", 400, /rather not draw/]]) {
      const answer = await server.post("/api/v1/generate", { model: "gemini/nano-banana", prompt });
      assert.equal(answer.status, status, answer.text);
      assert.match(answer.json.message, reason);
    }
    assert.equal((await stats(server, "gemini")).active, 1, "the token is not to blame");
  });

  test("text, and the prompt again when the answer is empty", async () => {
    const answer = assertOk(await server.post("/api/v1/text", { model: "gemini/gemini-2.5-flash", prompt: "ein Hund", temperature: 0.5, max_tokens: 100 }));
    assert.equal(answer.text, "A vivid picture: ein Hund");
    assert.deepEqual(answer.usage, { prompt_tokens: 21, completion_tokens: 7, total_tokens: 28 });
    assert.deepEqual((await upstream.log("generateContent"))[0].json.generationConfig, { temperature: 0.5, maxOutputTokens: 100 });
    assert.equal(assertOk(await server.post("/api/v1/text", { model: "gemini/gemini-3-flash", prompt: "x [empty]" })).text, "x [empty]");
  });

  test("text in pieces", async () => {
    const answer = await server.post("/api/v1/text", { model: "gemini/gemini-2.5-pro", prompt: "a dog in the rain", stream: true });
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers["content-type"], /^text\/event-stream/);
    const events = answer.text.split("\n\n").filter((event) => event.startsWith("data: ")).map((event) => event.slice(6));
    assert.equal(events.at(-1), "[DONE]");
    const pieces = events.slice(0, -1).map((event) => JSON.parse(event).choices[0].delta.content);
    assert.ok(pieces.length > 2, answer.text);
    assert.equal(pieces.join(""), "A vivid picture: a dog in the rain");
    assert.equal((await upstream.log("streamGenerateContent")).length, 1);
  });

  for (const result of [null, "redirect-other"])
    test(`video of a picture${result ? ", kept by another host, which is not shown the token" : ""}`, async () => {
      await upstream.control({ result });
      const started = assertOk(await server.post("/api/v1/video", { model: "gemini/veo-3.1-fast", imageUrl: tinyPngUrl, duration: 5, ar: "9:16" }));
      assert.equal(started.predict, 120);
      const end = await taskEnd(server, started.taskId);
      assert.equal(end.status, "success", JSON.stringify(end));
      assert.match(end.url, /^data:video\/mp4;base64,/);
      const [sent] = await upstream.log("predictLongRunning");
      assert.equal(sent.json.instances[0].image.mimeType, "image/png");
      assert.ok(sent.json.instances[0].prompt.length > 10, "a default prompt brings the picture to life");
      assert.equal(sent.json.parameters.aspectRatio, "9:16");
      assert.ok([4, 6].includes(sent.json.parameters.durationSeconds));
      for (const poll of await upstream.log("/operations/")) assert.equal(poll.token, "g-token");
      assert.equal((await upstream.log(":download"))[0].token, "g-token");
      const [last] = await upstream.log("video.mp4");
      assert.equal(last.headers["x-goog-api-key"], result ? undefined : "g-token");
    });

  test("video: a task that fails tells the provider's reason", async () => {
    await upstream.control({ taskFails: true, taskError: "the servers are too hot" });
    const { taskId } = assertOk(await server.post("/api/v1/video", { model: "gemini/veo-2", prompt: "x" }));
    assert.match((await taskEnd(server, taskId)).error, /the servers are too hot/);
  });

  test("a quota of the day is one model's, and rests until midnight in California", async () => {
    const two = await serverWith({ GEMINI_TOKENS: "g-1,g-2" });
    const spent = { state: "exhausted", model: "gemini-2.5-flash-image" };
    await upstream.control({ tokens: { "g-1": spent } });
    for (let i = 0; i < 3; i++) assertOk(await two.post("/api/v1/generate", { model: "gemini/nano-banana", prompt: "x" }));
    assert.equal((await upstream.log("generateContent")).filter((entry) => entry.token === "g-1").length, 1, "a spent token was asked again");
    await upstream.control({ tokens: { "g-1": spent, "g-2": spent } });
    const answer = await two.post("/api/v1/generate", { model: "gemini/nano-banana", prompt: "x" });
    assert.equal(answer.status, 429, answer.text);
    assert.equal(answer.json.error, "error_gemini_token_exhausted");
    const retry = Number(answer.headers["retry-after"]);
    assert.ok(Math.abs(retry - secondsToPacificMidnight()) <= 60, `Retry-After: ${retry}, midnight is in ${secondsToPacificMidnight()} s`);
    assertOk(await two.post("/api/v1/generate", { model: "gemini/nano-banana-pro", prompt: "another model" }));
  });

  test("a quota of the minute cools the token as long as it tells", async () => {
    const one = await serverWith({ GEMINI_TOKENS: "g-1" });
    await upstream.control({ tokens: { "g-1": { state: "rate", retryAfter: 12.5 } } });
    const answer = await one.post("/api/v1/text", { model: "gemini/gemini-2.5-flash", prompt: "x" });
    assert.equal(answer.status, 429, answer.text);
    assert.ok(["12", "13"].includes(answer.headers["retry-after"]), answer.headers["retry-after"]);
    assert.equal((await stats(one, "gemini")).cooling, 1);
  });

  test("a bad token and one without the plan make room for the good one", async () => {
    const three = await serverWith({ GEMINI_TOKENS: "bad-1,g-plan,g-good" });
    await upstream.control({ tokens: { "g-plan": { state: "plan" } } });
    for (let i = 0; i < 4; i++) assertOk(await three.post("/api/v1/text", { model: "gemini/gemini-2.5-flash", prompt: "x" }));
    const sent = (await upstream.log("generateContent")).map((entry) => entry.token);
    assert.equal(sent.filter((token) => token === "g-good").length, 4, sent.join());
    assert.ok(sent.length <= 6, `asked in vain again: ${sent}`);
    assert.equal((await stats(three, "gemini")).invalid, 1);
  });
});

describe("modelslab", () => {
  let server;
  before(async () => (server = await serverWith({ MODELSLAB_TOKENS: "ml-token" })));

  for (const polls of [0, 2])
    test(`generate, ${polls === 0 ? "at once" : "as a task that we wait for"}`, async () => {
      await upstream.control({ polls });
      const answer = assertOk(await server.post("/api/v1/generate", { model: "modelslab/realistic-vision", prompt: "a cat", ar: "3:4", seed: 7, negativePrompt: "rain" }));
      const { url, ...others } = answer;
      assert.match(url, picture);
      assert.deepEqual(others, { width: 768, height: 1024, seed: 7, steps: 30, guidance: 7.5 });
      const [sent, ...more] = await upstream.log("/modelslab/");
      assert.deepEqual(sent.json, { key: "ml-token", prompt: "a cat", model_id: "realistic-vision-v6", width: "768", height: "1024", samples: "1", num_inference_steps: "30", guidance_scale: 7.5, safety_checker: "no", seed: 7, negative_prompt: "rain" });
      assert.equal(sent.headers.authorization, undefined);
      assert.equal(more.length, polls === 0 ? 0 : 3);
    });

  test("six pictures come from two calls", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "modelslab/flux", prompt: "a cat", n: 6, seed: 7 }));
    assert.equal(answer.images.length, 6);
    assert.deepEqual((await upstream.log("text2img")).map((entry) => entry.json.samples).sort(), ["2", "4"]);
  });

  test("a refused prompt is the caller's to know", async () => {
    const answer = await server.post("/api/v1/generate", { model: "modelslab/flux", prompt: "[unsafe]" });
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.message, /NSFW/);
  });

  test("a model that ModelsLab lacks is refused in its words", async () => {
    const answer = await server.post("/api/v1/generate", { model: "modelslab/nonsense", prompt: "x" });
    assert.equal(answer.status, 400, answer.text);
    assert.match(answer.json.message, /Invalid model id/);
  });

  test("video: a task", async () => {
    const started = assertOk(await server.post("/api/v1/video", { model: "modelslab/cogvideox-5b", prompt: "it moves" }));
    assert.equal(started.predict, 90);
    const end = await taskEnd(server, started.taskId);
    assert.equal(end.status, "success", JSON.stringify(end));
    assert.match(end.url, /video\.mp4$/);
    assert.deepEqual((await upstream.log("text2video"))[0].json, { key: "ml-token", prompt: "it moves", model_id: "cogvideox-5b", num_inference_steps: "20" });
  });

  test("a poll that fails is no verdict", async () => {
    await upstream.control({ next: [{ do: "html", status: 502, times: 2, match: { path: "/fetch/" } }, { do: "reset", match: { path: "/fetch/" } }] });
    assertOk(await server.post("/api/v1/generate", { model: "modelslab/sdxl", prompt: "x" }));
    assert.equal((await upstream.log("text2img")).length, 1);
  });

  test("a task that fails tells why, and is not paid twice", async () => {
    const two = await serverWith({ MODELSLAB_TOKENS: "ml-1,ml-2" });
    await upstream.control({ taskFails: true, taskError: "Insufficient credits" });
    const answer = await two.post("/api/v1/generate", { model: "modelslab/flux", prompt: "x" });
    assert.equal(answer.status, 502, answer.text);
    assert.match(answer.json.message, /Insufficient credits/);
    assert.equal((await upstream.log("text2img")).length, 1);
  });

  for (const shape of ["200", "messege", "month", "402"])
    test(`credit spent, told as ${shape}: the next token serves, and the spent one is looked at again after six hours`, async () => {
      const two = await serverWith({ MODELSLAB_TOKENS: "ml-1,ml-2" });
      const spent = { state: "exhausted", shape };
      await upstream.control({ polls: 0, tokens: { "ml-1": spent } });
      for (let i = 0; i < 3; i++) assertOk(await two.post("/api/v1/generate", { model: "modelslab/flux", prompt: "x" }));
      assert.equal((await upstream.log("text2img")).filter((entry) => entry.token === "ml-1").length, 1, "a spent token was asked again");
      await upstream.control({ tokens: { "ml-2": spent } });
      const answer = await two.post("/api/v1/generate", { model: "modelslab/flux", prompt: "x" });
      assert.equal(answer.status, 429, answer.text);
      const retry = Number(answer.headers["retry-after"]);
      assert.ok(retry > 21500 && retry <= 21600, `Retry-After: ${retry}`);
    });

  test("what a 200 says of a token is believed", async () => {
    const four = await serverWith({ MODELSLAB_TOKENS: "bad-1,ml-plan,ml-rate,ml-good" });
    await upstream.control({ polls: 0, tokens: { "ml-plan": { state: "plan" }, "ml-rate": { state: "rate", retryAfter: 30 } } });
    for (let i = 0; i < 4; i++) assertOk(await four.post("/api/v1/generate", { model: "modelslab/flux", prompt: "x" }));
    const sent = (await upstream.log("text2img")).map((entry) => entry.token);
    assert.equal(sent.filter((token) => token === "ml-good").length, 4, sent.join());
    assert.ok(sent.length <= 7, `asked in vain again: ${sent}`);
    const { invalid, cooling } = await stats(four, "modelslab");
    assert.deepEqual({ invalid, cooling }, { invalid: 1, cooling: 1 });
  });
});
