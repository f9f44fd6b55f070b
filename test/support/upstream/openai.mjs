// openai.mjs: OpenAI under /openai/v1. Errors: {"error":{"message","type","param","code"}}. A prompt
// with "[unsafe]" in it is refused by the safety system, of a text by the model itself; "[filtered]"
// withholds the text, "[crash]" ends a stream in its middle. Under /home/v1 a server at home that
// speaks the older words of it: it asks for no token, and makes pictures of any size.
import { chat } from "./chat.mjs";
import { jsonBody, numbersFromText, oneOf, problem, Refusal, sniff, within } from "./check.mjs";
import { formOf } from "./multipart.mjs";
import { png, resultAddress } from "./pictures.mjs";

const pictureModels = ["gpt-image-2", "gpt-image-1.5", "gpt-image-1-mini"];
const textModels = ["gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"];
const videoModels = { "sora-2": ["1280x720", "720x1280"], "sora-2-pro": ["1280x720", "720x1280", "1792x1024", "1024x1792"] };
const BYTES_MAX = 50 * 1024 * 1024; // of a picture that is edited

const refuse = (status, message, { code = null, type = "invalid_request_error", param = null } = {}) => new Refusal(status === 415 ? 400 : status, { error: { message, type, param, code } });

/** How OpenAI says no to a token. `shape` of an exhausted one: "400", "402", else 429. */
export const openai = {
  exhausted(shape) {
    if (shape === "400") return refuse(400, "Billing hard limit has been reached", { code: "billing_hard_limit_reached", type: "image_generation_user_error" });
    if (shape === "402") return refuse(402, "Payment required");
    return refuse(429, "You exceeded your current quota, please check your plan and billing details.", { code: "insufficient_quota", type: "insufficient_quota" });
  },
  rate: () => refuse(429, "Rate limit reached for images per min: Limit 5, Used 5, Requested 1. Please try again in 7s. See https://platform.openai.com/account/billing to raise it.", { code: "rate_limit_exceeded", type: "requests" }),
  invalid: () => refuse(401, "Incorrect API key provided.", { code: "invalid_api_key" }),
  plan: () => refuse(403, "Your organization must be verified to use this model."),
};

const unsafe = (what) => refuse(400, `Your request was rejected by the safety system: ${what}.`, { code: "moderation_blocked", type: "image_generation_user_error" });

/** Models by name; "x-…" is one that our catalogue lacks. */
const model = (models) => ["text+", (v) => (models.includes(v) || v.startsWith("x-") ? null : "names no model")];

function demand(wrong) {
  if (wrong?.includes("names no model")) throw refuse(404, "The model does not exist or you do not have access to it.", { code: "model_not_found" });
  if (wrong) throw refuse(400, `Invalid request: ${wrong}.`, { code: "invalid_value" });
}

export function handleOpenai(request, world) {
  if (request.path.startsWith("/home/v1/")) return serveHome(request, world);
  if (!request.path.startsWith("/openai/v1/")) return null;
  if (!request.token) throw refuse(401, "You didn't provide an API key.");
  world.judgeToken(request, openai);
  const route = `${request.method} ${request.path.slice("/openai/v1".length)}`;
  const [, id, isContent] = /^GET \/videos\/([^/]+)(\/content)?$/.exec(route) ?? [];
  if (id !== undefined) return isContent ? content(request, world, decodeURIComponent(id)) : status(request, world, decodeURIComponent(id));
  switch (route) {
    case "POST /images/generations":
      return generate(request, world);
    case "POST /images/edits":
      return edit(request, world);
    case "POST /responses":
      return respond(request, world);
    case "POST /videos":
      return video(request, world);
    default:
      throw refuse(404, `Unknown request URL: ${route}.`, { code: "unknown_url" });
  }
}

// ---- pictures ----------------------------------------------------------------------------------

function sizeProblem(size, name) {
  const [, wide, high] = (/^(\d+)x(\d+)$/.exec(size) ?? []).map(Number);
  if (name !== "gpt-image-2") return oneOf("1024x1024", "1536x1024", "1024x1536", "auto")(size);
  if (!wide || !high || wide % 16 !== 0 || high % 16 !== 0) return "is no size in multiples of 16";
  if (Math.max(wide, high) > 3840 || wide * high > 3840 * 2160 || wide * high < 655360) return "has too many or too few pixels";
  return Math.max(wide, high) > 3 * Math.min(wide, high) ? "is longer than three to one" : null;
}

