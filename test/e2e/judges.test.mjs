// judges.test.mjs: the stand-in talks with the providers' public clients, `openai` and
// `@gradio/client` from npm: it takes what they send, and they understand what it answers, failures
// too. So the stand-in that all other tests trust is no witness of its own.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { scratch, startUpstream, tinyPng } from "../support/harness.mjs";
import { fetchPackages } from "../support/npm.mjs";

const NODE_MIN = 20; // of the openai client: it wants a global File
const SUITE_MS = 60000; // a client that waits for what never comes has no limit of its own

const isNodeOld = Number(process.versions.node.split(".")[0]) < NODE_MIN;
const judges = isNodeOld ? undefined : await fetchPackages("openai@6", "@gradio/client@2");
const skip = judges ? false : isNodeOld ? `the openai client wants Node ${NODE_MIN}` : "npm cannot fetch the clients here";

let upstream;
before(async () => (upstream = await startUpstream()));
after(() => upstream?.stop());
beforeEach(() => upstream.reset());

const isPng = (bytes) => bytes.toString("latin1", 0, 8) === "\x89PNG\r\n\x1a\n";

async function all(iterable) {
  const out = [];
  for await (const one of iterable) out.push(one);
  return out;
}

// ---- OpenAI ------------------------------------------------------------------------------------

