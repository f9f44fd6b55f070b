// gemini.mjs: Google's Gemini API under /gemini/v1beta. The token is in x-goog-api-key and nowhere
// else. Errors: {"error":{"code","message","status","details"}}. A prompt with "[unsafe]" is drawn
// but not shown, one with "[blocked]" not let in, one with "[words]" answered in words.
import { jsonBody, oneOf, problem, Refusal, sniff, within } from "./check.mjs";
import { png, resultAddress } from "./pictures.mjs";

const pictureModels = ["gemini-3.1-flash-image-preview", "gemini-3-pro-image-preview", "gemini-2.5-flash-image"];
const textModels = ["gemini-3.1-pro-preview", "gemini-3-flash-preview", "gemini-3.1-flash-lite-preview", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"];
const videoModels = ["veo-3.1-generate-preview", "veo-3.1-fast-generate-preview", "veo-3.1-lite-generate-preview", "veo-3.0-generate-001", "veo-3.0-fast-generate-001", "veo-2.0-generate-001"];
const ratios = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"];
const sizes = { "1:1": [1024, 1024], "16:9": [1344, 768], "9:16": [768, 1344] };

const statuses = { 400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED" };
const refuse = (code, message, details) => new Refusal(code === 415 ? 400 : code, { error: { code, message, status: statuses[code] ?? "INVALID_ARGUMENT", ...(details ? { details } : {}) } });
const demand = (wrong) => {
  if (wrong) throw refuse(400, `Invalid JSON payload received: ${wrong}`);
};

function spent(period, { retryDelay = "38.5s", more = "" } = {}) {
  const violation = { quotaMetric: "generativelanguage.googleapis.com/generate_content_free_tier_requests", quotaId: `GenerateRequestsPer${period}PerProjectPerModel-FreeTier`, quotaDimensions: { location: "global" } };
  return refuse(429, `You exceeded your current quota, please check your plan and billing details.${more} Please retry in ${retryDelay}.`, [
    { "@type": "type.googleapis.com/google.rpc.QuotaFailure", violations: [violation] },
    { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay },
  ]);
}

/** How Gemini says no to a token. `shape` of an exhausted one: "plain" is without details. A rule
 *  with `model` holds for that model alone. */
export const gemini = {
  tellsWait: true,
  exhausted: (shape) => (shape === "plain" ? refuse(429, "Resource has been exhausted (e.g. check quota).") : spent("Day")),
  rate: (rule) => spent("Minute", { retryDelay: `${rule.retryAfter ?? 21}s` }),
  invalid: () => refuse(400, "API key not valid. Please pass a valid API key.", [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "API_KEY_INVALID", domain: "googleapis.com" }]),
  plan: () => spent("Day", { more: " * Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0" }),
};

export function handleGemini(request, world) {
  if (!request.path.startsWith("/gemini/v1beta/")) return null;
  if (request.headers.authorization !== undefined) throw refuse(401, "Request had invalid authentication credentials. Expected OAuth 2 access token.");
  request.token = request.headers["x-goog-api-key"] ?? null;
  if (!request.token) throw refuse(403, "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity.");
  const path = decodeURIComponent(request.path.slice("/gemini/v1beta/".length));
  const rule = world.control.tokens[request.token];
  if (rule?.model === undefined || path.includes(rule.model)) world.judgeToken(request, gemini);
  const [, model, verb] = /^models\/([^/:]+):(\w+)$/.exec(path) ?? [];
  if (request.method === "POST" && model !== undefined) return serve(request, world, model, verb);
  if (request.method === "GET" && /^models\/[^/]+\/operations\/[^/]+$/.test(path)) return operation(request, world, path);
  if (request.method === "GET" && /^files\/[^/]+:download$/.test(path)) return download(request, world);
  throw refuse(404, `no route ${request.method} ${path}`);
}

function serve(request, world, model, verb) {
  const verbs = pictureModels.includes(model) || textModels.includes(model) ? ["generateContent", "streamGenerateContent"] : videoModels.includes(model) ? ["predictLongRunning"] : [];
  if (!verbs.includes(verb)) throw refuse(404, `models/${model} is not found for API version v1beta, or is not supported for ${verb}.`);
  const body = jsonBody(request, refuse);
  if (verb === "predictLongRunning") return video(request, world, model, body);
  const isStream = verb === "streamGenerateContent";
  if (isStream && request.query.get("alt") !== "sse") throw refuse(400, "alt is not sse");
  return pictureModels.includes(model) ? draw(body) : write(body, isStream);
}

// ---- pictures and texts ------------------------------------------------------------------------

const partRules = { text: "text?", inline_data: ["object?", (data) => problem(data, { mime_type: "text+", data: ["text+", (v) => pictureProblem(v, data.mime_type)] })] };

function pictureProblem(text, mime) {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return "is not base64";
  return sniff(Buffer.from(text, "base64")) === mime ? null : `is no picture of type ${mime}`;
}

function partsProblem(parts) {
  if (parts.length === 0) return "is empty";
  for (const part of parts) {
    const wrong = problem(part, partRules) ?? (Object.keys(part).length === 1 ? null : "is not one of text and inline_data");
    if (wrong) return `holds a part: ${wrong}`;
  }
  return null;
}

function contentsProblem(contents) {
  if (contents.length !== 1) return "does not hold one turn";
  return problem(contents[0], { parts: ["array", partsProblem] });
}

function checkQuestion(body, generationConfig) {
  demand(
    problem(body, {
      systemInstruction: ["object?", (v) => problem(v, { parts: ["array", partsProblem] })],
      contents: ["array", contentsProblem],
      generationConfig: ["object?", (v) => problem(v, generationConfig)],
    }),
  );
  return body.contents[0].parts[0].text ?? "";
}

const usageMetadata = { promptTokenCount: 21, candidatesTokenCount: 7, totalTokenCount: 28 };
const blocked = { promptFeedback: { blockReason: "PROHIBITED_CONTENT" }, usageMetadata: { promptTokenCount: 21, totalTokenCount: 21 } };
const answer = (parts, finishReason = "STOP") => ({ candidates: [{ content: { role: "model", parts }, finishReason, index: 0 }], usageMetadata, modelVersion: "stand-in" });

function draw(body) {
  const prompt = checkQuestion(body, { imageConfig: ["object", (v) => problem(v, { aspectRatio: ["text", oneOf(...ratios)] })] });
  if (prompt.includes("[blocked]")) return { status: 200, body: blocked };
  if (prompt.includes("[unsafe]")) return { status: 200, body: { candidates: [{ finishReason: "IMAGE_SAFETY", finishMessage: "Unable to show the generated image.", index: 0 }], usageMetadata } };
  if (prompt.includes("[words]")) return { status: 200, body: answer([{ text: "I would rather not draw that." }]) };
  const [width, height] = sizes[body.generationConfig?.imageConfig.aspectRatio] ?? [512, 512];
  return { status: 200, body: answer([{ text: "Here you are." }, { inlineData: { mimeType: "image/png", data: png(width, height).toString("base64") } }]) };
}

function write(body, isStream) {
  const prompt = checkQuestion(body, { temperature: ["number?", within(0, 2)], maxOutputTokens: ["int?", within(1, 65536)] });
  const text = prompt.includes("[empty]") ? "" : `A vivid picture: ${prompt}`;
  if (prompt.includes("[blocked]")) return isStream ? { status: 200, events: [[null, blocked]] } : { status: 200, body: blocked };
  if (!isStream) return { status: 200, body: answer(text === "" ? [] : [{ text }]) };
  const pieces = text.match(/[\s\S]{1,9}/g) ?? [""];
  const events = pieces.map((piece, i) => [null, i === pieces.length - 1 ? answer([{ text: piece }]) : { candidates: [{ content: { role: "model", parts: [{ text: piece }] }, index: 0 }] }]);
  return { status: 200, events };
}

// ---- videos ------------------------------------------------------------------------------------

function video(request, world, model, body) {
  const instance = { prompt: "text+", image: ["object?", (v) => problem(v, { bytesBase64Encoded: ["text+", (data) => pictureProblem(data, v.mimeType)], mimeType: "text+" })] };
  demand(
    problem(body, {
      instances: ["array", (v) => (v.length === 1 ? problem(v[0], instance) : "does not hold one instance")],
      parameters: [
        "object?",
        (v) =>
          problem(v, {
            aspectRatio: ["text?", oneOf("16:9", "9:16")],
            durationSeconds: ["int?", model.startsWith("veo-2") ? within(5, 8) : oneOf(4, 6, 8)],
            negativePrompt: "text?",
            seed: ["int?", within(0, 4294967295)],
          }),
      ],
    }),
  );
  const task = world.newTask(request.token, { isUnsafe: world.isUnsafe(body.instances[0].prompt) });
  return { status: 200, body: { name: `models/${model}/operations/${task.id}` } };
}

function operation(request, world, name) {
  const task = world.tasks.get(name.split("/").at(-1));
  if (task === undefined || task.token !== request.token) throw refuse(404, "Requested entity was not found.");
  const state = world.advanceTask(task);
  if (state === "pending" || state === "processing") return { status: 200, body: { name } };
  if (state === "failed") {
    const filtered = { response: { generateVideoResponse: { raiMediaFilteredCount: 1, raiMediaFilteredReasons: [world.control.taskError ?? "We could not show what was made."] } } };
    const error = { error: { code: 13, message: world.control.taskError ?? "Video generation failed due to an internal issue." } };
    return { status: 200, body: { name, done: true, ...(task.isUnsafe ? filtered : error) } };
  }
  const uri = `${world.origin}/gemini/v1beta/files/${world.nextId()}:download?alt=media`;
  return { status: 200, body: { name, done: true, response: { generateVideoResponse: { generatedSamples: [{ video: { uri } }] } } } };
}

function download(request, world) {
  if (request.query.get("alt") !== "media") throw refuse(400, "alt is not media");
  return { status: 302, headers: { location: resultAddress(world, "video.mp4") }, body: "" };
}
