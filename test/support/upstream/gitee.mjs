// gitee.mjs: Gitee AI under /gitee/v1, its tasks under /gitee/api/v1/task. Errors: {"message"}.
import { addressProblem, jsonBody, numbersFromText, oneOf, problem, Refusal, sniff, within } from "./check.mjs";
import { chat } from "./chat.mjs";
import { formOf } from "./multipart.mjs";
import { resultAddress } from "./pictures.mjs";

const pictureModels = ["z-image-turbo", "Qwen-Image", "FLUX.2-dev", "flux-1-schnell", "FLUX_1-Krea-dev", "FLUX.1-dev"];
const editModels = ["Qwen-Image-Edit"];
const videoModels = ["Wan2_2-I2V-A14B"];
const chatModels = ["DeepSeek-V3.2", "Qwen3-Next-80B-A3B-Instruct"];

const refuse = (status, message) => new Refusal(status, { message });
const model = (models) => ["text+", (v) => (models.includes(v) || v.startsWith("x-") ? null : "names no model")];

function demand(wrong) {
  if (wrong) throw refuse(wrong.includes("names no model") ? 404 : 400, wrong);
}

export function handleGitee(request, world) {
  if (!request.path.startsWith("/gitee/")) return null;
  if (!request.token) throw refuse(401, "missing Authorization");
  world.judgeToken(request, gitee);
  const route = `${request.method} ${request.path.slice("/gitee".length)}`;
  const task = /^GET \/api\/v1\/task\/([^/]+)$/.exec(route);
  if (task) return status(request, world, decodeURIComponent(task[1]));
  switch (route) {
    case "POST /v1/images/generations":
      return generate(request, world);
    case "POST /v1/images/edits":
      return edit(request, world);
    case "POST /v1/chat/completions":
      return chat(request, refuse, chatModels);
    case "POST /v1/async/videos/image-to-video":
      return video(request, world);
    default:
      throw refuse(404, `no route ${route}`);
  }
}

/** How Gitee says no to a token. `shape` of an exhausted one: "402", "429", "403", "400". */
export const gitee = {
  exhausted(shape) {
    if (shape === "402") return refuse(402, "Payment Required");
    if (shape === "403") return refuse(403, "your resource package is in arrearage");
    if (shape === "400") return new Refusal(400, { error: { code: "insufficient_quota", message: "no balance" } });
    return refuse(429, "quota exceeded");
  },
  rate: () => refuse(429, "too many requests"),
  invalid: () => refuse(401, "invalid access token"),
  plan: () => refuse(403, "this model is not open to your account"),
};

function generate(request, world) {
  const body = jsonBody(request, refuse);
  demand(
    problem(body, {
      prompt: "text+",
      model: model(pictureModels),
      width: ["int", within(64, 4096)],
      height: ["int", within(64, 4096)],
      seed: ["int", within(0, 2147483647)],
      num_inference_steps: ["int", within(1, 100)],
      response_format: ["text", oneOf("url", "b64_json")],
      guidance_scale: ["number?", within(0, 20)],
    }),
  );
  if (world.isUnsafe(body.prompt)) throw refuse(400, "the prompt violates the content policy");
  return { status: 200, body: { created: 1700000000, data: [{ url: resultAddress(world), type: "image/png" }] } };
}

function form(request) {
  try {
    return formOf(request);
  } catch (error) {
    throw refuse(400, error.message);
  }
}

function edit(request, world) {
  const { fields, files } = form(request);
  const { image, ...others } = numbersFromText(fields, ["num_inference_steps", "cfg_scale", "seed"]);
  demand(
    problem(others, {
      prompt: "text+",
      model: model(editModels),
      num_inference_steps: ["int", within(1, 100)],
      cfg_scale: ["number", within(0, 20)],
      seed: ["int", within(0, 2147483647)],
      response_format: ["text", oneOf("url", "b64_json")],
      lora_weights: ["text", loraProblem],
    }),
  );
  if (image !== undefined && addressProblem(image)) throw refuse(400, "field 'image' is no address of a picture");
  if (image === undefined && files.length === 0) throw refuse(400, "missing field 'image'");
  for (const file of files) {
    if (file.name !== "image") throw refuse(400, `unknown file '${file.name}'`);
    if (sniff(file.data) === null || sniff(file.data) !== file.type) throw refuse(400, `'${file.filename}' is no picture of type ${file.type}`);
  }
  return { status: 200, body: { created: 1700000000, data: [{ url: resultAddress(world) }] } };
}

function loraProblem(text) {
  try {
    const wrong = problem(JSON.parse(text), { url: "text+", weight: "number" });
    return wrong && `holds JSON with ${wrong}`;
  } catch {
    return "is not JSON";
  }
}

function video(request, world) {
  const { fields, files } = form(request);
  const body = numbersFromText(fields, ["num_inference_steps", "num_inferenece_steps", "num_frames", "guidance_scale", "height", "width"]);
  if (files.length > 0) throw refuse(400, "field 'image' must be an address");
  demand(
    problem(body, {
      image: ["text", addressProblem],
      prompt: "text+",
      negative_prompt: "text?",
      model: model(videoModels),
      num_inference_steps: ["int", within(1, 100)],
      num_inferenece_steps: ["int", (v) => (v === body.num_inference_steps ? null : "differs from num_inference_steps")],
      num_frames: ["int", within(16, 960)],
      guidance_scale: ["number", within(0, 20)],
      height: ["int?", within(64, 4096)],
      width: ["int?", within(64, 4096)],
    }),
  );
  if ((body.height === undefined) !== (body.width === undefined)) throw refuse(400, "height and width go together");
  const task = world.newTask(request.token, { isUnsafe: world.isUnsafe(body.prompt) });
  return { status: 200, body: { task_id: task.id, status: "waiting", created_at: 1700000000000 } };
}

function status(request, world, id) {
  const task = world.tasks.get(id);
  if (task === undefined || task.token !== request.token) throw refuse(404, "task not found");
  const state = world.advanceTask(task);
  if (state === "success")
    return { status: 200, body: { task_id: id, status: "success", output: { file_url: resultAddress(world, "video.mp4"), mime_type: "video/mp4" } } };
  if (state === "failed") {
    const output = world.control.taskError === null ? {} : { [world.control.taskErrorField ?? "error"]: world.control.taskError ?? "out of GPU memory" };
    return { status: 200, body: { task_id: id, status: "failure", output } };
  }
  return { status: 200, body: { task_id: id, status: state === "pending" ? "waiting" : "in_progress" } };
}
