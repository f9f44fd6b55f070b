// gradio.mjs: Hugging Face Spaces under /space/<name>, and Pollinations under /pollinations. A Space
// takes exactly the arguments that its function has, files only by a path that it gave out itself
// (or an http address), and tells an event's outcome once. Errors: {"detail"}. What the public client
// asks for besides, it asks gradio_queue.mjs.
import { createHash, randomBytes } from "node:crypto";
import { jsonBody, oneOf, Refusal, sniff, within } from "./check.mjs";
import { chat } from "./chat.mjs";
import { describeApi, describeApp, joinQueue, readQueue } from "./gradio_queue.mjs";
import { formOf } from "./multipart.mjs";
import { resultAddress } from "./pictures.mjs";

const refuse = (status, detail) => new Refusal(status, { detail });

// ---- what a function takes: each argument's check says what is wrong, or nothing ---------------

/** The check, and what an app's description tells of the argument; `value` is its default, if any. */
const argument = (component, type, value, check) => Object.assign((v, space) => check(v, space), { component, type, value });

const prompt = argument("Textbox", "string", undefined, (v) => (typeof v === "string" && v !== "" ? null : "is no text"));
const text = argument("Textbox", "string", "", (v) => (typeof v === "string" ? null : "is no text"));
const bool = argument("Checkbox", "boolean", false, (v) => (typeof v === "boolean" ? null : "is no boolean"));
const whole = (low, high, value = low) => argument("Slider", "number", value, (v) => (Number.isInteger(v) ? within(low, high)(v) : "is no whole number"));
const number = (low, high) => argument("Slider", "number", low, (v) => (typeof v === "number" ? within(low, high)(v) : "is no number"));
const side = whole(64, 4096, 1024);
const seed = whole(0, 2147483647);
const exactly = (wanted) => argument("Dropdown", typeof wanted, wanted, (v) => (v === wanted ? null : `is not ${JSON.stringify(wanted)}`));
const ratio = argument("Dropdown", "string", "1:1", oneOf("1:1", "16:9", "4:3", "3:2", "9:16", "3:4", "2:3"));
const file = argument("Image", "object", undefined, fileProblem);
const gallery = argument("Gallery", "array", undefined, galleryProblem);

