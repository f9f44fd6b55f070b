// upstream.mjs: the providers, played by one local server: Gitee, Gradio Spaces and Pollinations,
// ModelScope, A4F, ModelsLab, Gemini, Grok, OpenAI. As strict as the real ones, and scriptable, so
// that a test can make anything happen.
//
//   node test/support/upstream.mjs [--http=PORT] [--tls [--https=PORT]]
//
// Prints "listening http=PORT https=PORT other=PORT ca=FILE" (https=0 and ca= without --tls; `other`
// is a second plain origin, for redirects to another host) and ends when its standard input does:
// start it with a pipe and it cannot outlive the test.
//
//   GET  /__catalogue  a catalogue document that points every provider here
//   GET  /__log        every request since the reset: [{method, path, token, headers, json, …}]
//   POST /__control    JSON merged into the control below; "next" is appended to
//   POST /__reset      the control's defaults again, log, tasks and uploads forgotten
//
// The control:
//   tokens       {TOKEN: {state, after}}: "exhausted" (shape: "402" "429" "403" "400", ModelScope
//                also "header" "model", Spaces also "event"), "rate" (retryAfter, header), "invalid",
//                "plan"; after: so many POSTs go well first. "" is the caller without a token. A
//                token that begins with "bad" is always invalid
//   knownTokens  [TOKEN]: all others are invalid; null: any will do
//   remaining    {TOKEN: [account, model]}: what ModelScope's headers count down
//   latencyMs, polls (how often a task is unfinished), taskFails, taskError, taskErrorField
//   result       where results point: "redirect" "redirect-other" "loop" "wrong" "missing" "jpeg"
//                "webp" "relative"; null: a picture here
//   eventError   data of a Space's error event; heartbeats: how many; eventMs between events
//   sleeping     names of Spaces that answer a page of HTML
//   next         [{do, times, match: {path, method, token}, …}]: what happens to the next requests:
//                "stall" (afterBytes), "reset" (isEarly: before the body is read), "truncate",
//                "html" (status), "large" (size), "slow" (size, everyMs), "latency" (ms),
//                "answer" (status, headers, body)
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import os from "node:os";
import path from "node:path";
import { handleA4f } from "./upstream/a4f.mjs";
import { Refusal } from "./upstream/check.mjs";
import { handleComfyui } from "./upstream/comfyui.mjs";
import { handleGemini } from "./upstream/gemini.mjs";
import { handleGitee } from "./upstream/gitee.mjs";
import { handleGradio, spaceOfModel } from "./upstream/gradio.mjs";
import { handleGrok } from "./upstream/grok.mjs";
import { handleModelscope } from "./upstream/modelscope.mjs";
import { handleModelslab } from "./upstream/modelslab.mjs";
import { parseMultipart } from "./upstream/multipart.mjs";
import { handleOpenai } from "./upstream/openai.mjs";
import { handlePictures } from "./upstream/pictures.mjs";
import { handleSdwebui } from "./upstream/sdwebui.mjs";

const LOG_MAX = 20000; // requests; later ones are answered but not kept
const BODY_MAX = 512 * 1024 * 1024;
const LARGE = 32 * 1024 * 1024;

const defaults = () => ({
  tokens: {},
  knownTokens: null,
  remaining: {},
  latencyMs: 0,
  polls: 2,
  taskFails: false,
  taskError: undefined,
  taskErrorField: undefined,
  result: null,
  eventError: undefined,
  heartbeats: 1,
  eventMs: 5,
  sleeping: [],
  next: [],
});

// ---- the world that handlers see ---------------------------------------------------------------

class World {
  constructor() {
    this.reset();
    this.origin = this.otherOrigin = "";
    this.idCount = 0;
  }

  reset() {
    this.control = defaults();
    this.log = [];
    this.tasks = new Map();
    this.spaces = new Map();
  }

  nextId() {
    return String(++this.idCount);
  }

  space(name) {
    if (!this.spaces.has(name)) this.spaces.set(name, { uploads: new Map(), events: new Map(), sessions: new Map() });
    return this.spaces.get(name);
  }

  newTask(token, options) {
    const task = { id: `task-${randomBytes(8).toString("hex")}`, token, polls: 0, ...options };
    this.tasks.set(task.id, task);
    return task;
  }

