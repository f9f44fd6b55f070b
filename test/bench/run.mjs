// run.mjs: measures imagine-server, and nginx as a plain proxy beside it: `make bench`.
//
//   node test/bench/run.mjs BUILD_DIRECTORY [--quick] [--media | --stores | --process]     only what one of the modules beside it measures
//
// What is measured runs alone on one core; the load and the provider's stand-in share another. CPU
// time is the process's own (/proc/PID/stat), per answered request. Everything is on as in real use:
// a token is asked for, requests are counted against a limit, the state is a file, each request is a
// line of the log. Prints a table and writes BUILD_DIRECTORY/bench.json.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { measureInProcess } from "./inprocess.mjs";
import { measureMedia } from "./media.mjs";
import { measureStores } from "./stores.mjs";

const build = path.resolve(process.argv[2] ?? "build");
const isQuick = process.argv.includes("--quick");
const seconds = isQuick ? 3 : 8;
const waitMs = isQuick ? 5000 : 10000;
const scratch = mkdtempSync(path.join(os.tmpdir(), "imagine-bench-"));
const program = (name) => path.join(build, "test", "bench", name);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const has = (command) => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
const hasNginx = has("nginx");
const cores = os.cpus().length;
const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"]));
const say = (text) => process.stderr.write(`${text}\n`);

// ---- descriptors: 10 000 in flight need two each -----------------------------------------------

function raiseFiles() {
  const wanted = 65536;
  spawnSync("prlimit", ["--pid", String(process.pid), `--nofile=${wanted}:${wanted}`]);
  return Number(execFileSync("sh", ["-c", "ulimit -Hn"]));
}
const files = raiseFiles();
const many = Math.min(10000, Math.floor((files - 800) / 2 / 100) * 100);
if (many < 10000) say(`Only ${files} descriptors may be open here: ${many} requests at once instead of 10 000.`);

// ---- processes ---------------------------------------------------------------------------------

const children = new Set();
function start(core, command, args, options = {}) {
  const pinned = core !== null && cores > 1 && has("taskset") ? ["taskset", ["-c", String(core), command, ...args]] : [command, args];
  const child = spawn(...pinned, { stdio: ["ignore", "pipe", "inherit"], ...options });
  children.add(child);
  child.on("exit", () => children.delete(child));
  return child;
}
async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  await Promise.race([ended, pause(5000).then(() => child.kill("SIGKILL"))]);
  await ended;
}
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(scratch, { recursive: true, force: true });
});

const firstLine = (child) => new Promise((resolve) => createInterface({ input: child.stdout }).once("line", resolve));
const status = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
const rssKiB = (pid) => status(pid, "VmRSS");
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
const connects = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(true) || socket.destroy());
    socket.on("error", () => resolve(false));
  });
async function untilListening(port, child) {
  for (const began = process.hrtime.bigint(); ; await pause(1)) {
    if (await connects(port)) return Number(process.hrtime.bigint() - began) / 1e6;
    if (child.exitCode !== null) throw new Error("it ended instead of listening");
  }
}

async function startServer(environment, core = 0) {
  const port = await freePort();
  const log = openSync(path.join(scratch, "server.log"), "w");
  const child = start(core, path.join(build, "imagine-server"), ["--port", String(port)], {
    cwd: scratch,
    stdio: ["ignore", "ignore", log],
    env: {
      PATH: process.env.PATH,
      API_TOKEN: "bench",
      RATE_LIMIT: "1000000000",
      STATE_FILE: path.join(scratch, `state-${port}.db`),
      GITEE_TOKENS: "one",
      MAX_CONNECTIONS: "60000",
      ...environment,
    },
  });
  const listeningMs = await untilListening(port, child);
  closeSync(log);
  return { child, port, pid: child.pid, listeningMs, request: requestTo("/api/v1/generate", { model: "gitee/flux-2" }, "Authorization: Bearer bench\r\n") };
}

function requestTo(target, fields, headers = "") {
  return (prompt) => {
    const body = JSON.stringify({ ...fields, prompt });
    const file = path.join(scratch, `request-${Math.random()}.txt`);
    writeFileSync(file, `POST ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`);
    return file;
  };
}

