// api.js: talks to /api/v1. A token is asked for only when the server answers 401; it lives in
// sessionStorage, that is in this tab, until it is forgotten or the tab is closed.

const TOKEN_NAME = "imagine.token";
const POLL_FIRST_MS = 2000;
const POLL_LAST_MS = 15000;
const POLL_GROWTH = 1.25;
const POLL_FAILURES_MAX = 5; // in a row; the work itself goes on without us
const POLL_TOTAL_MS = 45 * 60 * 1000;

export class Failure extends Error {
  constructor(fields) {
    super(fields.message);
    Object.assign(this, fields);
  }
}

export const token = () => sessionStorage.getItem(TOKEN_NAME);
export function setToken(value) {
  if (value) sessionStorage.setItem(TOKEN_NAME, value);
  else sessionStorage.removeItem(TOKEN_NAME);
}

let askForToken; // (isWrong) => Promise of a token, or of null
let asking = null;
export const setTokenDialog = (ask) => (askForToken = ask);

/** Asks once, however many requests wait for it; true if there is another token now. */
async function renewToken(refused) {
  if (token() !== refused) return true; // somebody was quicker
  asking ??= askForToken(refused !== null).finally(() => (asking = null));
  return Boolean(await asking);
}

async function failureOf(response) {
  const body = await response.json().catch(() => ({})); // a proxy's page of HTML, for instance
  return new Failure({
    status: response.status,
    code: body.code,
    message: body.message ?? body.error,
    requestId: body.requestId ?? response.headers.get("X-Request-Id"),
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

/** One request; `body` goes as JSON, or as it is when it is a form. Throws Failure or AbortError. */
async function ask(method, path, body, signal) {
  for (;;) {
    signal?.throwIfAborted();
    const used = token();
    const isJson = body && !(body instanceof FormData);
    const headers = { ...(used && { Authorization: `Bearer ${used}` }), ...(isJson && { "Content-Type": "application/json" }) };
    let response;
    try {
      response = await fetch(`/api/v1/${path}`, { method, headers, body: isJson ? JSON.stringify(body) : body, signal });
      if (response.ok) return await response.json();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Failure({ status: 0, message: error.message });
    }
    if (response.status !== 401 || !(await renewToken(used))) throw await failureOf(response);
  }
}

export const loadModels = () => ask("GET", "models");
export const carryOut = (action, body, signal) => ask("POST", action, body, signal);

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Asks for a task until it ends, in growing pauses: {url}. A lost answer or two does not matter. */
export async function finishTask(taskId, signal) {
  const endsAt = Date.now() + POLL_TOTAL_MS;
  let failureCount = 0;
  let retryMs = 0;
  for (let ms = POLL_FIRST_MS; Date.now() < endsAt; ms = Math.min(POLL_LAST_MS, ms * POLL_GROWTH)) {
    await pause(Math.max(ms, retryMs), signal);
    retryMs = 0;
    try {
      const task = await ask("GET", `task-status?taskId=${encodeURIComponent(taskId)}`, undefined, signal);
      if (task.status === "success") return task;
      if (task.status === "failed") throw new Failure({ status: 502, isFinal: true, message: task.error ?? "the provider gave no reason" });
      failureCount = 0;
    } catch (error) {
      const isPassing = error instanceof Failure && !error.isFinal && (error.status === 0 || error.status === 429 || error.status >= 500);
      if (!isPassing || ++failureCount === POLL_FAILURES_MAX) throw error;
      retryMs = (error.retryAfter ?? 0) * 1000;
    }
  }
  throw new Failure({ status: 504, message: "the work is not done yet" });
}
