// harness.mjs: what every end-to-end test needs: the real server, the providers' stand-in, curl and
// bare sockets. Everything started here has its own folder and free ports, is bounded in time, and
// ends with the test file, also when that is killed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const build = path.resolve(root, process.env.BUILD ?? "build");
export const serverProgram = path.join(build, "imagine-server");

const START_MS = 15000;
const STOP_MS = 15000;
const CURL_S = 30;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again and again until `ask` gives something true, or fails saying what never came. */
export async function eventually(what, ask, { timeoutMs = 10000, everyMs = 25 } = {}) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (value) return value;
    if (performance.now() > deadline) assert.fail(`${what}: not within ${timeoutMs} ms`);
    await pause(everyMs);
  }
}

// ---- folders and processes ---------------------------------------------------------------------

const folders = [];
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder of one's own, gone at the end. */
export function scratch() {
  const folder = mkdtempSync(path.join(os.tmpdir(), "imagine-e2e-"));
  folders.push(folder);
  return folder;
}

/** Nothing of the tester's own environment reaches what is tested. */
const bareEnvironment = (home) => ({ PATH: process.env.PATH, HOME: home, LANG: "C", ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? "" });

/**
 * A running program: what it printed so far, and how it ends. By itself it does not keep the test
 * alive, so that one that fails before it could stop its servers ends all the same.
 */
function start(program, args, { env, cwd, stdin = "ignore" }) {
  const child = spawn(program, args, { env, cwd, stdio: [stdin, "pipe", "pipe"] });
  const run = { child, stdout: Buffer.alloc(0), stderr: "" };
  children.add(child);
  child.stdout.on("data", (piece) => (run.stdout = Buffer.concat([run.stdout, piece])));
  child.stderr.on("data", (piece) => (run.stderr += piece));
  for (const handle of [child, child.stdin, child.stdout, child.stderr]) handle?.unref();
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    });
  });
  ended.catch(() => {});
  run.wait = () => {
    const awake = setInterval(() => {}, 1000);
    return ended.finally(() => clearInterval(awake));
  };
  run.onEnd = (callback) => ended.then(callback, () => {});
  return run;
}

/** Runs a program to its end: {code, signal, stdout, stderr}. */
export async function run(program, args = [], { env = {}, cwd, input, timeoutMs = 60000 } = {}) {
  const home = cwd ?? scratch();
  const running = start(program, args, { env: { ...bareEnvironment(home), ...env }, cwd: home, stdin: input === undefined ? "ignore" : "pipe" });
  if (input !== undefined) {
    running.child.stdin.on("error", () => {});
    running.child.stdin.end(input);
  }
  const timer = setTimeout(() => running.child.kill("SIGKILL"), timeoutMs);
  const end = await running.wait();
  clearTimeout(timer);
  return { ...end, stdout: running.stdout.toString("utf8"), stdoutBytes: running.stdout, stderr: running.stderr };
}

// ---- the server --------------------------------------------------------------------------------

/**
 * Starts imagine-server (or another program that prints where it listens) on a free port. Without
 * other wishes it forgets its state and listens on 127.0.0.1; `files` are written into its working
 * directory first ({".env": "…"}).
 */
