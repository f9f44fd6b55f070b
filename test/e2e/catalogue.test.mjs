// catalogue.test.mjs: providers without code: the files in examples/catalogue/ as they are, in the
// real server, with the stand-in at the address that a setting names. It is a private one, and
// ALLOW_PRIVATE_HOSTS is not set: where a provider lies is the operator's to say.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { eventually, root, scratch, startServer, startUpstream, tinyPngUrl } from "../support/harness.mjs";
import { png } from "../support/upstream/pictures.mjs";

let upstream;
const servers = [];

async function serverWith(example, env) {
  const server = await startServer({
    env: { CATALOGUE: path.join(root, "examples/catalogue", example), RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", POLL_INTERVAL_MS: "200", ...env },
  });
  servers.push(server);
  return server;
}

before(async () => (upstream = await startUpstream()));
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

function assertOk(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** Width and height of a PNG in a data: URL. */
function sizeOf(url) {
  assert.match(url, /^data:image\/png;base64,/);
  const data = Buffer.from(url.slice(url.indexOf(",") + 1), "base64");
  return [data.readUInt32BE(16), data.readUInt32BE(20)];
}

function pictureFile(width, height) {
  const file = path.join(scratch(), "cat.png");
  writeFileSync(file, png(width, height));
  return file;
}

const edit = (server, model, file) =>
  server.request("POST", "/api/v1/edit", { form: [["model", model], ["prompt", "in blue"], ["seed", "7"], ["image", `@${file};type=image/png`]] });

async function models(server) {
  const { json } = await server.get("/api/v1/models");
  return JSON.stringify(json);
}

async function taskEnd(server, taskId) {
  return eventually("the task ends", async () => {
    const answer = await server.get(`/api/v1/task-status?taskId=${taskId}`);
    return answer.json.status !== "processing" && answer.json;
  }, { timeoutMs: 15000, everyMs: 100 });
}

const sent = async (part) => (await upstream.log(part)).map((entry) => entry.json);
const basic = `Basic ${Buffer.from("ann:secret").toString("base64")}`;

describe("sdwebui.json", () => {
  let server;
  before(async () => (server = await serverWith("sdwebui.json", { MY_GPU_API_BASE: `${upstream.origin}/sdwebui` })));

  test("its models are offered, its kind is not", async () => {
    const list = await models(server);
    for (const id of ["my-gpu/sdxl", "my-gpu/sd-1.5", "my-gpu/upscale"]) assert.ok(list.includes(`"${id}"`), `${id} in ${list}`);
    const answer = await server.post("/api/v1/generate", { model: "sdwebui/sdxl", prompt: "a cat" });
    assert.equal(answer.status, 400);
  });

  test("one picture, of the size that was asked for", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "my-gpu/sdxl", prompt: "a cat", seed: 7, width: 768, height: 512 }));
    assert.deepEqual(sizeOf(answer.url), [768, 512]);
    assert.equal(answer.steps, 25);
    const [body] = await sent("/txt2img");
    assert.equal(body.override_settings.sd_model_checkpoint, "sd_xl_base_1.0.safetensors");
    assert.equal(body.sampler_name, "DPM++ 2M");
  });

  test("several at once, whole and in their order", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "my-gpu/sdxl", prompt: "a cat", seed: 7, width: 64, height: 128, n: 3 }));
    assert.deepEqual(answer.images.map(({ url }) => url), [0, 1, 2].map((i) => `data:image/png;base64,${png(64, 128, [i, 60, 90]).toString("base64")}`));
    assert.equal(answer.url, answer.images[0].url);
    assert.deepEqual((await sent("/txt2img")).map((body) => body.batch_size), [3]);
  });

  test("the body of the operator's own", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "my-gpu/sd-1.5", prompt: "a cat", seed: 7, width: 1536, height: 1024 }));
    assert.deepEqual([answer.width, answer.height], [768, 512]);
    const [body] = await sent("/txt2img");
    assert.deepEqual([body.enable_hr, body.denoising_strength, body.override_settings.CLIP_stop_at_last_layers], [true, 0.6, 2]);
  });

  test("an edit keeps the size of its picture", async () => {
    const answer = assertOk(await edit(server, "my-gpu/sdxl", pictureFile(324, 200)));
    assert.deepEqual(sizeOf(answer.url), [320, 200]);
  });

  test("upscaling", async () => {
    const answer = assertOk(await server.post("/api/v1/upscaler", { model: "my-gpu/upscale", image: tinyPngUrl }));
    assert.deepEqual(sizeOf(answer.url), [4, 4]);
  });

  test("a job that is given up is interrupted", async () => {
    await upstream.control({ next: [{ do: "stall", match: { path: "/txt2img" } }] });
    const started = await server.post("/api/v1/generate", { model: "my-gpu/sdxl", prompt: "a cat", async: true });
    assert.equal(started.status, 202, started.text);
    await eventually("it is being drawn", async () => (await upstream.log("/txt2img")).length === 1);
    assertOk(await server.request("DELETE", `/api/v1/task-status?taskId=${started.json.taskId}`));
    await eventually("the server is told", async () => (await upstream.log("/interrupt")).length === 1);
    assert.deepEqual((await upstream.log("/txt2img")).map((entry) => entry.left), [true]);
    assert.equal((await taskEnd(server, started.json.taskId)).status, "failed");
  });
});