/** Runs the load; on "held" it calls back while requests wait. */
async function load({ port, request }, mode, count, duration, rate = 1, prompt = "a quiet sea", onHeld = async () => {}) {
  const child = start(1, program("load"), [String(port), request(prompt), mode, String(count), String(duration), String(rate)]);
  let result, held;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("held")) held = onHeld();
    else result = JSON.parse(line);
  }
  await held;
  if (result === undefined) throw new Error("the load ended without a result");
  return result;
}

/** Load on a process: requests a second, and its CPU time for each of them. */
async function loadOn(target, ...args) {
  const before = cpuSeconds(target.pid);
  const result = await load(target, ...args);
  result.cpuUs = ((cpuSeconds(target.pid) - before) * 1e6) / Math.max(1, result.ok);
  result.perSecond = result.ok / result.seconds;
  return result;
}

// ---- nginx: a plain proxy to measure beside, and TLS in front of the stand-in --------------------

function nginxConf(name, body) {
  const folder = path.join(scratch, name);
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join("\n");
  writeFileSync(file, `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1; worker_rlimit_nofile ${files};
events { worker_connections ${files * 2}; } # when a sixteenth is left, it closes idle ones
http { ${temporary} access_log ${folder}/access.log; keepalive_requests 1000000000; keepalive_timeout 3600; proxy_read_timeout 60;
${body} }
`);
  return { file, folder };
}
async function startNginx(name, body, port, core) {
  const { file, folder } = nginxConf(name, body);
  const child = start(core, "nginx", ["-c", file, "-p", folder], { stdio: ["ignore", "ignore", "ignore"] });
  await untilListening(port, child);
  const workers = execFileSync("pgrep", ["-P", String(child.pid)]).toString().trim().split("\n");
  return { child, port, pid: Number(workers[0]) };
}
const toStandIn = (port, keepalive) => `upstream standin { server 127.0.0.1:${port}; keepalive ${keepalive}; keepalive_requests 1000000000; keepalive_timeout 3600; }`;
const proxy = "location / { proxy_pass http://standin; proxy_http_version 1.1; proxy_set_header Connection \"\"; }";

function certificate() {
  const key = path.join(scratch, "key.pem"), cert = path.join(scratch, "cert.pem");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], { stdio: "ignore" });
  return { key, cert };
}

// ---- the table -----------------------------------------------------------------------------------