const pictureRules = (body) => ({
  model: model(pictureModels),
  prompt: "text+",
  n: ["int?", within(1, 10)],
  size: ["text?", (v) => sizeProblem(v, body.model)],
});

/** GPT image models always answer base64, and want no `response_format`. */
function pictures(body) {
  const [width, height] = (body.size ?? "1024x1024").split("x").map(Number);
  const data = Array.from({ length: body.n ?? 1 }, (_, i) => ({ b64_json: png(width, height, [40 * i, 90, 160]).toString("base64") }));
  return { status: 200, body: { created: 1700000000, background: "opaque", data, output_format: "png", quality: "low", size: body.size ?? "1024x1024", usage: { input_tokens: 9, output_tokens: 196, total_tokens: 205 } } };
}

function generate(request, world) {
  const body = jsonBody(request, refuse);
  if ("response_format" in body) throw refuse(400, "Unknown parameter: 'response_format'.", { code: "unknown_parameter", param: "response_format" });
  demand(problem(body, pictureRules(body)));
  if (world.isUnsafe(body.prompt)) throw unsafe("the prompt");
  return pictures(body);
}

function form(request) {
  try {
    return formOf(request);
  } catch (error) {
    throw refuse(400, error.message);
  }
}

function demandPicture(file) {
  if (!["image/png", "image/jpeg", "image/webp"].includes(sniff(file.data)) || sniff(file.data) !== file.type) throw refuse(400, `Invalid file '${file.filename}': unsupported mimetype ('${file.type}').`, { code: "unsupported_file_mimetype" });
  if (file.data.length > BYTES_MAX) throw refuse(413, "The picture is too large.");
}

function edit(request, world) {
  const { fields, files } = form(request);
  const body = numbersFromText(fields, ["n"]);
  if ("response_format" in body) throw refuse(400, "Unknown parameter: 'response_format'.", { code: "unknown_parameter", param: "response_format" });
  demand(problem(body, pictureRules(body)));
  if (files.length < 1 || files.length > 16 || files.some((file) => file.name !== "image[]" && (file.name !== "image" || files.length > 1))) throw refuse(400, "Missing required parameter: 'image'.", { code: "missing_required_parameter", param: "image" });
  files.forEach(demandPicture);
  if (world.isUnsafe(body.prompt)) throw unsafe("the prompt");
  return pictures(body);
}

// ---- texts -------------------------------------------------------------------------------------

const message = (part) => ({ id: "msg_1", type: "message", status: "completed", role: "assistant", content: [part] });
const textPart = (text) => ({ type: "output_text", annotations: [], logprobs: [], text });

function respond(request, world) {
  const body = jsonBody(request, refuse);
  demand(
    problem(body, {
      model: model(textModels),
      instructions: "text?",
      input: "text+",
      stream: "bool?",
      temperature: ["number?", within(0, 2)],
      max_output_tokens: ["int?", within(16, 128000)],
    }),
  );
  const text = body.input.includes("[empty]") ? "" : `A vivid picture: ${body.input}`;
  const whole = { id: "resp_1", object: "response", created_at: 1700000000, status: "completed", error: null, incomplete_details: null, model: body.model, output: [{ id: "rs_1", type: "reasoning", summary: [] }, message(textPart(text))], usage: { input_tokens: 21, output_tokens: 7, total_tokens: 28 } };
  if (world.isUnsafe(body.input)) whole.output[1] = message({ type: "refusal", refusal: "I'm sorry, but I cannot help with that." });
  if (body.input.includes("[filtered]")) Object.assign(whole, { status: "incomplete", incomplete_details: { reason: "content_filter" } });
  return body.stream ? { status: 200, events: events(whole, body.input) } : { status: 200, body: whole };
}

