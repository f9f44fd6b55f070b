// media.mjs: what run.mjs measures of large answers, streams and jobs. The provider and the callers
// are this process; only the server's CPU time and memory count.
import http from "node:http";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { startS3 } from "../support/s3.mjs";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** A provider in OpenAI's form: pictures of b64=BYTES, texts of pieces=N every=MS size=BYTES. */
function startProvider() {
  const pictures = new Map();
  const world = { firstPieceAt: 0 };
  const picture = (size) => {
    if (!pictures.has(size)) pictures.set(size, Buffer.from(`{"created":1,"data":[{"b64_json":"${"iVBORw0KGgo".padEnd(size, "A")}"}]}`));
    return pictures.get(size);
  };
  const stream = async (response, count, everyMs, size) => {
    const event = `data: {"choices":[{"delta":{"content":"${"x".repeat(size)}"}}]}\n\n`;
    response.writeHead(200, { "content-type": "text/event-stream" });
    world.firstPieceAt = performance.now();
    for (let i = 0; i < count; i++) {
      if (!response.write(event)) await new Promise((resolve) => response.once("drain", resolve));
      if (everyMs > 0) await pause(everyMs);
    }
    response.end("data: [DONE]\n\n");
  };
  world.server = http.createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      const asked = (name, otherwise = 0) => Number(new RegExp(`${name}=(\\d+)`).exec(body)?.[1] ?? otherwise);
      if (asked("pieces") > 0) return void stream(response, asked("pieces"), asked("every"), asked("size", 20));
      const answer = picture(asked("b64", 100));
      setTimeout(() => {
        response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
        response.end(answer);
      }, asked("wait"));
    });
  });
  return new Promise((resolve) => world.server.listen(0, "127.0.0.1", () => resolve(world)));
}

