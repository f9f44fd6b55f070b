// chat.mjs: OpenAI's chat completions, as Gitee, ModelScope and Pollinations speak them. A prompt
// with "[empty]" in it gets an empty answer.
import { jsonBody, oneOf, problem, within } from "./check.mjs";

export function chat(request, refuse, models) {
  const body = jsonBody(request, refuse);
  const wrong = problem(body, {
    model: ["text+", (v) => (models.includes(v) || v.startsWith("x-") ? null : "names no model")],
    messages: ["array", messagesProblem],
    stream: "bool?",
    temperature: ["number?", within(0, 2)],
    max_tokens: ["int?", within(1, 65536)],
  });
  if (wrong) throw refuse(wrong.includes("names no model") ? 404 : 400, wrong);
  const prompt = body.messages.at(-1).content;
  const content = prompt.includes("[empty]") ? "" : `A vivid picture: ${prompt}`;
  const usage = { prompt_tokens: 21, completion_tokens: 7, total_tokens: 28 };
  const base = { id: "chatcmpl-1", created: 1700000000, model: body.model };
  if (!body.stream) {
    const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
    return { status: 200, body: { ...base, object: "chat.completion", choices, usage } };
  }
  const deltas = [{ role: "assistant", content: "" }, ...(content.match(/[\s\S]{1,9}/g) ?? []).map((piece) => ({ content: piece }))];
  const events = deltas.map((delta) => [null, { ...base, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: null }] }]);
  events.push([null, { ...base, object: "chat.completion.chunk", choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage }]);
  events.push([null, "[DONE]"]);
  return { status: 200, events };
}

function messagesProblem(messages) {
  if (messages.length === 0) return "is empty";
  for (const message of messages) {
    const wrong = problem(message, { role: ["text", oneOf("system", "user", "assistant")], content: "text" });
    if (wrong) return `holds a message with ${wrong}`;
  }
  return messages.at(-1).role === "user" ? null : "does not end with the user's message";
}