const results = {};
const rows = [];
/** target: { max } or { min }, with what it is called; undefined: for information. */
function row(key, text, value, unit, target) {
  results[key] = value;
  const isMet = target === undefined ? null : target.max !== undefined ? value <= target.max : value >= target.min;
  const bound = target === undefined ? "" : target.max !== undefined ? `<= ${round(target.max)}` : `>= ${round(target.min)}`;
  rows.push({ text, value: `${round(value)} ${unit}`, bound, verdict: isMet === null ? "" : isMet ? "ok" : "MISSED" });
  say(`  ${text.padEnd(62)} ${rows.at(-1).value.padStart(16)}  ${bound.padStart(12)}  ${rows.at(-1).verdict}`);
}
const round = (value) => (Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en").replaceAll(",", " ") : String(Number(value.toFixed(2))));
const section = (title) => say(`\n${title}`);

// ---- measurements ----------------------------------------------------------------------------------

async function measureIdle(api) {
  section("Start and rest");
  row("listening_ms", "listening after the start", api.listeningMs, "ms", { max: 50 });
  await pause(3000);
  row("rss_idle_mib", "resident memory, idle", rssKiB(api.pid) / 1024, "MiB", { max: 10 });
  const before = status(api.pid, "voluntary_ctxt_switches");
  await pause(10000);
  row("idle_wakeups", "wake-ups in 10 s", status(api.pid, "voluntary_ctxt_switches") - before, "", { max: 0 });
}

async function measureThroughput(api, nginx) {
  section("As fast as answers come, 64 connections, one core");
  await load(api, "closed", 64, 2);
  const ours = await loadOn(api, "closed", 64, seconds);
  let theirs;
  if (nginx) {
    await load(nginx, "closed", 64, 2);
    theirs = await loadOn(nginx, "closed", 64, seconds);
    row("nginx_cpu_us", "CPU time a request, nginx", theirs.cpuUs, "µs");
    row("nginx_per_second", "requests a second, nginx", theirs.perSecond, "/s");
  }
  row("cpu_us", "CPU time a request", ours.cpuUs, "µs", { max: theirs ? Math.max(4 * theirs.cpuUs, 50) : 50 });
  if (theirs) row("cpu_ratio", "times nginx", ours.cpuUs / theirs.cpuUs, "", { max: 4 });
  row("per_second", "requests a second", ours.perSecond, "/s", { min: 20000 * Math.min(1, theirs ? 13 / theirs.cpuUs : 1) });
  row("errors", "requests without a good answer", ours.answers - ours.ok + ours.errors, "", { max: 0 });
}

async function measureLatency(api, nginx, direct) {
  section("5 000 requests a second, whatever comes back");
  const measured = {};
  for (const [name, target] of Object.entries({ direct, nginx, api }).filter(([, target]) => target)) measured[name] = await load(target, "open", 200, seconds, 5000);
  for (const [name, result] of Object.entries(measured)) {
    row(`${name}_p50_us`, `p50, ${name}`, result.p50_us, "µs");
    row(`${name}_p99_us`, `p99, ${name}`, result.p99_us, "µs");
  }
  row("added_p50_us", "added to the median", measured.api.p50_us - measured.direct.p50_us, "µs");
  row("added_p99_us", "added to the 99th percentile", measured.api.p99_us - measured.direct.p99_us, "µs", { max: 1000 });
}

/** targets: { memory, late }, those of many at once. */
async function measureWaiting(title, key, environment, counts, targets, direct, nginx) {
  section(`Waiting, ${title}`);
  const api = await startServer(environment);
  await load(api, "closed", 8, 1);
  const idle = rssKiB(api.pid);
  let peak = 0;
  for (const count of counts) {
    let held = 0;
    const own = direct ? (await load(direct, "hold", count, 0, 1, `wait=${waitMs}`)).max_us : waitMs * 1000;
    const result = await load(api, "hold", count, 0, 1, `wait=${waitMs}`, async () => {
      for (let i = 0; i < waitMs / 2 / 100; i++, await pause(100)) held = Math.max(held, rssKiB(api.pid));
    });
    peak = Math.max(peak, held);
    let late = count === many ? targets.late : undefined;
    if (late && nginx) {
      // A burst of thousands of new connections is the kernel's work more than anybody's.
      const theirs = ((await load(nginx, "hold", count, 0, 1, `wait=${waitMs}`)).max_us / own - 1) * 100;
      row(`${key}_${count}_nginx_late`, `${count} at once: the last answer, nginx`, theirs, "%");
      late = { max: Math.max(late.max, 1.5 * theirs) };
    }
    row(`${key}_${count}_kib`, `${count} at once: memory for each`, (held - idle) / count, "KiB", count === many ? targets.memory : undefined);
    row(`${key}_${count}_failed`, `${count} at once: without a good answer`, result.answers - result.ok + result.errors, "", { max: 0 });
    row(`${key}_${count}_late`, `${count} at once: the last answer, over the provider's own time`, (result.max_us / own - 1) * 100, "%", late);
  }
  await pause(15000);
  row(`${key}_rss_after_mib`, `resident memory 15 s later (before: ${round(idle / 1024)} MiB)`, rssKiB(api.pid) / 1024, "MiB", { max: (idle / 1024) * 2 });
  await stop(api.child);
}

async function measureTokens(base) {
  section("How many tokens there are");
  for (const count of [1, 10000]) {
    const tokens = Array.from({ length: count }, (_, i) => `token-${i}`).join(",");
    const api = await startServer({ GITEE_API_BASE: base, GITEE_TOKENS: tokens });
    await load(api, "closed", 64, 2);
    const result = await loadOn(api, "closed", 64, seconds);
    row(`tokens_${count}_cpu_us`, `CPU time a request, ${count} tokens`, result.cpuUs, "µs", count === 1 ? undefined : { max: results.tokens_1_cpu_us * 1.2 + 2 });
    await stop(api.child);
  }
}

async function measureCrowd(base) {
  section("2 000 requests a second while others wait");
  for (const count of [10, many]) {
    const api = await startServer({ GITEE_API_BASE: base });
    await load(api, "closed", 64, 1);
    let quick;
    const waiting = load(api, "hold", count, 0, 1, `wait=${waitMs * 2}`, async () => {
      await pause(waitMs / 4);
      quick = await loadOn(api, "open", 100, isQuick ? 3 : 6, 2000);
    });
    await waiting;
    row(`crowd_${count}_cpu_us`, `CPU time a request, ${count} waiting`, quick.cpuUs, "µs", count === 10 ? undefined : { max: results.crowd_10_cpu_us * 2 });
    row(`crowd_${count}_p99_us`, `p99, ${count} waiting`, quick.p99_us, "µs");
    await stop(api.child);
  }
}

async function startStandIn() {
  const standIn = start(1, program("upstream"), ["0"]);
  const standInPort = Number((await firstLine(standIn)).split(" ")[1]);
  return { standIn, standInPort, base: `http://127.0.0.1:${standInPort}/v1` };
}

async function measureSmall() {
  const { standIn, standInPort, base } = await startStandIn();
  const toProvider = requestTo("/v1/images/generations", { model: "flux-2", width: 1024, height: 1024, seed: 1, num_inference_steps: 9, response_format: "url" }, "Authorization: Bearer one\r\n");
  const direct = { port: standInPort, request: toProvider };
  let nginx;
  if (hasNginx) {
    const port = await freePort();
    nginx = { ...(await startNginx("plain", `${toStandIn(standInPort, 512)} server { listen 127.0.0.1:${port} backlog=4096; ${proxy} }`, port, 0)), request: toProvider };
  } else say("nginx is not installed: there is nothing to compare with, and no TLS.");
  say(`${os.cpus()[0].model}, ${cores} cores, ${files} descriptors${isQuick ? ", quick" : ""}`);

  const api = await startServer({ GITEE_API_BASE: base });
  await measureIdle(api);
  await measureThroughput(api, nginx);
  await measureLatency(api, nginx, direct);
  await stop(api.child);
  await measureTokens(base);
  await measureCrowd(base);
  await measureWaiting("plain HTTP", "plain", { GITEE_API_BASE: base }, [1000, many], { memory: { max: 24 }, late: { max: 5 } }, direct, nginx);
  if (nginx) await stop(nginx.child);
  if (hasNginx && has("openssl")) {
    const { key, cert } = certificate();
    for (const [title, id, option, targets] of [["TLS, HTTP/1.1", "tls_h1", "", {}], ["TLS, HTTP/2", "tls_h2", " http2", { memory: { max: 40 }, late: { max: 10 } }]]) {
      const port = await freePort();
      const front = await startNginx(id, `${toStandIn(standInPort, 16384)} server { listen 127.0.0.1:${port} ssl${option} backlog=4096; ssl_certificate ${cert}; ssl_certificate_key ${key}; ${proxy} }`, port, 1);
      await measureWaiting(title, id, { GITEE_API_BASE: `https://localhost:${port}/v1`, CA_FILE: cert }, [1000, many], targets);
      await stop(front.child);
    }
  }
  await stop(standIn);
}

async function main() {
  const only = ["--media", "--stores", "--process"].find((option) => process.argv.includes(option));
  const wanted = (option) => only === undefined || only === option;
  if (wanted("--process")) measureInProcess({ section, row, program, build, scratch, has, isQuick });
  if (wanted()) await measureSmall();
  if (wanted("--media")) await measureMedia({ section, row, startServer, stop, cpuSeconds, isQuick });
  if (wanted("--stores")) {
    const { standIn, base } = await startStandIn();
    await measureStores({ section, row, start, stop, startServer, load, loadOn, freePort, untilListening, has, base, results, cores, seconds });
    await stop(standIn);
  }
  const missed = rows.filter(({ verdict }) => verdict === "MISSED");
  writeFileSync(path.join(build, "bench.json"), `${JSON.stringify({ machine: os.cpus()[0].model, cores, files, results, missed: missed.map(({ text }) => text) }, null, 2)}\n`);
  console.log(["", "| what | measured | target | |", "| --- | ---: | ---: | --- |", ...rows.map(({ text, value, bound, verdict }) => `| ${text} | ${value} | ${bound} | ${verdict} |`)].join("\n"));
  console.log(`\n${rows.length - missed.length} of ${rows.length} rows are within their targets or have none; ${build}/bench.json has the figures.`);
}

main().then(
  () => process.exit(0),
  (error) => {
    say(`bench: ${error.stack}`);
    process.exit(1);
  },
);