function fileProblem(v, space) {
  if (v === null || typeof v !== "object" || v.meta?._type !== "gradio.FileData") return "is no gradio.FileData";
  if (typeof v.path !== "string") return "is a file without a path";
  if (/^https?:\/\//.test(v.path)) return null;
  return space.uploads.has(v.path) ? null : `names '${v.path}', which was never uploaded here`;
}

function galleryProblem(v, space) {
  if (!Array.isArray(v) || v.length === 0) return "is no gallery";
  return v.map((item) => (Object.keys(item ?? {}).join() === "image" ? fileProblem(item.image, space) : "holds something else than {image}")).find((w) => w) ?? null;
}

// ---- what it gives back: the different shapes that Spaces have ---------------------------------

/** The shape, and what an app's description tells of its parts. */
const results = (components, place) => Object.assign(place, { components });

const asFile = results(["Image", "Number"], (url) => [fileOf(url), 42]);
const asImage = results(["Image"], (url) => [{ image: fileOf(url) }]);
const asGallery = results(["Gallery", "Number"], (url) => [[{ image: fileOf(url), caption: null }], 42]);
const asAddress = results(["Textbox", "Number"], (url) => [url, 42]);
const asVideo = results(["Video", "Number"], (url) => [{ video: fileOf(url), subtitles: null }, 42]);

function fileOf(url) {
  const path = `/tmp/gradio/result/${url.split("/").at(-1)}`;
  return { path, url, size: null, orig_name: "image.png", mime_type: null, is_stream: false, meta: { _type: "gradio.FileData" } };
}

/** Space -> function -> its arguments by name, in their order, and the shape of its results. */
const functions = {
  "mrfakename-z-image-turbo": { generate_image: [{ prompt, height: side, width: side, steps: whole(1, 20), seed, randomize_seed: bool }, asFile] },
  "mrfakename-z-image": {
    generate_image: [{ prompt, negative_prompt: text, height: side, width: side, steps: whole(1, 100), guidance: number(1, 20), seed, randomize_seed: bool }, asGallery],
  },
  "mcp-tools-qwen-image-fast": { generate_image: [{ prompt, seed, randomize_seed: bool, aspect_ratio: ratio, guidance: number(1, 10), steps: whole(1, 20) }, asFile] },
  "aidc-ai-ovis-image-7b": { generate: [{ prompt, height: side, width: side, seed, steps: whole(1, 50), guidance: number(1, 10) }, asAddress] },
  "black-forest-labs-flux-1-schnell": { infer: [{ prompt, seed, randomize_seed: bool, width: side, height: side, steps: whole(1, 10) }, asImage] },
  "linoyts-qwen-image-edit-2511-fast": {
    infer: [{ images: gallery, prompt, seed, randomize_seed: bool, guidance: number(0, 10), steps: whole(1, 20), height: side, width: side, rewrite_prompt: bool }, asGallery],
  },
  "fradeck619-wan2-2-fp8da-aoti-faster": {
    generate_video: [
      { image: file, prompt, steps: whole(1, 20), negative_prompt: text, duration: number(0.5, 10), guidance: number(0, 10), guidance_2: number(0, 10), seed, randomize_seed: bool },
      asVideo,
    ],
  },
  "tuan2308-upscaler": {
    realesrgan: [{ image: file, model_name: exactly("RealESRGAN_x4plus"), denoise: exactly(0.5), face_enhance: exactly(false), scale: exactly(4) }, asFile],
  },
};

/** Model key -> Space, for the catalogue that points here. */
export const spaceOfModel = {
  "z-image-turbo": "mrfakename-z-image-turbo",
  "z-image": "mrfakename-z-image",
  "qwen-image": "mcp-tools-qwen-image-fast",
  "ovis-image": "aidc-ai-ovis-image-7b",
  "flux-1-schnell": "black-forest-labs-flux-1-schnell",
  "qwen-image-edit": "linoyts-qwen-image-edit-2511-fast",
  "wan2_2-i2v": "fradeck619-wan2-2-fp8da-aoti-faster",
  realesrgan: "tuan2308-upscaler",
};

/** How Hugging Face says no to a token; shape "event" comes later, in the event. */
export const huggingface = {
  exhausted(shape) {
    if (shape === "event") return null;
    if (shape === "402") return refuse(402, "Payment Required");
    return refuse(429, "You have exceeded your GPU quota. Try again in 1:02:03");
  },
  rate: () => refuse(429, "too many requests"),
  invalid: () => new Refusal(401, { error: "Invalid credentials in Authorization header" }),
  plan: () => refuse(403, "this Space is private"),
};

export function handleGradio(request, world) {
  if (request.path === "/pollinations/openai" && request.method === "POST") {
    if (request.headers.authorization !== undefined) throw new Refusal(400, { error: "no Authorization is wanted here" });
    return chat(request, (status, message) => new Refusal(status, { error: message }), ["openai", "openai-fast"]);
  }
  const match = /^\/space\/([^/]+)\/(.*)$/.exec(request.path);
  if (!match) return null;
  const [, name, rest] = match;
  if (!(name in functions)) throw new Refusal(404, "<!doctype html><title>404</title><p>There is no such Space.");
  if (world.control.sleeping.includes(name))
    return { status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html><html><body><h1>This Space is sleeping</h1><p>due to inactivity.</p></body></html>" };
  world.judgeToken(request, huggingface);
  const space = world.space(name);
  const call = /^gradio_api\/call\/([^/]+)(?:\/([^/]+))?$/.exec(rest);
  const download = /^gradio_api\/file=(.+)$/.exec(rest);
  const app = { name, root: `${world.origin}/space/${name}`, functions: functions[name], space };
  switch (`${request.method} ${rest}`) {
    case "GET config":
      return describeApp(app);
    case "GET gradio_api/info":
      return describeApi(app);
    case "POST gradio_api/queue/join":
      return joinQueue(request, world, app, admit, settle);
    case "GET gradio_api/queue/data":
      return readQueue(request, app);
    case "POST gradio_api/upload":
      return upload(request, space);
  }
  if (request.method === "GET" && download) return fetchFile(space, decodeURIComponent(download[1]));
  if (request.method === "POST" && call && !call[2]) return begin(request, world, app, call[1]);
  if (request.method === "GET" && call?.[2]) return outcome(request, world, space, call[1], call[2]);
  throw refuse(404, "Not Found");
}

function upload(request, space) {
  let form;
  try {
    form = formOf(request);
  } catch (error) {
    throw refuse(422, error.message);
  }
  if (Object.keys(form.fields).length > 0) throw refuse(422, "a field that is no file");
  if (form.files.length === 0 || form.files.some((f) => f.name !== "files")) throw refuse(422, "missing field 'files'");
  const paths = form.files.map((f) => {
    if (sniff(f.data) === null) throw refuse(422, `'${f.filename}' is no picture`);
    const path = `/tmp/gradio/${createHash("sha256").update(f.data).digest("hex")}/${f.filename.replace(/[^\w.-]/g, "")}`;
    space.uploads.set(path, f.data);
    return path;
  });
  return { status: 200, body: paths };
}

function fetchFile(space, path) {
  const data = space.uploads.get(path);
  if (!data) throw refuse(403, `File not allowed: ${path}.`);
  return { status: 200, headers: { "content-type": sniff(data) }, body: data };
}

function begin(request, world, app, fn) {
  if (!(fn in app.functions)) throw refuse(404, "Not Found");
  const body = jsonBody(request, (status, detail) => refuse(status === 415 ? 422 : status, detail));
  if (Object.keys(body).join() !== "data" || !Array.isArray(body.data)) throw refuse(422, "the body is not {data: […]}");
  const id = randomBytes(16).toString("hex");
  app.space.events.set(id, admit(request, world, app, fn, body.data));
  return { status: 200, body: { event_id: id } };
}

/** The event that a call with these arguments is; refuses what the function does not take. */
function admit(request, world, { functions, space }, fn, data) {
  const [parameters, shape] = functions[fn];
  const checks = Object.values(parameters);
  if (data.length !== checks.length) throw refuse(422, `${fn} takes ${checks.length} arguments, not ${data.length}`);
  checks.forEach((check, i) => {
    const wrong = check(data[i], space);
    if (wrong) throw refuse(422, `argument ${i} ${wrong}`);
  });
  return { fn, shape, isVideo: fn.includes("video"), spent: world.isSpent(request.token, "event") };
}

/** How the event ends: {data} or {error}. */
function settle(world, event) {
  if (world.control.eventError !== undefined) return { error: world.control.eventError };
  if (event.spent) return { error: "You have exceeded your free GPU quota (60s requested vs. 0s left). Try again in 1:02:03" };
  return { data: placed(world, event) };
}

function outcome(request, world, space, fn, id) {
  const event = space.events.get(id);
  if (!event || event.fn !== fn) throw refuse(404, "Event not found");
  space.events.delete(id); /* it can be read once */
  const { data, error } = settle(world, event);
  return {
    status: 200,
    isGradio: true,
    events: [["heartbeat", null], ["generating", null], ...Array(world.control.heartbeats).fill(["heartbeat", null]), data ? ["complete", data] : ["error", error]],
  };
}

function placed(world, event) {
  const url = resultAddress(world, event.isVideo ? "video.mp4" : "picture.png");
  const data = event.shape(url);
  if (world.control.result !== "relative") return data;
  return JSON.parse(JSON.stringify(data, (key, value) => (key === "url" ? null : value)));
}
