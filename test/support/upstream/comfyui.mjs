// comfyui.mjs: ComfyUI under /comfyui, with some of its nodes. A workflow is checked as the real one
// does it, node by node: unknown classes, inputs that are missing or too many, values out of their
// lists, links into nothing. It works on a prompt for `control.polls` looks into the history.
import { jsonBody, problem, Refusal, sniff } from "./check.mjs";
import { formOf } from "./multipart.mjs";
import { png } from "./pictures.mjs";
import { demandPassword } from "./sdwebui.mjs";

const link = (v, { nodes }) => (Array.isArray(v) && v.length === 2 && v[0] in nodes && Number.isInteger(v[1]) ? null : "Return type mismatch between linked nodes");
const text = (v) => (typeof v === "string" ? null : "Failed to convert an input value to a STRING value");
const among = (...list) => (v) => (list.includes(v) ? null : "Value not in list");
const whole = (low, high, step = 1) => (v) => (Number.isInteger(v) && v >= low && v <= high && v % step === 0 ? null : "Failed to convert an input value to a INT value");
const number = (low, high) => (v) => (typeof v === "number" && v >= low && v <= high ? null : "Failed to convert an input value to a FLOAT value");

const classes = {
  CheckpointLoaderSimple: { ckpt_name: among("sd_xl_base_1.0.safetensors") },
  UpscaleModelLoader: { model_name: among("RealESRGAN_x4plus.pth") },
  EmptyLatentImage: { width: whole(16, 16384, 8), height: whole(16, 16384, 8), batch_size: whole(1, 4096) },
  LoadImage: { image: (v, { uploads }) => (uploads.has(v) ? null : "Invalid image file") },
  ImageScaleToTotalPixels: { image: link, upscale_method: among("lanczos", "area"), megapixels: number(0.01, 16) },
  CLIPTextEncode: { text, clip: link },
  KSampler: {
    seed: whole(0, Number.MAX_SAFE_INTEGER), steps: whole(1, 10000), cfg: number(0, 100), denoise: number(0, 1),
    sampler_name: among("euler", "dpmpp_2m"), scheduler: among("normal", "karras"), model: link, positive: link, negative: link, latent_image: link,
  },
  VAEEncode: { pixels: link, vae: link },
  VAEDecode: { samples: link, vae: link },
  ImageUpscaleWithModel: { upscale_model: link, image: link },
  SaveImage: { filename_prefix: text, images: link },
};

const refuse = (status, message, type = "invalid_prompt", nodeErrors = []) => new Refusal(status, { error: { type, message, details: "", extra_info: {} }, node_errors: nodeErrors });

export function handleComfyui(request, world) {
  if (!request.path.startsWith("/comfyui/")) return null;
  demandPassword(request, world, new Refusal(401, "<html><title>401 Authorization Required</title></html>"));
  const state = world.space("comfyui"); // uploads: what LoadImage finds; events: what /view finds
  const route = `${request.method} ${request.path.slice("/comfyui".length)}`;
  const history = /^GET \/history\/([^/]+)$/.exec(route);
  if (history) return { status: 200, body: historyOf(decodeURIComponent(history[1]), world, state) };
  switch (route) {
    case "POST /upload/image":
      return upload(request, state);
    case "POST /prompt":
      return queue(request, world, state);
    case "GET /prompt":
      return { status: 200, body: { exec_info: { queue_remaining: [...world.tasks.values()].filter((task) => !task.isOver).length } } };
    case "GET /view":
      return view(request, state);
    case "POST /queue":
      return dequeue(request, world);
    case "POST /interrupt":
      return interrupt(request, world);
    default:
      throw new Refusal(404, "404: Not Found");
  }
}

function upload(request, state) {
  let form;
  try {
    form = formOf(request);
  } catch (error) {
    throw new Refusal(400, error.message);
  }
  const [file, ...more] = form.files;
  if (file?.name !== "image" || more.length > 0 || sniff(file.data) === null) throw new Refusal(400, "not one picture in 'image'");
  if (problem(form.fields, { type: "text" }) || form.fields.type !== "input") throw new Refusal(400, "type is not input");
  let name = file.filename;
  for (let i = 1; state.uploads.has(name) && !state.uploads.get(name).equals(file.data); i++) name = file.filename.replace(/(\.\w+)$/, ` (${i})$1`);
  state.uploads.set(name, file.data);
  return { status: 200, body: { name, subfolder: "", type: "input" } };
}

