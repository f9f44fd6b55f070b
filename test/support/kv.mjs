// kv.mjs: two services that keep state for us, as strict as the real ones: Upstash's REST interface,
// in front of a real redis-server, and the Workers KV part of Cloudflare's API, in memory.
//
//   node test/support/kv.mjs    prints "listening upstash=PORT cloudflare=PORT" (upstash=0: there is
//                               no redis-server) and ends when its standard input does
//   const kv = await startKv()  the same inside a test; {upstash, cloudflare, control, log, stop()}
//
//   kv.control   {next: [{service, status, headers, body, cut, times}]}: instead of the next answers
//   kv.log       [{service, method, path, status}]
//
// Every Workers KV namespace but "missing" is there from the start, and empty.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseMultipart } from "./upstream/multipart.mjs";

export const upstashToken = "up/stash+token=";
export const cloudflareToken = "cloud-flare_token";

const BODY_MAX = 26 * 1024 * 1024;
const LOG_MAX = 5000;
const REDIS_WAIT_MS = 10000;

class Refusal extends Error {
  constructor(status, message, code) {
    super(message);
    Object.assign(this, { status, code });
  }
}

// ---- redis-server ------------------------------------------------------------------------------

/** Reads one answer of Redis at `at`: [value, end]; or a number: so many bytes are needed at least. */
function readReply(data, at) {
  const lineEnd = data.indexOf("\r\n", at);
  if (lineEnd < 0) return data.length + 1;
  const line = data.toString("utf8", at + 1, lineEnd);
  let end = lineEnd + 2;
  switch (data[at]) {
    case 0x2b: // +
      return [{ status: line }, end];
    case 0x2d: // -
      return [{ error: line }, end];
    case 0x3a: // :
      return [Number(line), end];
    case 0x24: // $
      if (line === "-1") return [null, end];
      if (data.length < end + Number(line) + 2) return end + Number(line) + 2;
      return [data.subarray(end, end + Number(line)), end + Number(line) + 2];
    case 0x2a: {
      if (line === "-1") return [null, end];
      const items = [];
      for (let i = 0; i < Number(line); i++) {
        const item = readReply(data, end);
        if (typeof item === "number") return item;
        items.push(item[0]);
        end = item[1];
      }
      return [items, end];
    }
    default:
      throw new Error("no answer of a redis-server");
  }
}

class Redis {
  constructor(child, socket, folder) {
    Object.assign(this, { child, socket, folder, waiting: [], pieces: [], size: 0, needed: 1 });
    socket.on("data", (piece) => this.take(piece));
    socket.on("error", () => {});
  }

  take(piece) {
    this.pieces.push(piece);
    this.size += piece.length;
    if (this.size < this.needed) return;
    const data = Buffer.concat(this.pieces);
    let at = 0;
    while (this.waiting.length > 0) {
      const reply = readReply(data, at);
      this.needed = typeof reply === "number" ? reply - at : 1;
      if (typeof reply === "number") break;
      this.waiting.shift()(reply[0]);
      at = reply[1];
    }
    this.pieces = [data.subarray(at)];
    this.size = data.length - at;
  }

