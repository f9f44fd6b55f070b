// a4f.mjs: A4F under /a4f/v1. Errors: {"error":{"message"}}, or plain text.
import { chat } from "./chat.mjs";
import { jsonBody, problem, Refusal, within } from "./check.mjs";
import { resultAddress } from "./pictures.mjs";

const pictureModels = ["provider-8/z-image", "provider-4/imagen-4", "provider-4/imagen-3.5", "provider-4/flux-schnell"];
const chatModels = ["provider-5/gemini-2.5-flash-lite", "provider-8/gemini-2.0-flash", "provider-2/deepseek-v3.1", "provider-3/deepseek-r1-0528", "provider-8/qwen3-235b", "provider-8/kimi-k2-thinking", "provider-8/glm-4.5"];

const refuse = (status, message) => new Refusal(status, { error: { message } });

/** How A4F says no to a token. `shape` of an exhausted one: "402", "403", "400", else 429. */
export const a4f = {
  exhausted(shape) {
    if (shape === "402") return new Refusal(402, "Payment required");
    if (shape === "403") return new Refusal(403, "Insufficient credits on this account");
    if (shape === "400") return refuse(400, "Your credit balance is too low");
    return refuse(429, "You have exceeded your daily quota");
  },
  rate: () => refuse(429, "Too many requests"),
  invalid: () => refuse(401, "Invalid API key"),
  plan: () => refuse(403, "This model is for the pro plan"),
};

export function handleA4f(request, world) {
  if (!request.path.startsWith("/a4f/v1/")) return null;
  if (!request.token) throw refuse(401, "missing Authorization");
  world.judgeToken(request, a4f);
  const route = `${request.method} ${request.path.slice("/a4f/v1".length)}`;
  if (route === "POST /chat/completions") return chat(request, refuse, chatModels);
  if (route === "POST /images/generations") return generate(request, world);
  throw refuse(404, `no route ${route}`);
}

function generate(request, world) {
  const body = jsonBody(request, refuse);
  const wrong = problem(body, {
    model: ["text+", (v) => (pictureModels.includes(v) || v.startsWith("x-") ? null : "names no model")],
    prompt: "text+",
    n: ["int?", within(1, 10)],
    size: ["text?", (v) => (/^[1-9]\d{1,3}x[1-9]\d{1,3}$/.test(v) ? null : "is not WxH")],
  });
  if (wrong) throw refuse(wrong.includes("names no model") ? 404 : 400, wrong);
  if (world.isUnsafe(body.prompt)) throw refuse(422, "blocked by the content policy");
  const data = Array.from({ length: body.n ?? 1 }, () => ({ url: resultAddress(world), revised_prompt: `${body.prompt}, in fine detail` }));
  return { status: 200, body: { created: 1700000000, data } };
}