function nodeErrors(nodes, uploads) {
  const wrong = {};
  for (const [id, node] of Object.entries(nodes)) {
    const rules = classes[node.class_type];
    if (!rules) throw refuse(400, `Cannot execute because node ${node.class_type} does not exist.`, "missing_node_type");
    const errors = Object.keys(node.inputs ?? {}).filter((name) => !(name in rules)).map((name) => ({ type: "unknown_input", message: "Unknown input", details: name }));
    for (const [name, check] of Object.entries(rules)) {
      const message = node.inputs?.[name] === undefined ? "Required input is missing" : check(node.inputs[name], { nodes, uploads });
      if (message) errors.push({ type: "value", message, details: `${name}: ${JSON.stringify(node.inputs?.[name])}`, extra_info: {} });
    }
    if (errors.length > 0) wrong[id] = { errors, dependent_outputs: [], class_type: node.class_type };
  }
  return wrong;
}

function queue(request, world, state) {
  const body = jsonBody(request, refuse);
  const wrongBody = problem(body, { prompt: "object", client_id: "text+" });
  if (wrongBody) throw refuse(400, wrongBody);
  const nodes = body.prompt;
  const wrong = nodeErrors(nodes, state.uploads);
  if (Object.keys(wrong).length > 0) throw refuse(400, "Prompt outputs failed validation", "prompt_outputs_failed_validation", wrong);
  const outputs = Object.entries(nodes).filter(([, node]) => node.class_type === "SaveImage").map(([id]) => id);
  if (outputs.length === 0) throw refuse(400, "Prompt has no outputs", "prompt_no_outputs");
  const latent = Object.values(nodes).find((node) => node.class_type === "EmptyLatentImage")?.inputs ?? { width: 8, height: 8, batch_size: 1 };
  const task = world.newTask(null, { outputs, latent });
  return { status: 200, body: { prompt_id: task.id, number: world.tasks.size, node_errors: {} } };
}

function historyOf(id, world, state) {
  const task = world.tasks.get(id);
  const progress = task ? world.advanceTask(task) : "pending";
  if (progress === "failed") {
    task.isOver = true;
    const error = ["execution_error", { prompt_id: id, node_id: "3", node_type: "KSampler", exception_message: world.control.taskError ?? "out of GPU memory" }];
    return { [id]: { prompt: [], outputs: {}, status: { status_str: "error", completed: false, messages: [["execution_start", { prompt_id: id }], error] } } };
  }
  if (progress !== "success") return {};
  task.isOver = true;
  const images = Array.from({ length: task.latent.batch_size }, (_, i) => {
    const filename = `imagine ${id}_${i}.png`;
    state.events.set(filename, png(task.latent.width, task.latent.height, [i, 60, 90]));
    return { filename, subfolder: "", type: "output" };
  });
  const outputs = Object.fromEntries(task.outputs.map((node) => [node, { images }]));
  return { [id]: { prompt: [], outputs, status: { status_str: "success", completed: true, messages: [] } } };
}

function view(request, state) {
  const body = state.events.get(request.query.get("filename"));
  if (!body || request.query.get("subfolder") !== "" || request.query.get("type") !== "output") throw new Refusal(404, "404: Not Found");
  return { status: 200, headers: { "content-type": "image/png" }, body };
}

function dequeue(request, world) {
  const body = jsonBody(request, refuse);
  if (problem(body, { delete: "array" })) throw refuse(400, "delete is no list");
  for (const id of body.delete) world.tasks.delete(id);
  return { status: 200, body: "" };
}

function interrupt(request, world) {
  const body = jsonBody(request, refuse);
  if (problem(body, { prompt_id: "text+" })) throw refuse(400, "that would interrupt the work of others");
  world.tasks.delete(body.prompt_id);
  return { status: 200, body: "" };
}