  ask(words) {
    const pieces = [`*${words.length}\r\n`];
    for (const word of words) {
      const bytes = Buffer.from(String(word));
      pieces.push(`$${bytes.length}\r\n`, bytes, "\r\n");
    }
    this.socket.write(Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  stop() {
    this.socket.destroy();
    this.child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function startRedis() {
  if (spawnSync("redis-server", ["--version"]).status !== 0) return undefined;
  const folder = mkdtempSync(path.join(os.tmpdir(), "imagine-kv-"));
  const place = path.join(folder, "socket");
  const child = spawn("redis-server", ["--port", "0", "--unixsocket", place, "--dir", folder, "--save", "", "--appendonly", "no"], { stdio: "ignore" });
  process.once("exit", () => child.kill("SIGKILL"));
  for (const began = Date.now(); Date.now() - began < REDIS_WAIT_MS; ) {
    const socket = await new Promise((resolve) => {
      const trial = net.connect(place, () => resolve(trial)).once("error", () => resolve(undefined));
    });
    if (socket) return new Redis(child, socket, folder);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill("SIGKILL");
  throw new Error("redis-server does not answer");
}

// ---- Upstash -----------------------------------------------------------------------------------

/** Commands that keep a connection, or wait on it, have no place in a request. */
const refusedCommands = new Set(["SUBSCRIBE", "PSUBSCRIBE", "MONITOR", "BLPOP", "BRPOP", "WATCH", "MULTI", "EXEC", "AUTH", "SELECT", "SHUTDOWN", "CONFIG", "DEBUG"]);
const UPSTASH_BODY_MAX = 10 * 1024 * 1024;
const UPSTASH_COMMANDS_MAX = 1000;

function asJson(reply, isBase64) {
  if (Buffer.isBuffer(reply)) return reply.toString(isBase64 ? "base64" : "utf8");
  if (Array.isArray(reply)) return reply.map((item) => asJson(item, isBase64));
  return reply?.status ?? reply;
}

function checkCommand(command) {
  if (!Array.isArray(command) || command.length === 0 || typeof command[0] !== "string") throw new Refusal(400, "ERR failed to parse command");
  if (!command.every((word) => ["string", "number", "boolean"].includes(typeof word))) throw new Refusal(400, "ERR command arguments must be of type string, number or boolean");
  if (refusedCommands.has(command[0].toUpperCase())) throw new Refusal(400, `ERR Command is not available: '${command[0]}'`);
}

async function runCommand(redis, command, isBase64) {
  const reply = await redis.ask(command);
  return reply?.error === undefined ? { result: asJson(reply, isBase64) } : { error: reply.error };
}

async function handleUpstash(redis, { method, path: where, headers, body }) {
  if (headers.authorization !== `Bearer ${upstashToken}`) throw new Refusal(401, "WRONGPASS invalid or missing auth token");
  if (method !== "POST") throw new Refusal(405, "ERR method not allowed");
  if (body.length > UPSTASH_BODY_MAX) throw new Refusal(413, `ERR max request size exceeded. Limit: ${UPSTASH_BODY_MAX} bytes, Actual: ${body.length} bytes`);
  let json;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new Refusal(400, "ERR failed to parse command");
  }
  const isBase64 = headers["upstash-encoding"] === "base64";
  if (where === "/") {
    checkCommand(json);
    const answer = await runCommand(redis, json, isBase64);
    return { status: answer.error === undefined ? 200 : 400, json: answer };
  }
  if (where !== "/pipeline") throw new Refusal(404, "ERR path not found");
  if (!Array.isArray(json) || json.length === 0 || json.length > UPSTASH_COMMANDS_MAX) throw new Refusal(400, "ERR failed to parse pipeline request");
  json.forEach(checkCommand);
  return { status: 200, json: await Promise.all(json.map((command) => runCommand(redis, command, isBase64))) };
}

// ---- Workers KV --------------------------------------------------------------------------------

const KEY_MAX = 512, VALUE_MAX = 25 * 1024 * 1024, METADATA_MAX = 1024, PAGE_MAX = 1000, PAGE_MIN = 10, TTL_MIN = 60;

/** The parameters, all of which must be known, once each. */
function readQuery(query, ...names) {
  const out = {};
  for (const [name, value] of query) {
    if (!names.includes(name) || name in out) throw new Refusal(400, `invalid query parameter '${name}'`, 10019);
    out[name] = value;
  }
  return out;
}

function readKey(text) {
  let key;
  try {
    key = decodeURIComponent(text);
  } catch {
    throw new Refusal(400, "could not decode the key name", 10014);
  }
  if (key === "" || key === "." || key === "..") throw new Refusal(400, "key names may not be empty, '.' or '..'", 10014);
  if (Buffer.byteLength(key) > KEY_MAX) throw new Refusal(414, `UTF-8 encoded length of ${Buffer.byteLength(key)} exceeds key length limit of ${KEY_MAX}`, 10030);
  if (/[\s\p{C}]/u.test(key)) throw new Refusal(400, "key names must be printable and without white space", 10014);
  return key;
}

function readTtl({ expiration, expiration_ttl: ttl }) {
  const now = Date.now() / 1000;
  for (const text of [expiration, ttl]) if (text !== undefined && !/^\d{1,15}$/.test(text)) throw new Refusal(400, "expiration is no whole number", 10033);
  if (ttl !== undefined && Number(ttl) < TTL_MIN) throw new Refusal(400, `Invalid expiration_ttl of ${ttl}. Expiration TTL must be at least ${TTL_MIN}.`, 10033);
  if (expiration !== undefined && Number(expiration) < now + TTL_MIN) throw new Refusal(400, `Invalid expiration of ${expiration}`, 10033);
  return ttl !== undefined ? now + Number(ttl) : expiration !== undefined ? Number(expiration) : Infinity;
}

function readUpload({ headers, body }) {
  if (!(headers["content-type"] ?? "").startsWith("multipart/form-data")) return { value: body };
  let parts;
  try {
    let size = body.length; // an empty epilogue is fine, and Cloudflare's own client sends one
    while (body.toString("latin1", size - 4, size) === "\r\n\r\n") size -= 2;
    parts = parseMultipart(headers["content-type"], body.subarray(0, size));
  } catch (error) {
    throw new Refusal(400, `could not parse the form: ${error.message}`, 10012);
  }
  const [values, metadatas] = ["value", "metadata"].map((name) => parts.filter((part) => part.name === name));
  if (values.length !== 1 || metadatas.length > 1 || parts.length > values.length + metadatas.length) throw new Refusal(400, "the form must have one value, and metadata at most once", 10012);
  if (metadatas.length === 0) return { value: values[0].data };
  const text = metadatas[0].data.toString("utf8");
  if (Buffer.byteLength(text) > METADATA_MAX) throw new Refusal(413, `Metadata size limit of ${METADATA_MAX} bytes exceeded`, 10028);
  try {
    return { value: values[0].data, metadata: JSON.parse(text) };
  } catch {
    throw new Refusal(400, "metadata must be valid json", 10024);
  }
}

function handleCloudflare(namespaces, request) {
  const { method, headers, body, query } = request;
  if (headers.authorization !== `Bearer ${cloudflareToken}`) throw new Refusal(401, "Authentication error", 10000);
  const route = /^\/client\/v4\/accounts\/([0-9a-z]{1,32})\/storage\/kv\/namespaces\/([0-9a-z]{1,32})\/(keys|values\/([^/]*))$/.exec(request.path);
  if (!route) throw new Refusal(404, "Could not route to this path, perhaps your object identifier is invalid?", 7003);
  const [, account, id, , keyText] = route;
  if (id === "missing") throw new Refusal(404, "get namespace: 'namespace not found'", 10013);
  const place = `${account}/${id}`;
  if (!namespaces.has(place)) namespaces.set(place, new Map());
  const entries = namespaces.get(place);
  for (const [key, entry] of entries) if (entry.expires <= Date.now() / 1000) entries.delete(key);
  const fine = (result, more = {}) => ({ status: 200, json: { result, success: true, errors: [], messages: [], ...more } });

  if (keyText === undefined) {
    if (method !== "GET") throw new Refusal(405, "Method not allowed for this endpoint", 10405);
    const { prefix = "", limit = String(PAGE_MAX), cursor = "" } = readQuery(query, "prefix", "limit", "cursor");
    if (!/^\d+$/.test(limit) || Number(limit) < PAGE_MIN || Number(limit) > PAGE_MAX) throw new Refusal(400, `limit must be from ${PAGE_MIN} to ${PAGE_MAX}`, 10021);
    const after = Buffer.from(cursor, "base64").toString("utf8");
    if (cursor !== "" && Buffer.from(after).toString("base64") !== cursor) throw new Refusal(400, "invalid cursor", 10022);
    const names = [...entries.keys()].filter((name) => name.startsWith(prefix) && name > after).sort();
    const page = names.slice(0, Number(limit));
    const result = page.map((name) => {
      const { expires, metadata } = entries.get(name);
      return { name, ...(expires < Infinity && { expiration: Math.floor(expires) }), ...(metadata !== undefined && { metadata }) };
    });
    const next = page.length < names.length ? Buffer.from(page.at(-1)).toString("base64") : "";
    return fine(result, { result_info: { count: page.length, cursor: next } });
  }
  const key = readKey(keyText);
  switch (method) {
    case "GET": {
      readQuery(query);
      const entry = entries.get(key);
      if (!entry) throw new Refusal(404, "get: 'key not found'", 10009);
      return { status: 200, headers: { "content-type": "application/octet-stream", ...(entry.expires < Infinity && { expiration: String(Math.floor(entry.expires)) }) }, body: entry.value };
    }
    case "PUT": {
      const expires = readTtl(readQuery(query, "expiration", "expiration_ttl"));
      const upload = readUpload(request);
      if (upload.value.length > VALUE_MAX) throw new Refusal(413, "Value length exceeds the limit", 10031);
      entries.set(key, { ...upload, expires });
      return fine(null);
    }
    case "DELETE":
      readQuery(query);
      if (body.length > 0) throw new Refusal(400, "DELETE takes no body", 10012);
      entries.delete(key);
      return fine(null);
    default:
      throw new Refusal(405, "Method not allowed for this endpoint", 10405);
  }
}

// ---- the servers -------------------------------------------------------------------------------

function refuse(service, { status, message, code }) {
  return { status, json: service === "upstash" ? { error: message } : { result: null, success: false, errors: [{ code, message }], messages: [] } };
}

function listen(service, kv, handle) {
  const server = http.createServer(async (request, response) => {
    const pieces = [];
    let size = 0;
    for await (const piece of request) if ((size += piece.length) <= BODY_MAX) pieces.push(piece);
    const { pathname, searchParams } = new URL(request.url, "http://here");
    const index = kv.control.next.findIndex((next) => next.service === service);
    let answer;
    if (index >= 0) {
      answer = kv.control.next[index];
      if ((answer.times = (answer.times ?? 1) - 1) <= 0) kv.control.next.splice(index, 1);
    } else {
      try {
        answer = await handle({ method: request.method, path: pathname, query: searchParams, headers: request.headers, body: Buffer.concat(pieces) });
      } catch (error) {
        if (!(error instanceof Refusal)) console.error(error);
        answer = refuse(service, error instanceof Refusal ? error : new Refusal(500, String(error)));
      }
    }
    if (kv.log.length < LOG_MAX) kv.log.push({ service, method: request.method, path: request.url, status: answer.status });
    if (answer.cut) return request.socket.destroy();
    const body = answer.json === undefined ? (answer.body ?? "") : JSON.stringify(answer.json);
    response.writeHead(answer.status, { ...(answer.json !== undefined && { "content-type": "application/json" }), ...answer.headers, "content-length": Buffer.byteLength(body) });
    response.end(body);
  });
  server.keepAliveTimeout = 60000;
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

export async function startKv() {
  const kv = { control: { next: [] }, log: [], upstash: undefined };
  const redis = await startRedis();
  const namespaces = new Map();
  const servers = [await listen("cloudflare", kv, (request) => handleCloudflare(namespaces, request))];
  const addressOf = (server) => `http://127.0.0.1:${server.address().port}`;
  kv.cloudflare = addressOf(servers[0]);
  if (redis) {
    servers.push(await listen("upstash", kv, (request) => handleUpstash(redis, request)));
    kv.upstash = addressOf(servers[1]);
    kv.redis = (...words) => redis.ask(words);
  }
  kv.ports = servers.map((server) => server.address().port);
  /** A value as it lies in a namespace. */
  kv.peek = (account, id, key) => namespaces.get(`${account}/${id}`)?.get(key);
  kv.stop = () => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    redis?.stop();
  };
  return kv;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const kv = await startKv();
  console.log(`listening upstash=${kv.ports[1] ?? 0} cloudflare=${kv.ports[0]}`);
  process.stdin.resume().on("end", () => {
    kv.stop();
    process.exit(0);
  });
}
