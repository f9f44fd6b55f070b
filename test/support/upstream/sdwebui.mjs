// sdwebui.mjs: AUTOMATIC1111's web UI under /sdwebui, with the fields that it knows and no others.
// The pictures that it draws have the size that was asked for. Errors: FastAPI's {"detail"} and its
// own {"error","detail","body","errors"}.
import { jsonBody, problem, Refusal, sniff, within } from "./check.mjs";
import { png } from "./pictures.mjs";

const checkpoints = ["sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors"];
const samplers = ["Euler", "Euler a", "DPM++ 2M"];
const upscalers = ["None", "Lanczos", "R-ESRGAN 4x+"];

const refuse = (status, detail) => new Refusal(status, { error: "HTTPException", detail, body: "", errors: "" });
const side = ["int", (v) => (v % 8 === 0 ? within(64, 4096)(v) : "is no multiple of 8")];

const drawing = {
  prompt: "text+",
  negative_prompt: "text",
  seed: ["int", within(-1, 4294967295)],
  steps: ["int", within(1, 150)],
  cfg_scale: ["number", within(0, 30)],
  width: side,
  height: side,
  batch_size: ["int", within(1, 8)],
  sampler_name: "text?",
  scheduler: "text?",
  override_settings: ["object", settingsProblem],
  override_settings_restore_afterwards: "bool",
};
const largerRules = { enable_hr: "bool?", hr_scale: ["number?", within(1, 4)], hr_upscaler: "text?", denoising_strength: ["number?", within(0, 1)] };

function settingsProblem(settings) {
  const wrong = problem(settings, { sd_model_checkpoint: "text+", CLIP_stop_at_last_layers: ["int?", within(1, 12)] });
  if (wrong) return `holds a setting: ${wrong}`;
  return checkpoints.includes(settings.sd_model_checkpoint) ? null : "names no checkpoint";
}

const pictureProblem = (text) => (typeof text === "string" && sniff(Buffer.from(text, "base64")) ? null : "is no picture in base64");

/** `--api-auth` is on as soon as the control knows tokens: a name and a password then. */
export function demandPassword(request, world, refusal) {
  const [, basic] = /^Basic ([A-Za-z0-9+/]+=*)$/.exec(request.headers.authorization ?? "") ?? [];
  const token = basic ? Buffer.from(basic, "base64").toString("utf8") : request.token;
  if (world.control.knownTokens && !world.control.knownTokens.includes(token)) throw refusal;
}

export function handleSdwebui(request, world) {
  if (!request.path.startsWith("/sdwebui/")) return null;
  const route = `${request.method} ${request.path.slice("/sdwebui/".length)}`;
  if (!/^POST sdapi\/v1\/(txt2img|img2img|extra-single-image|interrupt)$/.test(route)) throw new Refusal(404, { detail: "Not Found" });
  demandPassword(request, world, refuse(401, "Incorrect username or password"));
  if (route.endsWith("interrupt")) return { status: 200, body: null };
  const body = jsonBody(request, refuse);
  if (route.endsWith("extra-single-image")) return upscale(body);
  return draw(body, route.endsWith("img2img"));
}

function demand(body, rules) {
  const wrong = problem(body, rules);
  if (wrong) throw new Refusal(422, { detail: [{ loc: ["body"], msg: wrong, type: "value_error" }] });
}

function draw(sent, isEdit) {
  const body = Object.fromEntries(Object.entries(sent).filter(([name, value]) => value !== null || !["sampler_name", "scheduler"].includes(name)));
  const edit = {
    init_images: ["array", (images) => (images.length === 1 ? pictureProblem(images[0]) : "holds not one picture")],
    denoising_strength: ["number", within(0, 1)],
  };
  demand(body, { ...drawing, ...(isEdit ? edit : largerRules) });
  if (body.sampler_name !== undefined && !samplers.includes(body.sampler_name)) throw refuse(404, "Sampler not found");
  const images = Array.from({ length: body.batch_size }, (_, i) => png(body.width, body.height, [i, 60, 90]).toString("base64"));
  return { status: 200, body: { images, parameters: {}, info: JSON.stringify({ seed: body.seed }) } };
}

function upscale(body) {
  demand(body, {
    image: ["text", pictureProblem],
    resize_mode: ["int", (v) => (v === 0 ? null : "is not 0")],
    upscaling_resize: ["number", within(1, 8)],
    upscaler_1: ["text", (v) => (upscalers.includes(v) ? null : "names no upscaler")],
  });
  return { status: 200, body: { html_info: "<p>done</p>", image: png(4, 4).toString("base64") } };
}