export async function startServer({ env = {}, args = [], files = {}, cwd = scratch(), program = serverProgram } = {}) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(cwd, name)), { recursive: true });
    writeFileSync(path.join(cwd, name), text);
  }
  const all = { ...bareEnvironment(cwd), PORT: "0", HOST: "127.0.0.1", STATE_FILE: ":memory:", ...env };
  for (const name of Object.keys(all)) if (all[name] === null) delete all[name]; // null: really unset
  const running = start(program, args, { env: all, cwd });
  let end = null;
  running.onEnd((e) => (end = e));
  const listening = await eventually("the server listens", () => {
    if (end) assert.fail(`the server ended with ${end.code ?? end.signal} at its start:\n${running.stderr}`);
    return /(https?):\/\/(\[[0-9a-f:.]+\]|[\w.-]+):(\d+)/.exec(running.stderr + running.stdout.toString());
  }, { timeoutMs: START_MS });
  const [, scheme, host, port] = listening;
  const origin = `${scheme}://${host === "0.0.0.0" ? "127.0.0.1" : host}:${port}`;
  return {
    origin,
    port: Number(port),
    cwd,
    pid: running.child.pid,
    /** How it ends: {code, signal}. */
    ended: () => running.wait(),
    /** The log alone. */
    get stderr() {
      return running.stderr;
    },
    /** Everything that it printed. */
    get log() {
      return running.stderr + running.stdout.toString("utf8");
    },
    kill: (signal) => running.child.kill(signal),
    /** Ends it, and is only content with exit 0. */
    async stop(signal = "SIGTERM") {
      if (!end) running.child.kill(signal);
      const timer = setTimeout(() => running.child.kill("SIGKILL"), STOP_MS);
      const result = await running.wait();
      clearTimeout(timer);
      assert.deepEqual(result, signal === "SIGKILL" ? { code: null, signal } : { code: 0, signal: null }, `how the server ended:\n${running.stderr.slice(-2000)}`);
      return result;
    },
    request: (method, where, options) => request(origin, method, where, options),
    get: (where, options) => request(origin, "GET", where, options),
    post: (where, json, options) => request(origin, "POST", where, { json, ...options }),
  };
}

/** One call of curl: options {json, body, headers, token, form: [["image", "@file"]], args}. */
function request(origin, method, where, { json, body, headers = {}, token, form, args = [] } = {}) {
  const all = [...args];
  let input;
  if (method === "HEAD") all.push("--head");
  else if (!form) all.push("-X", method);
  if (json !== undefined) {
    input = typeof json === "string" ? json : JSON.stringify(json);
    if (!Object.keys(headers).some((name) => name.toLowerCase() === "content-type")) all.push("-H", "Content-Type: application/json");
  }
  if (body !== undefined) input = body;
  if (input !== undefined) all.push("--data-binary", "@-");
  for (const [name, value] of form ?? []) all.push("-F", `${name}=${value}`);
  for (const [name, value] of Object.entries(headers)) all.push("-H", value === "" ? `${name};` : `${name}: ${value}`);
  if (token !== undefined) all.push("-H", `Authorization: Bearer ${token}`);
  return curl([...all, `${origin}${where}`], { input });
}

// ---- curl --------------------------------------------------------------------------------------

/** The last answer in what `curl -i` printed; those before it were "100 Continue" and the like. */
function parseAnswer(bytes) {
  let at = 0;
  for (;;) {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) return { status: 0, headers: {}, body: Buffer.alloc(0) };
    const [first, ...lines] = bytes.toString("latin1", at, end).split("\r\n");
    const status = Number(/^HTTP\/[\d.]+ (\d{3})/.exec(first)?.[1] ?? 0);
    at = end + 4;
    if (status >= 100 && status < 200) continue;
    const headers = {};
    for (const line of lines) {
      const name = line.slice(0, line.indexOf(":")).toLowerCase();
      const value = line.slice(line.indexOf(":") + 1).trim();
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
    return { status, headers, body: bytes.subarray(at) };
  }
}

/** Runs the real curl: {status, headers (lower case), body, text, json, exit, stderr}. */
export async function curl(args, { input, timeoutMs = CURL_S * 1000 } = {}) {
  const result = await run("curl", ["-q", "-sS", "-i", "--noproxy", "*", "--max-time", String(Math.ceil(timeoutMs / 1000)), ...args], { input, timeoutMs: timeoutMs + 5000, cwd: os.tmpdir() });
  const answer = parseAnswer(result.stdoutBytes);
  answer.exit = result.code;
  answer.stderr = result.stderr;
  answer.text = answer.body.toString("utf8");
  try {
    answer.json = JSON.parse(answer.text);
  } catch {
    answer.json = undefined;
  }
  return answer;
}

// ---- bare sockets ------------------------------------------------------------------------------

/** Of answers that came one behind the other (latin1): is the one that says "close" here to its end? */
function isLastAnswerWhole(text) {
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) return false;
    const head = text.slice(at, end);
    at = end + 4 + Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    if (/^connection: close/im.test(head)) return text.length >= at;
  }
  return false;
}