  /** One poll: "pending", "processing", "success", "failed". */
  advanceTask(task) {
    if (task.polls++ < this.control.polls) return task.polls === 1 ? "pending" : "processing";
    return this.control.taskFails || task.isUnsafe ? "failed" : "success";
  }

  isUnsafe(prompt) {
    return typeof prompt === "string" && prompt.includes("[unsafe]");
  }

  /** Has this token a quota that is spent, told in this shape? */
  isSpent(token, shape) {
    const rule = this.control.tokens[token ?? ""];
    return rule?.state === "exhausted" && rule.shape === shape && !(rule.after > 0);
  }

  /** Refuses in the provider's words, if the control says so. Reads are never refused for quota. */
  judgeToken(request, words) {
    const token = request.token ?? "";
    const rule = this.control.tokens[token];
    const isKnown = token === "" || !this.control.knownTokens || this.control.knownTokens.includes(token);
    if (token.startsWith("bad") || !isKnown || rule?.state === "invalid") throw words.invalid();
    if (!rule || request.method !== "POST") return;
    if (rule.after > 0) {
      rule.after--;
      return;
    }
    if (rule.state === "plan") throw words.plan();
    if (rule.state === "exhausted") {
      const refusal = words.exhausted(rule.shape ?? "429");
      if (refusal) throw refusal;
    }
    if (rule.state === "rate") {
      const refusal = words.rate(rule);
      if (rule.retryAfter !== undefined && !words.tellsWait) refusal.headers[rule.header ?? "retry-after"] = String(rule.retryAfter);
      throw refusal;
    }
  }
}

const world = new World();

// ---- requests ----------------------------------------------------------------------------------

let connectionCount = 0;
const connectionIds = new WeakMap();

function connectionId(incoming) {
  const socket = incoming.stream?.session ?? incoming.socket;
  if (!connectionIds.has(socket)) connectionIds.set(socket, ++connectionCount);
  return connectionIds.get(socket);
}

function readBody(incoming) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    incoming.on("data", (piece) => {
      pieces.push(piece);
      size += piece.length;
      if (size > BODY_MAX) reject(new Error("the request is too large"));
    });
    incoming.on("end", () => resolve(Buffer.concat(pieces)));
    incoming.on("error", reject);
    incoming.on("aborted", () => reject(new Error("the caller left")));
  });
}

const shortened = (value) =>
  JSON.parse(JSON.stringify(value, (_, v) => (typeof v === "string" && v.length > 300 ? `${v.slice(0, 60)}… (${v.length} characters)` : v)));

/** The body as a test wants to look at it: JSON or form fields, and always size and digest. */
function describeBody(headers, body) {
  const digest = (data) => createHash("sha256").update(data).digest("hex");
  const out = { bodySize: body.length, bodySha256: digest(body) };
  try {
    if ((headers["content-type"] ?? "").startsWith("application/json")) out.json = shortened(JSON.parse(body.toString("utf8")));
    if ((headers["content-type"] ?? "").startsWith("multipart/"))
      out.parts = parseMultipart(headers["content-type"], body).map((p) =>
        p.filename === undefined
          ? { name: p.name, value: shortened(p.data.toString("utf8")) }
          : { name: p.name, filename: p.filename, type: p.type, size: p.data.length, sha256: digest(p.data) },
      );
  } catch (error) {
    out.unreadable = error.message;
  }
  return out;
}

