// words.js: what the page says, and how models are sorted. Pure, so that a test needs no browser.

// What one can do here: the API's action, the types of model that do it, the fields beside `model`.
export const modes = {
  picture: { label: "Picture", button: "Make the picture", action: "generate", types: ["text2image"], fields: ["prompt", "ar", "seed", "negativePrompt"] },
  edit: { label: "Edit", button: "Change the picture", action: "edit", types: ["image2image"], fields: ["pictures", "prompt", "seed"], pictureCount: 16 },
  text: { label: "Text", button: "Improve my prompt", action: "text", types: ["text2text"], fields: ["prompt"] },
  video: { label: "Video", button: "Make the video", action: "video", types: ["image2video", "text2video"], fields: ["pictures", "prompt", "seed", "duration"], pictureCount: 1 },
  upscale: { label: "Upscale", button: "Make it larger", action: "upscaler", types: ["upscaler"], fields: ["pictures"], pictureCount: 1 },
};

/** What is still missing before this can be sent, or "". A video takes words, a picture, or both. */
export function whatIsMissing(mode, model, prompt, pictureCount) {
  const needsPicture = modes[mode].pictureCount > 0 && !model.type.includes("text2video");
  if (needsPicture && pictureCount === 0) return "Choose a picture first.";
  const needsPrompt = mode !== "upscale" && !(mode === "video" && pictureCount > 0);
  return needsPrompt && prompt.trim() === "" ? "Say in a few words what you would like." : "";
}

// ---- models

const providerNames = { gitee: "Gitee AI", huggingface: "Hugging Face", modelscope: "ModelScope", a4f: "A4F", modelslab: "ModelsLab", openai: "OpenAI", sample: "Sample, no AI" };

export const providerOf = (modelId) => modelId.split("/", 1)[0];
export const isSample = (modelId) => providerOf(modelId) === "sample";
export const providerName = (provider) => providerNames[provider] ?? provider.charAt(0).toUpperCase() + provider.slice(1);

/** The model's name without its provider, which is told beside it. */
export function shortName({ id, name = id }) {
  const brackets = / \(([^()]*)\)$/.exec(name);
  const isOwner = brackets?.[1].toLowerCase().replaceAll(" ", "").startsWith(providerOf(id));
  return isOwner ? name.slice(0, brackets.index) : name;
}

/** The models for a mode, [[provider, [model]]], in the server's order. */
export function groupModels(models, mode) {
  const groups = new Map();
  for (const model of models) {
    if (!model.type.some((type) => modes[mode].types.includes(type))) continue;
    const provider = providerOf(model.id);
    groups.set(provider, [...(groups.get(provider) ?? []), model]);
  }
  return [...groups];
}

/** A provider that has a token first; else the sample, which surely works; else Hugging Face. */
export function firstModel(groups) {
  const all = groups.flatMap(([, models]) => models);
  return all.find(({ id }) => !isSample(id) && providerOf(id) !== "huggingface") ?? all.find(({ id }) => isSample(id)) ?? all[0];
}

// ---- time

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 90 * 60 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** "at 00:00 (in 3 h)", or "in 20 s" where the clock would say nothing. */
export function timeAhead(seconds, now = new Date()) {
  const there = new Date(now.getTime() + seconds * 1000);
  const clock = [there.getHours(), there.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
  return seconds < 90 ? `in ${duration(seconds)}` : `at ${clock} (in ${duration(seconds)})`;
}

/** How far a task is: a share that never claims to be the whole, and words. */
export function taskProgress(elapsed, predict = 0) {
  const soFar = `${duration(elapsed)} so far`;
  const words = elapsed < predict ? `about ${duration(predict - elapsed)} left` : predict > 0 ? `longer than usual, ${soFar}` : soFar;
  return { share: predict > 0 ? Math.min(0.97, elapsed / predict) : 0, words };
}

// ---- failures

const sentence = (text) => text && text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/**
 * A failed answer as a person wants to read it: [title, text]. Status 0 is no answer at all,
 * `retryAfter` is in seconds.
 */
export function explain({ status, code, message = "", retryAfter }, modelId = "", now = new Date()) {
  const provider = /^error_(.+)_token_/.exec(message)?.[1] ?? providerOf(modelId);
  const who = provider ? providerName(provider) : "The provider";
  const when = retryAfter > 0 ? timeAhead(retryAfter, now) : "in a while";
  const said = sentence(message) || `The server answered ${status}.`;
  if (status === 0) return ["The server cannot be reached", "Is it still running, and are you online?"];
  if (status === 401) return ["This server asks for a token", "Without one it does nothing for you."];
  if (/_token_exhausted$/.test(message)) return [`All tokens of ${who} are used up`, retryAfter > 0 ? `The first is back ${when}. Other providers still work.` : "Other providers may still work."];
  if (/_token_required$/.test(message)) return [`${who} needs a token`, `Whoever runs this server can add one to its settings: ${provider.toUpperCase()}_TOKENS=…`];
  if (code === "IMAGINE_EBREAKER") return [`${who} keeps failing`, `It is left alone for now. Try again ${when}, or with another provider.`];
  if (status === 422) return [`${who} refuses this content`, `${said} Other words or another model may do.`];
  if (status === 429) return ["Too many requests", `Try again ${when}.`];
  if (status === 503) return ["The server cannot do this now", `${said} Try again ${when}.`];
  if (status >= 500) return [status === 504 ? "That took too long" : `${who} ${code === "IMAGINE_ECONNECT" ? "cannot be reached" : "failed"}`, `${said} Try again, or with another model.`];
  return ["That did not work", said];
}