describe("the openai client", { skip, timeout: SUITE_MS }, () => {
  const { OpenAI, toFile } = judges?.("openai") ?? {};
  const clientOf = (base = "/openai/v1", apiKey = "sk-token") => new OpenAI({ apiKey, baseURL: upstream.origin + base, maxRetries: 0 });
  const pictureNamed = (name) => toFile(tinyPng, name, { type: "image/png" });

  test("images.generate: as many pictures as it asks for", async () => {
    const answer = await clientOf().images.generate({ model: "gpt-image-1.5", prompt: "a cat", n: 2, size: "1536x1024" });
    assert.equal(answer.data.length, 2);
    assert.ok(answer.data.every(({ b64_json }) => isPng(Buffer.from(b64_json, "base64"))));
    assert.equal(answer.size, "1536x1024");
    assert.equal(answer.usage.total_tokens, 205);
  });

  for (const names of [["a.png", "b.png", "c.png"], ["a.png"], "a.png"])
    test(`images.edit: the files ${JSON.stringify(names)}`, async () => {
      const image = Array.isArray(names) ? await Promise.all(names.map(pictureNamed)) : await pictureNamed(names);
      const answer = await clientOf().images.edit({ model: "gpt-image-1.5", prompt: "side by side", image, n: 1 });
      assert.ok(isPng(Buffer.from(answer.data[0].b64_json, "base64")));
      const [{ parts }] = await upstream.log("/images/edits");
      const files = parts.filter((part) => part.filename !== undefined);
      assert.deepEqual(files.map(({ filename, type, size }) => [filename, type, size]), [names].flat().map((name) => [name, "image/png", tinyPng.length]));
    });

  test("responses.create: the text whole, and a refusal", async () => {
    const { responses } = clientOf();
    const answer = await responses.create({ model: "gpt-5.4-mini", instructions: "Describe it.", input: "a dog in the rain", temperature: 0.5, max_output_tokens: 100 });
    assert.equal(answer.output_text, "A vivid picture: a dog in the rain");
    assert.equal(answer.status, "completed");
    assert.equal(answer.usage.output_tokens, 7);
    const refused = await responses.create({ model: "gpt-5.4", input: "[unsafe]" });
    assert.equal(refused.output_text, "");
    assert.equal(refused.output[1].content[0].type, "refusal");
  });

  test("responses.create with stream: the pieces make the text", async () => {
    const events = await all(await clientOf().responses.create({ model: "gpt-5.4-nano", input: "a dog in the rain", stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, i) => i));
    const pieces = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    assert.ok(pieces.length > 2);
    assert.equal(pieces.join(""), "A vivid picture: a dog in the rain");
    assert.equal(events.at(-1).type, "response.completed");
  });

  for (const [input, status] of [["a dog in the rain", "completed"], ["[empty]", "completed"], ["[unsafe]", "completed"], ["[filtered] a dog", "incomplete"], ["[crash] a dog", "failed"]])
    test(`responses.stream: its own picture of '${input}' grows without a gap`, async () => {
      const seen = [];
      const stream = clientOf().responses.stream({ model: "gpt-5.4", input }).on("response.output_text.delta", ({ snapshot }) => seen.push(snapshot));
      const answer = await stream.finalResponse();
      assert.equal(answer.status, status);
      if (status === "failed") assert.match(answer.error.message, /crashed/);
      else assert.equal(seen.at(-1) ?? "", answer.output_text);
    });

  test("videos: made from a picture, asked for, downloaded", async () => {
    await upstream.control({ polls: 2 });
    const { videos } = clientOf();
    let video = await videos.create({ model: "sora-2", prompt: "it moves", size: "720x1280", seconds: "4", input_reference: await pictureNamed("first.png") });
    assert.equal(video.status, "queued");
    assert.equal((await upstream.log("/videos"))[0].parts.find((part) => part.name === "input_reference").filename, "first.png");
    const states = [];
    do states.push((video = await videos.retrieve(video.id)).status);
    while (["queued", "in_progress"].includes(video.status) && states.length < 9);
    assert.deepEqual(states, ["queued", "in_progress", "completed"]);
    assert.equal(video.progress, 100);
    for (const result of [null, "redirect-other"]) {
      await upstream.control({ result });
      const content = await videos.downloadContent(video.id);
      assert.equal(content.headers.get("content-type"), "video/mp4");
      assert.equal(Buffer.from(await content.arrayBuffer()).toString("latin1", 4, 8), "ftyp");
    }
  });

  test("videos: of words alone, and one that fails", async () => {
    await upstream.control({ polls: 0, taskFails: true, taskError: "the prompt is too dark" });
    const { videos } = clientOf();
    const { id } = await videos.create({ model: "sora-2-pro", prompt: "it moves" });
    await assert.rejects(videos.downloadContent(id), OpenAI.NotFoundError);
    const video = await videos.retrieve(id);
    assert.equal(video.status, "failed");
    assert.equal(video.error.message, "the prompt is too dark");
  });

  const spent = (shape) => ({ state: "exhausted", shape });
  for (const [what, rule, wish, kind, status, code] of [
    ["a wrong key", { state: "invalid" }, {}, "AuthenticationError", 401, "invalid_api_key"],
    ["a spent quota", spent("429"), {}, "RateLimitError", 429, "insufficient_quota"],
    ["too many requests", { state: "rate", retryAfter: 7 }, {}, "RateLimitError", 429, "rate_limit_exceeded"],
    ["the billing limit", spent("400"), {}, "BadRequestError", 400, "billing_hard_limit_reached"],
    ["a missing plan", { state: "plan" }, {}, "PermissionDeniedError", 403, null],
    ["an unsafe prompt", undefined, { prompt: "[unsafe]" }, "BadRequestError", 400, "moderation_blocked"],
    ["a wrong size", undefined, { size: "17x17" }, "BadRequestError", 400, "invalid_value"],
    ["an unknown parameter", undefined, { response_format: "url" }, "BadRequestError", 400, "unknown_parameter"],
    ["an unknown model", undefined, { model: "gpt-image-0" }, "NotFoundError", 404, "model_not_found"],
  ])
    test(`failures: ${what} is a ${kind} (${code})`, async () => {
      await upstream.control({ tokens: rule ? { "sk-token": rule } : {} });
      const error = await clientOf().images.generate({ model: "gpt-image-1.5", prompt: "a cat", ...wish }).then(assert.fail, (e) => e);
      assert.ok(error instanceof OpenAI[kind], `${error.constructor.name}: ${error.message}`);
      assert.deepEqual({ status: error.status, code: error.code }, { status, code });
      assert.ok(error.type && error.message.length > `${status} `.length, error.message);
      if (rule?.retryAfter) assert.equal(error.headers.get("retry-after"), String(rule.retryAfter));
    });

  // Those who speak OpenAI's older words.
  for (const [base, model] of [["/gitee/v1", "DeepSeek-V3.2"], ["/modelscope/v1", "deepseek-ai/DeepSeek-V3.2"], ["/a4f/v1", "provider-8/glm-4.5"], ["/grok/v1", "grok-4-1-fast-reasoning"], ["/home/v1", "x-small"]])
    test(`chat.completions at ${base}: whole and in pieces`, async () => {
      const { completions } = clientOf(base).chat;
      const body = { model, messages: [{ role: "system", content: "Describe it." }, { role: "user", content: "a dog in the rain" }] };
      const whole = await completions.create(body);
      const grown = await completions.stream(body).finalChatCompletion();
      for (const { choices, usage } of [whole, grown]) {
        assert.equal(choices[0].message.content, "A vivid picture: a dog in the rain");
        assert.equal(choices[0].finish_reason, "stop");
        assert.ok(usage.total_tokens > 0);
      }
      const pieces = (await all(await completions.create({ ...body, stream: true }))).map((chunk) => chunk.choices[0].delta.content ?? "");
      assert.ok(pieces.length > 2);
      assert.equal(pieces.join(""), "A vivid picture: a dog in the rain");
    });
});