function takeFault(request) {
  const index = world.control.next.findIndex(({ match = {} }) =>
    (!match.path || request.path.includes(match.path)) && (!match.method || match.method === request.method) && (match.token === undefined || match.token === (request.token ?? "")),
  );
  if (index < 0) return null;
  const fault = world.control.next[index];
  fault.times = (fault.times ?? 1) - 1;
  if (fault.times <= 0) world.control.next.splice(index, 1);
  return fault;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function serve(incoming, outgoing) {
  const url = new URL(incoming.url, "http://upstream.invalid");
  const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !name.startsWith(":")));
  const request = {
    method: incoming.method,
    path: url.pathname,
    query: url.searchParams,
    headers,
    token: /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1] ?? null,
    body: Buffer.alloc(0),
  };
  outgoing.on("error", () => {});
  incoming.on("error", () => {});
  if (request.path.startsWith("/__")) return serveControl(request, incoming, outgoing);

  const entry = { method: request.method, path: request.path, query: url.search, token: request.token, httpVersion: incoming.httpVersion, connection: connectionId(incoming), atMs: Math.round(performance.now()), headers };
  if (world.log.length < LOG_MAX) world.log.push(entry);
  const fault = takeFault(request);
  if (fault?.do === "reset" && fault.isEarly) return cut(outgoing);
  try {
    request.body = await readBody(incoming);
  } catch (error) {
    entry.unreadable = error.message;
    return;
  }
  Object.assign(entry, describeBody(headers, request.body));
  let isFinished = false;
  outgoing.on("finish", () => (isFinished = true));
  outgoing.on("close", () => {
    if (!isFinished) entry.left = true; // the caller left, or we cut it
  });
  if (world.control.latencyMs > 0) await pause(world.control.latencyMs);
  if (fault?.do === "latency") await pause(fault.ms ?? 100);
  if (fault?.do === "reset") return cut(outgoing);
  if (fault?.do === "stall" && fault.afterBytes === undefined) return;
  const answer = fault?.do === "html" || fault?.do === "answer" ? scripted(fault) : answerTo(request);
  entry.token = request.token; // some have it in another header, or in the body
  entry.status = answer.status;
  await send(request, answer, outgoing, fault);
}

function scripted(fault) {
  if (fault.do === "html")
    return { status: fault.status ?? 200, headers: { "content-type": "text/html; charset=utf-8" }, body: "<!doctype html>\n<html><head><title>Down</title></head><body><h1>Down for maintenance</h1></body></html>\n" };
  return { status: fault.status ?? 200, headers: fault.headers, body: fault.body ?? {} };
}

const handlers = [handlePictures, handleGitee, handleGradio, handleModelscope, handleA4f, handleModelslab, handleGemini, handleGrok, handleOpenai, handleSdwebui, handleComfyui];

function answerTo(request) {
  try {
    for (const handler of handlers) {
      const answer = handler(request, world);
      if (answer) return answer;
    }
    return { status: 404, body: { error: { message: `no provider at ${request.path}` } } };
  } catch (error) {
    if (error instanceof Refusal) return { status: error.status, headers: error.headers, body: error.body };
    process.stderr.write(`upstream: ${error.stack}\n`);
    return { status: 500, body: { error: { message: "the stand-in failed" } } };
  }
}

// ---- answers -----------------------------------------------------------------------------------

/** Ends the connection without a word. */
function cut(outgoing) {
  if (outgoing.stream) outgoing.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  else outgoing.socket?.destroy();
}

function bytesOf(answer, fault) {
  if (Buffer.isBuffer(answer.body)) return answer.body;
  if (typeof answer.body === "string") return Buffer.from(answer.body);
  if (fault?.do === "large") return Buffer.from(JSON.stringify({ padding: "x".repeat(fault.size ?? LARGE), ...answer.body }));
  return Buffer.from(JSON.stringify(answer.body));
}

async function send(request, answer, outgoing, fault) {
  if (answer.events) return sendEvents(answer, outgoing, fault);
  const body = bytesOf(answer, fault);
  const type = typeof answer.body === "string" ? (answer.body.startsWith("<") ? "text/html" : "text/plain") : "application/json";
  outgoing.writeHead(answer.status, { "content-type": type, "content-length": String(body.length), ...answer.headers });
  if (request.method === "HEAD") return outgoing.end();
  switch (fault?.do) {
    case "truncate":
      outgoing.write(body.subarray(0, body.length >> 1));
      await pause(20); // until it has left
      return cut(outgoing);
    case "stall":
      outgoing.write(body.subarray(0, fault.afterBytes));
      return;
    case "slow":
      for (let at = 0; at < body.length && !outgoing.destroyed; at += fault.size ?? 1) {
        outgoing.write(body.subarray(at, at + (fault.size ?? 1)));
        await pause(fault.everyMs ?? 2);
      }
      return outgoing.end();
    default:
      return outgoing.end(body);
  }
}

/** Server-sent events, as awkwardly as the standard allows: line ends of both kinds, data over
 *  several lines, pieces that end anywhere. What has been sent is gone from `answer.events`, and what
 *  is put there meanwhile goes out, too. */