/** One POST; the answer is counted, not kept. */
function post(agent, port, path, fields, headers = {}, onFirst = () => {}) {
  const body = JSON.stringify(fields);
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, port, path, host: "127.0.0.1", method: "POST", headers: { "content-type": "application/json", authorization: "Bearer bench", "content-length": body.length, ...headers } }, (response) => {
      let size = 0, head = "";
      response.on("data", (piece) => {
        if (size === 0) onFirst();
        size += piece.length;
        if (head.length < 300) head += piece.toString("latin1", 0, 300);
      });
      response.on("end", () => resolve({ status: response.statusCode, size, head }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function atOnce(count, total, start) {
  let begun = 0;
  const worker = async () => {
    while (begun++ < total) await start();
  };
  await Promise.all(Array.from({ length: count }, worker));
}

const status = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

/** Pictures of two sizes, 32 at once. `limit`: MiB of memory that so many bytes in flight may take. */
async function measurePictures({ row, cpuSeconds, isQuick }, { key, api, generate, limit, isHosted, forget }) {
  await atOnce(32, 64, async () => forget(await generate("b64=100")));
  await pause(500);
  const idle = status(api.pid, "VmRSS");
  for (const [name, size, total] of [["1.5 MB", 1500000, isQuick ? 160 : 640], ["8 MB", 8000000, isQuick ? 32 : 128]]) {
    writeFileSync(`/proc/${api.pid}/clear_refs`, "5"); // the peak begins anew
    const cpu = cpuSeconds(api.pid), began = performance.now();
    let bytes = 0, bad = 0;
    await atOnce(32, total, async () => {
      const answer = await generate(`b64=${size}`);
      bytes += isHosted ? size : answer.size;
      bad += answer.status !== 200 || (isHosted ? answer.size > 2000 : answer.size < size);
      forget(answer);
    });
    row(`${key}_${size}_bad`, `${name}: without a good answer`, bad, "", { max: 0 });
    row(`${key}_${size}_cpu_ms`, `${name}: CPU time an answer`, ((cpuSeconds(api.pid) - cpu) * 1000) / total, "ms", isHosted ? undefined : { max: size / 1500000 });
    row(`${key}_${size}_mb_s`, `${name}: through the server (this process reads and writes it, too)`, bytes / 1000 / (performance.now() - began), "MB/s");
    row(`${key}_${size}_peak_mib`, `${name}: peak over rest`, status(api.pid, "VmHWM") - idle, "MiB", { max: limit((32 * size) / 1024 / 1024) });
  }
  return idle;
}

const HOSTED_MIB = 32 * 0.25 + 2; // a window each, whatever the size, and what the allocator keeps

/** The same where results are hosted: in a folder, and in a bucket that this process plays. */
async function measureHosted(bench, base, agent) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "imagine-bench-media-"));
  const s3 = await startS3();
  const places = [
    { title: "a folder (MEDIA_DIR)", key: "folder", settings: { MEDIA_DIR: folder }, forget: ({ head }) => rmSync(path.join(folder, path.basename(JSON.parse(head).url)), { force: true }) },
    { title: "a bucket (S3_…, http: each body is hashed)", key: "bucket", settings: s3.settings, forget: () => s3.objects.clear() },
  ];
  try {
    for (const { title, key, settings, forget } of places) {
      bench.section(`The same into ${title}`);
      const api = await bench.startServer({ OPENAI_API_BASE: base, OPENAI_TOKENS: "one", ...settings });
      const generate = (prompt) => post(agent, api.port, "/api/v1/generate", { model: "openai/gpt-image-1.5", prompt });
      try {
        await measurePictures(bench, { key, api, generate, forget, isHosted: true, limit: () => HOSTED_MIB });
      } finally {
        await bench.stop(api.child);
      }
    }
  } finally {
    await s3.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function measureMedia(bench) {
  const { section, row, startServer, stop, cpuSeconds, isQuick } = bench;
  const provider = await startProvider();
  const base = `http://127.0.0.1:${provider.server.address().port}/v1`;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2000 });
  const api = await startServer({ OPENAI_API_BASE: base, OPENAI_TOKENS: "one", GITEE_API_BASE: base });
  const generate = (prompt, headers) => post(agent, api.port, "/api/v1/generate", { model: "openai/gpt-image-1.5", prompt }, headers);
  try {
    section("Pictures as base64 in JSON, 32 at once");
    const idle = await measurePictures(bench, { key: "b64", api, generate, limit: (inFlight) => 2 * inFlight, isHosted: false, forget: () => {} });
    await pause(10000);
    row("b64_rss_after", "resident memory 10 s after the burst, of that at rest", (status(api.pid, "VmRSS") / idle) * 100, "%", { max: 120 });
    await measureHosted(bench, base, agent);

    section("Streamed text");
    const text = (prompt, onFirst) => post(agent, api.port, "/api/v1/text", { model: "gitee/qwen-3", prompt, stream: true }, {}, onFirst);
    const firsts = [];
    for (let i = 0; i < 60; i++) {
      let at = 0;
      const answer = await text("pieces=2 every=1", () => (at = performance.now()));
      if (answer.status !== 200) throw new Error(`a stream was answered ${answer.status}: ${answer.head}`);
      if (i >= 10) firsts.push(at - provider.firstPieceAt);
    }
    row("stream_first_ms", "the first piece, after the provider's", median(firsts), "ms", { max: 1 });
    writeFileSync(`/proc/${api.pid}/clear_refs`, "5");
    const before = status(api.pid, "VmRSS"), began = performance.now(), cpu = cpuSeconds(api.pid);
    const answer = await text(`pieces=${isQuick ? 20000 : 60000} size=1000`);
    row("stream_mb_s", "pieces of 1 000 bytes", answer.size / 1000 / (performance.now() - began), "MB/s");
    row("stream_cpu_us", "CPU time a piece", ((cpuSeconds(api.pid) - cpu) * 1e6) / (isQuick ? 20000 : 60000), "µs");
    row("stream_peak_mib", "memory while it streams, over that before", status(api.pid, "VmHWM") - before, "MiB", { max: 4 });

    section("1 000 jobs in flight");
    await pause(500);
    const rest = status(api.pid, "VmRSS"), count = 1000;
    let accepted = 0;
    await atOnce(50, count, async () => {
      const { status: code } = await generate("b64=100 wait=6000", { prefer: "respond-async" });
      accepted += code === 202;
    });
    row("jobs_accepted", "accepted", accepted, "", { min: count });
    row("jobs_kib", "memory for each", ((status(api.pid, "VmRSS") - rest) * 1024) / count, "KiB", { max: 64 });
    await pause(7500);
    const metrics = await fetch(`http://127.0.0.1:${api.port}/metrics`, { headers: { authorization: "Bearer bench" } }).then((answer) => answer.text());
    row("jobs_left", "still processing after their time", Number(/^imagine_tasks\S*\s+(\d+)/m.exec(metrics)?.[1] ?? -1), "", { max: 0 });
  } finally {
    agent.destroy();
    await stop(api.child);
    provider.server.closeAllConnections();
    provider.server.close();
  }
}
