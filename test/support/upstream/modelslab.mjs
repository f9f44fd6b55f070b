// modelslab.mjs: ModelsLab under /modelslab/api/v6. The token is `key` in the body. Nearly every
// answer is a 200 whose `status` says what it is; a refusal has a `message`, or a `messege`.
import { jsonBody, oneOf, problem, Refusal, within } from "./check.mjs";
import { resultAddress } from "./pictures.mjs";

const pictureModels = ["flux", "flux-dev", "sdxl", "realistic-vision-v6"];
const videoModels = ["cogvideox-5b"];

const say = (message, more = {}, status = 200) => new Refusal(status, { status: "error", message, ...more });
const refuse = (status, message) => say(message, {}, status);

/** How ModelsLab says no to a token. `shape` of an exhausted one: "402", "month", "messege". */
export const modelslab = {
  tellsWait: true,
  exhausted(shape) {
    if (shape === "402") return say("Insufficient credits. Please add more credits to continue.", {}, 402);
    if (shape === "month") return say("Monthly limit exceeded, upgrade subscription");
    if (shape === "messege") return new Refusal(200, { status: "error", messege: "You are out of credits" });
    return say("Insufficient credits. Please add more credits to continue.");
  },
  rate: (rule) => say("Rate limit exceeded. Maximum 5 queued requests allowed.", rule.retryAfter === undefined ? {} : { retry_after: rule.retryAfter }),
  invalid: () => say("Invalid API key"),
  plan: () => say("This feature requires a premium subscription"),
};

/** A whole number written as a text. */
const digits = (low, high) => ["text", (v) => (/^\d+$/.test(v) ? within(low, high)(Number(v)) : "is no number in a text")];
const model = (models) => ["text+", (v) => (models.includes(v) || v.startsWith("x-") ? null : "names no model: Invalid model id")];

export function handleModelslab(request, world) {
  if (!request.path.startsWith("/modelslab/")) return null;
  const [, kind, verb, id] = /^\/modelslab\/api\/v6\/(images|video)\/(text2img|text2video|fetch)(?:\/([^/]+))?$/.exec(request.path) ?? [];
  const route = `${request.method} ${kind}/${verb}`;
  if (request.headers.authorization !== undefined) throw refuse(401, "Unauthenticated.");
  const { key, ...body } = jsonBody(request, refuse);
  if (typeof key !== "string" || key === "") throw modelslab.invalid();
  request.token = key;
  if (verb === "fetch" && id !== undefined) return fetchTask({ ...request, method: "GET" }, world, kind, decodeURIComponent(id), body);
  world.judgeToken(request, modelslab);
  if (route === "POST images/text2img" && id === undefined) return draw(request, world, body);
  if (route === "POST video/text2video" && id === undefined) return film(request, world, body);
  throw refuse(404, `no route ${route}`);
}

function demand(wrong) {
  if (!wrong) return;
  const field = /'(\w+)'/.exec(wrong)?.[1] ?? "body";
  throw say({ [field]: [wrong] });
}

function draw(request, world, body) {
  demand(
    problem(body, {
      prompt: "text+",
      model_id: model(pictureModels),
      width: digits(64, 1024),
      height: digits(64, 1024),
      samples: digits(1, 4),
      num_inference_steps: digits(1, 50),
      guidance_scale: ["number", within(1, 20)],
      safety_checker: ["text", oneOf("yes", "no")],
      seed: ["int", within(0, 2147483647)],
      negative_prompt: "text?",
    }),
  );
  if (world.isUnsafe(body.prompt)) throw say("NSFW content detected in the prompt");
  return begin(request, world, "images", Number(body.samples));
}

function film(request, world, body) {
  demand(problem(body, { prompt: "text+", model_id: model(videoModels), num_inference_steps: digits(1, 50) }));
  return begin(request, world, "video", 1);
}

const done = (world, kind, count) => ({ status: "success", generationTime: 1.2, output: Array.from({ length: count }, () => resultAddress(world, kind === "video" ? "video.mp4" : "picture.png")) });

function begin(request, world, kind, count) {
  if (world.control.polls === 0) return { status: 200, body: { ...done(world, kind, count), id: 7 } };
  const task = world.newTask(request.token, { kind, count });
  return { status: 200, body: { status: "processing", eta: kind === "video" ? 89.5 : 3, message: "Try to fetch request after seconds estimated", fetch_result: `${world.origin}/modelslab/api/v6/${kind}/fetch/${task.id}`, id: task.id, output: [] } };
}

function fetchTask(request, world, kind, id, body) {
  const task = world.tasks.get(id);
  world.judgeToken(request, modelslab);
  demand(problem(body, {}));
  if (task === undefined || task.token !== request.token || task.kind !== kind) throw say("Request not found");
  const state = world.advanceTask(task);
  if (state === "failed") return { status: 200, body: { status: "failed", id, message: world.control.taskError ?? "out of GPU memory", output: "" } };
  if (state !== "success") return { status: 200, body: { status: "processing", id, output: [] } };
  return { status: 200, body: { ...done(world, kind, task.count), id } };
}