/**
 * Sends `text` as it is and gives back all that came until the other end closed, or `timeoutMs`
 * passed without that: {text, isClosed, ms}. `afterwards(socket)` may send more. Behind an answer
 * with "Connection: close" our end closes first, as real callers do.
 */
export function raw(port, text, { timeoutMs = 5000, afterwards } = {}) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let received = "";
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.write(text);
      afterwards?.(socket);
    });
    const finish = (isClosed) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text: received, isClosed, status: Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? 0), ms: performance.now() - began });
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.on("data", (piece) => {
      received += piece.toString("latin1");
      if (isLastAnswerWhole(received)) socket.end();
    });
    socket.on("close", () => finish(true));
    socket.on("error", (error) => {
      if (error.code === "ECONNREFUSED") reject(error);
    });
  });
}

/** Lets a small server of a test listen on a free port. It never keeps the test alive. */
export async function listen(server) {
  server.on("connection", (socket) => socket.unref());
  await new Promise((resolve, reject) => server.on("error", reject).listen(0, "127.0.0.1", resolve));
  server.unref();
  return server.address().port;
}

// ---- the providers' stand-in -------------------------------------------------------------------

/** test/support/upstream.mjs: see there for what `control` takes. */
export async function startUpstream({ tls = false } = {}) {
  const folder = scratch();
  const running = start(process.execPath, [path.join(root, "test/support/upstream.mjs"), ...(tls ? ["--tls"] : [])], { env: bareEnvironment(folder), cwd: folder, stdin: "pipe" });
  const line = await eventually("the stand-in listens", () => /^listening http=(\d+) https=(\d+) other=(\d+) ca=(.*)$/m.exec(running.stdout.toString()), { timeoutMs: START_MS }).catch((error) => {
    throw new Error(`${error.message}\n${running.stderr}`);
  });
  const [httpPort, httpsPort, otherPort] = line.slice(1, 4).map(Number);
  const control = `http://127.0.0.1:${httpPort}`;
  const origin = tls ? `https://localhost:${httpsPort}` : control;
  const ask = async (method, where, body) => {
    const response = await fetch(control + where, { method, body: body && JSON.stringify(body), headers: { connection: "close" } });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify(answer));
    return answer;
  };
  const catalogueFile = path.join(folder, "catalogue.json");
  writeFileSync(catalogueFile, JSON.stringify(await ask("GET", "/__catalogue")));
  return {
    origin,
    httpPort,
    httpsPort,
    otherPort,
    ca: line[4],
    /** Settings that point every provider here. */
    settings: {
      CATALOGUE: catalogueFile,
      GITEE_API_BASE: `${origin}/gitee/v1`,
      A4F_API_BASE: `${origin}/a4f/v1`,
      GEMINI_API_BASE: `${origin}/gemini/v1beta`,
      MODELSLAB_API_BASE: `${origin}/modelslab/api/v6`,
      GROK_API_BASE: `${origin}/grok/v1`,
      OPENAI_API_BASE: `${origin}/openai/v1`,
      MODELSCOPE_API_BASE: `${origin}/modelscope/v1`,
      POLLINATIONS_API_BASE: `${origin}/pollinations`,
      POLL_INTERVAL_MS: "200",
    },
    control: (changes) => ask("POST", "/__control", changes),
    reset: () => ask("POST", "/__reset", {}),
    /** The requests since the reset, those whose path holds `part`. */
    log: async (part = "") => (await ask("GET", "/__log")).filter((entry) => entry.path.includes(part)),
    get stderr() {
      return running.stderr;
    },
    async stop() {
      running.child.stdin.end();
      const timer = setTimeout(() => running.child.kill("SIGKILL"), STOP_MS);
      await running.wait();
      clearTimeout(timer);
    },
  };
}

// ---- pictures ----------------------------------------------------------------------------------

/** A valid PNG of one pixel. */
export const tinyPng = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64");

export const tinyPngUrl = `data:image/png;base64,${tinyPng.toString("base64")}`;