test("sdwebui with a user and a password, the wrong one first", async () => {
  const server = await serverWith("sdwebui.json", { MY_GPU_API_BASE: `${upstream.origin}/sdwebui`, MY_GPU_TOKENS: "ann:wrong,ann:secret" });
  await upstream.control({ knownTokens: ["ann:secret"] });
  for (let i = 0; i < 3; i++) assertOk(await server.post("/api/v1/generate", { model: "my-gpu/sdxl", prompt: "a cat", width: 64, height: 64 }));
  const log = (await upstream.log("/txt2img")).map((entry) => entry.headers.authorization);
  assert.equal(log.filter((value) => value === basic).length, 3);
  assert.ok(log.length <= 4, "a password that was refused was tried again");
});

describe("comfyui.json", () => {
  let server;
  before(async () => (server = await serverWith("comfyui.json", { MY_COMFY_API_BASE: `${upstream.origin}/comfyui`, MY_COMFY_TOKENS: "ann:secret" })));

  test("a picture, with the password at every step", async () => {
    await upstream.control({ knownTokens: ["ann:secret"] });
    const answer = assertOk(await server.post("/api/v1/generate", { model: "my-comfy/sdxl", prompt: "a cat", seed: 7, width: 768, height: 512 }));
    assert.deepEqual(sizeOf(answer.url), [768, 512]);
    const log = await upstream.log("/comfyui/");
    assert.ok(log.every((entry) => entry.headers.authorization === basic));
    assert.equal(log[0].json.prompt["6"].inputs.text, "a cat");
    assert.equal(log[0].json.prompt["3"].inputs.seed, 7);
  });

  test("several at once", async () => {
    const answer = assertOk(await server.post("/api/v1/generate", { model: "my-comfy/sdxl", prompt: "a cat", width: 64, height: 64, n: 2 }));
    assert.deepEqual(answer.images.map(({ url }) => url), [0, 1].map((i) => `data:image/png;base64,${png(64, 64, [i, 60, 90]).toString("base64")}`));
  });

  test("two pictures of one name are edited, each for itself", async () => {
    for (const size of [16, 24]) assertOk(await edit(server, "my-comfy/sdxl-edit", pictureFile(size, size)));
    const loaded = (await upstream.log("/comfyui/prompt")).filter((entry) => entry.method === "POST").map((entry) => entry.json.prompt["1"].inputs.image);
    assert.deepEqual(loaded, ["picture.png", "picture (1).png"]);
  });

  test("upscaling, by a workflow inside the catalogue", async () => {
    assertOk(await server.post("/api/v1/upscaler", { model: "my-comfy/upscale", image: tinyPngUrl }));
  });

  test("a node that refuses its input is the request's fault, and says so", async () => {
    const answer = await server.post("/api/v1/generate", { model: "my-comfy/sdxl", prompt: "a cat", width: 770, height: 512 });
    assert.equal(answer.status, 400, answer.text);
    assert.match(answer.text, /node 5 \(EmptyLatentImage\): Failed to convert/);
  });

  test("a workflow that fails", async () => {
    await upstream.control({ taskFails: true, taskError: "Allocation on device failed" });
    const answer = await server.post("/api/v1/generate", { model: "my-comfy/sdxl", prompt: "a cat" });
    assert.equal(answer.status, 502, answer.text);
    assert.match(answer.text, /KSampler: Allocation on device failed/);
  });

  test("a job ends as it would have at once", async () => {
    const started = await server.post("/api/v1/generate", { model: "my-comfy/sdxl", prompt: "a cat", width: 64, height: 64, async: true });
    assert.equal(started.status, 202, started.text);
    const end = await taskEnd(server, started.json.taskId);
    assert.equal(end.status, "success", JSON.stringify(end));
    assert.deepEqual(sizeOf(end.url), [64, 64]);
  });

  test("a job that is given up leaves the queue, and is interrupted", async () => {
    await upstream.control({ polls: 1000 });
    const started = await server.post("/api/v1/generate", { model: "my-comfy/sdxl", prompt: "a cat", async: true });
    await eventually("it is waited for", async () => (await upstream.log("/history/")).length > 0);
    assertOk(await server.request("DELETE", `/api/v1/task-status?taskId=${started.json.taskId}`));
    const [interruption] = await eventually("the server is told", async () => {
      const log = await upstream.log("/interrupt");
      return log.length > 0 && log;
    });
    const [removal] = await sent("/comfyui/queue");
    assert.deepEqual(removal, { delete: [interruption.json.prompt_id] });
  });
});

test("gradio.json: a Space with a token of its own", async () => {
  const server = await serverWith("gradio.json", { MY_SPACE_API_BASE: `${upstream.origin}/space/black-forest-labs-flux-1-schnell`, MY_SPACE_TOKENS: "hf-mine", HUGGINGFACE_TOKENS: "hf-other" });
  const answer = assertOk(await server.post("/api/v1/generate", { model: "my-space/flux", prompt: "a cat", seed: 7, width: 512, height: 256 }));
  assert.match(answer.url, /\/files\/\d+\/picture\.png$/);
  const log = await upstream.log("/gradio_api/call/infer");
  assert.deepEqual(log[0].json.data, ["a cat", 7, false, 512, 256, 8]);
  assert.ok(log.every((entry) => entry.token === "hf-mine"));
});

test("a catalogue that names a file that is not there is told at the start", async () => {
  const document = { providers: { lab: { kind: "comfyui", models: [{ key: "m", type: ["text2image"], workflow_file: "gone.json" }] } } };
  await assert.rejects(startServer({ env: { CATALOGUE: "catalogue.json" }, files: { "catalogue.json": JSON.stringify(document) } }), /workflow_file: gone\.json: the file cannot be read/);
});
