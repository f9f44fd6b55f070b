// grok.mjs: xAI under /grok/v1. JSON throughout. Errors in three shapes: {"error":{"message"}},
// {"code","error":"text"} with a sentence for a code, {"error":"text"}.
import { chat } from "./chat.mjs";
import { addressProblem, jsonBody, oneOf, problem, Refusal, within } from "./check.mjs";
import { resultAddress } from "./pictures.mjs";

const pictureModels = ["grok-imagine-image", "grok-imagine-image-pro"];
const videoModels = ["grok-imagine-video"];
const chatModels = ["grok-4.20-0309-reasoning", "grok-4.20-0309-non-reasoning", "grok-4-1-fast-reasoning", "grok-4-1-fast-non-reasoning"];
const ratios = ["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "2:1", "1:2", "19.5:9", "9:19.5", "20:9", "9:20", "auto"];

const codes = { 400: "Client specified an invalid argument", 403: "The caller does not have permission to execute the specified operation", 404: "Some requested entity was not found", 429: "Some resource has been exhausted" };
const refuse = (status, error) => new Refusal(status, { code: codes[status] ?? "Internal error", error });
const model = (models) => ["text+", (v) => (models.includes(v) || v.startsWith("x-") ? null : "names no model")];
const spent = "Your team has either used all available credits or reached its monthly spending limit.";

/** How xAI says no to a token. `shape` of an exhausted one: "400", "403", else 429. */
export const grok = {
  exhausted(shape) {
    if (shape === "400") return new Refusal(400, { error: { message: spent } });
    if (shape === "403") return new Refusal(403, { error: spent });
    return refuse(429, spent);
  },
  rate: () => refuse(429, "Too many requests for this team and model."),
  invalid: () => refuse(400, "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."),
  plan: () => refuse(403, "Your team is not allowed to use this model."),
};

function demand(wrong) {
  if (wrong) throw refuse(wrong.includes("names no model") ? 404 : 400, wrong);
}

export function handleGrok(request, world) {
  if (!request.path.startsWith("/grok/v1/")) return null;
  if (!request.token) throw new Refusal(401, { error: { message: "missing Authorization" } });
  world.judgeToken(request, grok);
  const route = `${request.method} ${request.path.slice("/grok/v1".length)}`;
  const task = /^GET \/videos\/([^/]+)$/.exec(route);
  if (task) return status(request, world, decodeURIComponent(task[1]));
  const body = jsonBody(request, refuse);
  if (world.isUnsafe(body.prompt ?? body.messages?.at(-1)?.content)) throw refuse(403, "Content violates usage guidelines. Failed check: SAFETY");
  switch (route) {
    case "POST /images/generations":
      return draw(body, world, { aspect_ratio: ["text?", oneOf(...ratios)] });
    case "POST /images/edits":
      if ((body.image === undefined) === (body.images === undefined)) throw refuse(400, "one of 'image' and 'images' is wanted");
      return draw(body, world, { image: ["object?", pictureProblem], images: ["array?", picturesProblem] });
    case "POST /chat/completions":
      return chat(request, refuse, chatModels);
    case "POST /videos/generations":
      return video(request, world, body);
    default:
      throw refuse(404, `no route ${route}`);
  }
}

const pictureProblem = (picture) => problem(picture, { url: ["text+", addressProblem], type: ["text", oneOf("image_url")] });

function picturesProblem(pictures) {
  if (pictures.length < 2 || pictures.length > 16) return "does not hold several pictures";
  return pictures.map(pictureProblem).find((wrong) => wrong) ?? null;
}

function draw(body, world, rules) {
  demand(problem(body, { model: model(pictureModels), prompt: "text+", n: ["int?", within(1, 10)], ...rules }));
  const data = Array.from({ length: body.n ?? 1 }, () => ({ url: resultAddress(world), mime_type: "image/png", revised_prompt: "" }));
  return { status: 200, body: { data, usage: { cost_in_usd_ticks: 200000000 } } };
}

function video(request, world, body) {
  demand(
    problem(body, {
      model: model(videoModels),
      prompt: "text+",
      duration: ["int?", within(1, 15)],
      aspect_ratio: ["text?", oneOf("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3")],
      image: ["object?", (v) => problem(v, { url: ["text+", addressProblem] })],
    }),
  );
  return { status: 200, body: { request_id: world.newTask(request.token, { duration: body.duration ?? 8 }).id } };
}

function status(request, world, id) {
  const task = world.tasks.get(id);
  if (task === undefined || task.token !== request.token) throw refuse(404, "the request is not known");
  const state = world.advanceTask(task);
  if (state === "pending") return { status: 202, body: {} };
  if (state === "processing") return { status: 202, body: { status: "pending", progress: Math.min(99, task.polls * 30) } };
  const { taskError, taskErrorField } = world.control;
  if (state === "failed" && taskErrorField === "expired") return { status: 200, body: { status: "expired" } };
  if (state === "failed") return { status: 200, body: { status: "failed", ...(taskError === null ? {} : { error: { code: "internal_error", message: taskError ?? "the video could not be made" } }) } };
  return { status: 200, body: { status: "done", video: { url: resultAddress(world, "video.mp4"), duration: task.duration, respect_moderation: true }, model: "grok-imagine-video", progress: 100 } };
}
