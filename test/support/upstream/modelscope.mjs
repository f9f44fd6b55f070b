// modelscope.mjs: ModelScope under /modelscope/v1. Errors: {"errors":{"message"}} or {"message"}.
// Every answer tells what is left of the token's and of the model's quota.
import { addressProblem, jsonBody, problem, Refusal, within } from "./check.mjs";
import { chat } from "./chat.mjs";
import { resultAddress } from "./pictures.mjs";

const sideMax = {
  "Tongyi-MAI/Z-Image-Turbo": 2048,
  "black-forest-labs/FLUX.2-dev": 1024,
  "black-forest-labs/FLUX.1-Krea-dev": 1024,
  "MusePublic/489_ckpt_FLUX_1": 1024,
  "Qwen/Qwen-Image-Edit-2509": 1664,
};
const chatModels = ["deepseek-ai/DeepSeek-V3.2", "Qwen/Qwen3-Next-80B-A3B-Instruct"];

const refuse = (status, message) => new Refusal(status, { errors: { message }, request_id: "r-1" });

/** How ModelScope says no to a token. */
export const modelscope = {
  exhausted(shape) {
    if (shape === "402") return refuse(402, "Payment Required");
    if (shape === "model") return new Refusal(429, { errors: { message: "too many requests" } }, { "modelscope-ratelimit-requests-remaining": "12", "modelscope-ratelimit-model-requests-remaining": "0" });
    if (shape === "header") return new Refusal(429, { errors: { message: "too many requests" } }, { "modelscope-ratelimit-requests-remaining": "0" });
    return new Refusal(429, { message: "You have exceeded today's quota" });
  },
  rate: () => refuse(429, "too many requests"),
  invalid: () => refuse(401, "Authentication failed"),
  plan: () => refuse(403, "this model is not open to your account"),
};

export function handleModelscope(request, world) {
  if (!request.path.startsWith("/modelscope/")) return null;
  if (!request.token) throw refuse(401, "missing Authorization");
  world.judgeToken(request, modelscope);
  const answer = serve(request, world);
  answer.headers = { ...remaining(request, world), ...answer.headers };
  return answer;
}

/** control.remaining: {token: [account, model]}, counted down by every create. */
function remaining(request, world) {
  const left = world.control.remaining?.[request.token] ?? [2000, 500];
  if (request.method === "POST" && world.control.remaining?.[request.token]) {
    left[0] = Math.max(0, left[0] - 1);
    left[1] = Math.max(0, left[1] - 1);
  }
  return {
    "modelscope-ratelimit-requests-limit": "2000",
    "modelscope-ratelimit-requests-remaining": String(left[0]),
    "modelscope-ratelimit-model-requests-limit": "500",
    "modelscope-ratelimit-model-requests-remaining": String(left[1]),
  };
}

function serve(request, world) {
  const route = `${request.method} ${request.path.slice("/modelscope".length)}`;
  const task = /^GET \/v1\/tasks\/([^/]+)$/.exec(route);
  if (task) return status(request, world, decodeURIComponent(task[1]));
  if (route === "POST /v1/chat/completions") return chat(request, refuse, chatModels);
  if (route === "POST /v1/images/generations") return create(request, world);
  throw refuse(404, `no route ${route}`);
}

function create(request, world) {
  const body = jsonBody(request, refuse);
  const side = sideMax[body.model] ?? 2048;
  if (request.headers["x-modelscope-async-mode"] !== "true") throw refuse(400, "this model needs X-ModelScope-Async-Mode: true");
  const isEdit = typeof body.model === "string" && body.model.includes("Edit");
  const wrong = problem(body, {
    prompt: "text+",
    model: ["text+", (v) => (v in sideMax || v.startsWith("x-") ? null : "names no model")],
    size: [isEdit ? "text?" : "text", (v) => sizeProblem(v, side)],
    seed: ["int", within(0, 2147483647)],
    steps: ["int", within(1, 100)],
    guidance: ["number?", within(1, 20)],
    ...(isEdit ? { image_url: ["array", addressesProblem] } : {}),
  });
  if (wrong) throw refuse(wrong.includes("names no model") ? 404 : 400, wrong);
  if (world.isUnsafe(body.prompt)) throw refuse(400, "the prompt violates the content policy");
  const task = world.newTask(request.token, {});
  return { status: 200, body: { task_id: task.id, request_id: "r-1" } };
}

function sizeProblem(size, side) {
  const match = /^(\d+)x(\d+)$/.exec(size);
  if (!match) return "is not WxH";
  return match.slice(1).map((v) => within(64, side)(Number(v))).find((v) => v) ?? null;
}

function addressesProblem(addresses) {
  if (addresses.length < 1 || addresses.length > 16) return "does not hold 1 to 16 addresses";
  for (const address of addresses) {
    const wrong = typeof address === "string" ? addressProblem(address) : "is no text";
    if (wrong) return `holds something that ${wrong}`;
  }
  return null;
}

function status(request, world, id) {
  const task = world.tasks.get(id);
  if (request.headers["x-modelscope-task-type"] !== "image_generation") throw refuse(400, "missing X-ModelScope-Task-Type");
  if (task === undefined || task.token !== request.token) throw refuse(404, "task not found");
  const state = world.advanceTask(task);
  if (state === "success") return { status: 200, body: { task_id: id, task_status: "SUCCEED", output_images: [resultAddress(world)] } };
  if (state === "failed") {
    const message = world.control.taskError ?? "out of GPU memory";
    const reason = world.control.taskErrorField === "errors" ? { errors: { message } } : { error_message: message };
    return { status: 200, body: { task_id: id, task_status: "FAILED", ...(world.control.taskError === null ? {} : reason) } };
  }
  return { status: 200, body: { task_id: id, task_status: state === "pending" ? "PENDING" : "PROCESSING" } };
}