function events(whole, input) {
  const [reasoning, answer] = whole.output;
  const [part] = answer.content;
  const [kind, field] = part.type === "refusal" ? ["refusal", "refusal"] : ["output_text", "text"];
  const place = { item_id: answer.id, output_index: 1, content_index: 0 };
  let number = 0;
  const event = (type, more) => [type, { type, sequence_number: number++, ...more }];
  const started = { ...whole, status: "in_progress", output: [], usage: null, incomplete_details: null };
  const out = [
    event("response.created", { response: started }),
    event("response.in_progress", { response: started }),
    event("response.output_item.added", { output_index: 0, item: reasoning }),
    event("response.output_item.done", { output_index: 0, item: reasoning }),
    event("response.output_item.added", { output_index: 1, item: { ...answer, status: "in_progress", content: [] } }),
    event("response.content_part.added", { ...place, part: { ...part, [field]: "" } }),
  ];
  const deltas = part[field].match(/[\s\S]{1,9}/g) ?? [];
  if (input.includes("[crash]")) deltas.length = 2;
  for (const delta of deltas) out.push(event(`response.${kind}.delta`, { ...place, delta, ...(kind === "output_text" && { logprobs: [] }) }));
  if (input.includes("[crash]")) {
    const error = { code: "server_error", message: "The model crashed." };
    return [...out, event("response.failed", { response: { ...started, status: "failed", error } })];
  }
  return [
    ...out,
    event(`response.${kind}.done`, { ...place, [field]: part[field] }),
    event("response.content_part.done", { ...place, part }),
    event("response.output_item.done", { output_index: 1, item: answer }),
    event(`response.${whole.status}`, { response: whole }),
  ];
}

// ---- videos ------------------------------------------------------------------------------------

function video(request, world) {
  const { fields, files } = form(request);
  demand(
    problem(fields, {
      model: model(Object.keys(videoModels)),
      prompt: "text+",
      size: ["text?", oneOf(...(videoModels[fields.model] ?? videoModels["sora-2"]))],
      seconds: ["text?", oneOf("4", "8", "12")],
    }),
  );
  if (files.length > 1 || files.some((file) => file.name !== "input_reference")) throw refuse(400, `Unknown parameter: '${files[0].name}'.`, { code: "unknown_parameter" });
  files.forEach(demandPicture);
  const task = world.newTask(request.token, { isUnsafe: world.isUnsafe(fields.prompt) });
  return { status: 200, body: { id: task.id, object: "video", model: fields.model, status: "queued", progress: 0, created_at: 1700000000, size: fields.size, seconds: fields.seconds } };
}

function find(request, world, id) {
  const task = world.tasks.get(id);
  if (task === undefined || task.token !== request.token) throw refuse(404, `Video with id '${id}' not found.`);
  return task;
}

function status(request, world, id) {
  const task = find(request, world, id);
  const state = world.advanceTask(task);
  const body = { id, object: "video", status: { pending: "queued", processing: "in_progress", success: "completed", failed: "failed" }[state], progress: state === "success" ? 100 : Math.min(99, task.polls * 30) };
  task.isDone = state === "success";
  if (state === "failed") body.error = world.control.taskError === null ? null : { code: task.isUnsafe ? "moderation_blocked" : "video_generation_failed", message: world.control.taskError ?? "The video could not be made." };
  return { status: 200, body };
}

/** The bytes, or an address that has them: control.result "redirect", "redirect-other". */
function content(request, world, id) {
  if (!find(request, world, id).isDone) throw refuse(404, "Video is not ready yet, use GET /v1/videos/{video_id} to check status.");
  if (world.control.result !== null) return { status: 302, headers: { location: resultAddress(world, "video.mp4") }, body: "" };
  return { status: 200, headers: { "content-type": "video/mp4" }, body: Buffer.from("\0\0\0\x18ftypisom\0\0\x02\0isommp41\0\0\0\x08mdat", "latin1") };
}

// ---- at home -----------------------------------------------------------------------------------

function serveHome(request, world) {
  const route = `${request.method} ${request.path.slice("/home/v1".length)}`;
  if (request.token !== null) world.judgeToken(request, openai);
  if (route === "POST /chat/completions") return chat(request, refuse, []);
  if (route !== "POST /images/generations") throw refuse(404, `no route ${route}`);
  const body = jsonBody(request, refuse);
  demand(problem(body, { model: model([]), prompt: "text+", n: ["int?", within(1, 10)], size: ["text?", (v) => (/^\d+x\d+$/.test(v) ? null : "is not WxH")] }));
  return { status: 200, body: { created: 1700000000, data: [{ url: resultAddress(world) }] } };
}