// ---- Gradio ------------------------------------------------------------------------------------

describe("the Gradio client", { skip, timeout: SUITE_MS }, () => {
  const { Client, handle_file } = judges?.("@gradio/client") ?? {};
  const TURBO = "mrfakename-z-image-turbo", EDIT = "linoyts-qwen-image-edit-2511-fast", UPSCALER = "tuan2308-upscaler";
  const clients = [];
  after(() => clients.forEach((client) => client.close()));

  async function connect(space, options) {
    const client = await Client.connect(`${upstream.origin}/space/${space}`, { events: ["data", "status"], ...options });
    clients.push(client);
    return client;
  }
  const wish = [/* prompt, height, width, steps, seed, randomize_seed */ "a cat", 1024, 768, 9, 42, false];

  test("predict: arguments in their order, by name, and those left out", async () => {
    const client = await connect(TURBO);
    assert.deepEqual((await client.view_api()).named_endpoints["/generate_image"].parameters.map((p) => p.parameter_name), ["prompt", "height", "width", "steps", "seed", "randomize_seed"]);
    for (const data of [wish, { prompt: "a cat", steps: 9 }]) {
      const answer = await client.predict("/generate_image", data);
      assert.match(answer.data[0].url, /\/files\/\d+\/picture\.png$/);
      assert.ok(isPng(Buffer.from(await (await fetch(answer.data[0].url)).arrayBuffer())));
    }
    const joins = await upstream.log("/queue/join");
    assert.deepEqual(joins.map(({ json }) => json.data), [wish, ["a cat", 1024, 1024, 9, 0, false]]);
  });

  test("submit: pending, progress, then the data and its completion", async () => {
    const client = await connect(TURBO, { token: "hf_token" });
    const events = await all(client.submit("/generate_image", wish));
    const steps = events.map((event) => (event.type === "data" ? "data" : event.progress_data ? `progress ${event.progress_data[0].index}/${event.progress_data[0].length}` : event.stage));
    assert.deepEqual(steps, ["pending", "pending", "pending", "progress 1/4", "progress 4/4", "data", "complete"]);
    assert.deepEqual(events.filter((event) => event.position !== undefined).map(({ position, size }) => [position, size]), [[0, 1], [0, undefined]]);
    for (const entry of await upstream.log(TURBO)) assert.equal(entry.token, "hf_token", entry.path);
  });

  test("two calls of one session share its stream", async () => {
    const client = await connect(TURBO);
    await upstream.control({ eventMs: 60 });
    const first = client.submit("/generate_image", wish);
    for (let at; at !== 0; ) at = (await first.next()).value.position; // it is read from here on
    const second = await client.predict("/generate_image", wish);
    const { data } = (await all(first)).find((event) => event.type === "data");
    assert.notEqual(data[0].url, second.data[0].url);
    assert.equal((await upstream.log("/queue/data")).length, 1);
  });

  test("files: uploaded from memory, from the disk and by their address", async () => {
    const client = await connect(UPSCALER);
    const file = path.join(scratch(), "cat.png");
    writeFileSync(file, tinyPng);
    const address = `${upstream.origin}/files/picture.jpg`;
    for (const image of [new File([tinyPng], "cat.png", { type: "image/png" }), tinyPng, handle_file(file), handle_file(address)])
      assert.match((await client.predict("/realesrgan", { image })).data[0].url, /picture\.png$/);
    assert.equal((await upstream.log("/gradio_api/upload")).length, 3);
    const [first, , , last] = (await upstream.log("/queue/join")).map(({ json }) => json.data[0]);
    assert.equal(last.path, address);
    const kept = await fetch(`${client.config.root}${client.api_prefix}/file=${first.path}`);
    assert.deepEqual(Buffer.from(await kept.arrayBuffer()), tinyPng);
  });

  test("a gallery of pictures for an edit", async () => {
    const client = await connect(EDIT);
    const pictures = ["a.png", "b.png"].map((name) => ({ image: new File([tinyPng], name, { type: "image/png" }) }));
    const answer = await client.predict("/infer", { images: pictures, prompt: "side by side" });
    assert.match(answer.data[0][0].image.url, /picture\.png$/);
    assert.deepEqual((await upstream.log("/queue/join"))[0].json.data[0].map(({ image }) => image.orig_name), ["a.png", "b.png"]);
  });

  for (const [what, control, data, reason] of [
    ["a text", { eventError: "CUDA out of memory" }, wish, /^CUDA out of memory$/],
    ["nothing", { eventError: null }, wish, /^An error occurred$/],
    ["an object", { eventError: { error: "the GPU is busy", visible: true, duration: 10, title: "Busy" } }, wish, /^the GPU is busy$/],
    ["its quota, late", { tokens: { hf_token: { state: "exhausted", shape: "event" } } }, wish, /exceeded your free GPU quota .*1:02:03/],
    ["its quota, at once", { tokens: { hf_token: { state: "exhausted", shape: "429" } } }, wish, /exceeded your GPU quota/],
    ["a wrong argument", {}, ["a cat", 1024, 1024, 99, 0, false], /argument 3 is not within 1 and 20/],
    ["a missing argument", {}, ["a cat"], /argument 1 is no whole number/],
  ])
    test(`failures: a Space that says ${what}`, async () => {
      await upstream.control(control);
      const client = await connect(TURBO, { token: "hf_token" });
      const error = await client.predict("/generate_image", data).then(assert.fail, (e) => e);
      assert.match(error.message, reason);
      assert.equal(error.stage, "error");
    });

  test("failures: a Space that sleeps, is not there, or wants another token", async () => {
    await upstream.control({ sleeping: [EDIT] });
    await assert.rejects(connect(EDIT), /JSON/);
    await assert.rejects(connect("nobody-nothing"), /received status 404/);
    await assert.rejects(connect(TURBO, { token: "bad-token" }), /credentials are required/);
  });

  test("a function that the Space lacks is known before it is called", async () => {
    const client = await connect(TURBO);
    await assert.rejects(client.predict("/infer", wish), /Valid named endpoints are: "\/generate_image"/);
  });
});