async function sendEvents(answer, outgoing, fault) {
  outgoing.writeHead(answer.status, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" });
  for (let index = 0; answer.events.length > 0; index++) {
    const [name, data] = answer.events.shift();
    const end = answer.isGradio && index % 2 === 1 ? "\r\n" : "\n";
    const lines = (typeof data === "string" && !answer.isGradio ? data : JSON.stringify(data, null, answer.isGradio ? 1 : 0)).split("\n");
    const bytes = Buffer.from([...(name ? [`event: ${name}`] : []), ...lines.map((l) => `data: ${l}`), "", ""].join(end));
    const isLast = answer.events.length === 0;
    if (fault?.do === "stall" && isLast) return;
    if (fault?.do === "truncate" && isLast) {
      outgoing.write(bytes.subarray(0, bytes.length >> 1));
      await pause(20);
      return cut(outgoing);
    }
    for (let at = 0; at < bytes.length; at += 13) outgoing.write(bytes.subarray(at, at + 13));
    await pause(world.control.eventMs);
    if (outgoing.destroyed) answer.events.length = 0; // who leaves gives up the rest
  }
  outgoing.end();
}

// ---- control -----------------------------------------------------------------------------------

/** A catalogue document with every provider's base address and every Space here. */
function catalogue() {
  const models = Object.entries(spaceOfModel).map(([key, space]) => ({ key, space: `${world.origin}/space/${space}` }));
  return {
    providers: {
      gitee: { api_base: `${world.origin}/gitee/v1` },
      huggingface: { chat_base: `${world.origin}/pollinations`, models },
      a4f: { api_base: `${world.origin}/a4f/v1` },
      modelslab: { api_base: `${world.origin}/modelslab/api/v6` },
      gemini: { api_base: `${world.origin}/gemini/v1beta` },
      grok: { api_base: `${world.origin}/grok/v1` },
      openai: { api_base: `${world.origin}/openai/v1` },
      modelscope: {
        api_base: `${world.origin}/modelscope/v1`,
        actions: { edit: { upload_space: `${world.origin}/space/${spaceOfModel["qwen-image-edit"]}` } },
      },
    },
  };
}

async function serveControl(request, incoming, outgoing) {
  const reply = (body, status = 200) => {
    outgoing.writeHead(status, { "content-type": "application/json" });
    outgoing.end(JSON.stringify(body));
  };
  switch (`${request.method} ${request.path}`) {
    case "GET /__catalogue":
      return reply(catalogue());
    case "GET /__log":
      return reply(world.log);
    case "POST /__reset":
      world.reset();
      return reply({});
    case "POST /__control": {
      const { next = [], ...changes } = JSON.parse((await readBody(incoming)).toString("utf8"));
      const unknown = Object.keys(changes).filter((name) => !(name in world.control));
      if (unknown.length > 0) return reply({ error: `no such control: ${unknown}` }, 400);
      Object.assign(world.control, changes);
      world.control.next.push(...next);
      return reply({});
    }
    default:
      return reply({ error: "no such control" }, 404);
  }
}

// ---- listening ---------------------------------------------------------------------------------

const options = Object.fromEntries(process.argv.slice(2).map((text) => text.replace(/^--/, "").split("=")));

function onRequest(incoming, outgoing) {
  serve(incoming, outgoing).catch((error) => {
    process.stderr.write(`upstream: ${error.stack}\n`);
    cut(outgoing);
  });
}

const listen = (server, port) =>
  new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(Number(port ?? 0), "127.0.0.1", () => resolve(server.address().port));
  });

function plainServer() {
  return Object.assign(http.createServer(onRequest), { keepAliveTimeout: 60000, requestTimeout: 0 });
}

/** A certificate for localhost that lives as long as we do. */
function certificate() {
  const folder = mkdtempSync(path.join(os.tmpdir(), "imagine-upstream-"));
  const [key, cert] = ["key.pem", "ca.pem"].map((name) => path.join(folder, name));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(cert), file: cert };
}

const httpPort = await listen(plainServer(), options.http);
const otherPort = await listen(plainServer(), 0);
world.origin = `http://127.0.0.1:${httpPort}`;
world.otherOrigin = `http://localhost:${otherPort}`;
let [httpsPort, ca] = [0, ""];
if ("tls" in options) {
  const { key, cert, file } = certificate();
  httpsPort = await listen(http2.createSecureServer({ key, cert, allowHTTP1: true }, onRequest), options.https);
  world.origin = `https://localhost:${httpsPort}`;
  ca = file;
}
process.stdout.write(`listening http=${httpPort} https=${httpsPort} other=${otherPort} ca=${ca}\n`);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
