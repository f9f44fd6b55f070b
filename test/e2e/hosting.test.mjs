// hosting.test.mjs: results in a bucket and in a folder: what callers get, that everybody can read it,
// what happens when hosting fails, cleaning up. The bucket is test/support/s3.mjs, which checks every
// signature by itself; the AWS SDK, where npm can fetch it, is the judge of that.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { eventually, pause, run, scratch, startServer, startUpstream } from "../support/harness.mjs";
import { fetchPackages } from "../support/npm.mjs";
import { startS3 } from "../support/s3.mjs";

const KEY = /^uploads\/\d{8}\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.(png|jpg|webp)$/;
const PNG = Buffer.from("89504e470d0a1a0a", "hex");

let upstream;
const stops = [];
const stopped = (thing) => (stops.push(() => thing.stop()), thing);

const serverWith = async (env) =>
  stopped(await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "gitee-token", SAMPLE_PROVIDER: "on", RATE_LIMIT: "0", ALLOW_PRIVATE_HOSTS: "127.0.0.1", ...env } }));

/** A certificate for 127.0.0.1: {key, cert, file}. */
async function certificate() {
  const folder = scratch();
  const made = await run("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], { cwd: folder });
  assert.equal(made.code, 0, made.stderr);
  return { key: readFileSync(path.join(folder, "key.pem")), cert: readFileSync(path.join(folder, "cert.pem")), file: path.join(folder, "cert.pem") };
}

const sample = (server, more = {}) => server.post("/api/v1/generate", { model: "sample/any", prompt: "a cat", ...more });
const gitee = (server, more = {}) => server.post("/api/v1/generate", { model: "gitee/flux-2", prompt: "a cat", ...more });

before(async () => (upstream = stopped(await startUpstream())));
after(async () => {
  for (const stop of stops.reverse()) await stop();
});
beforeEach(() => upstream.reset());

for (const kind of ["http", "https"]) {
  describe(`a bucket over ${kind}`, () => {
    let s3, server, tls;
    before(async () => {
      tls = kind === "https" ? await certificate() : undefined;
      s3 = stopped(await startS3({ tls }));
      server = await serverWith({ ...s3.settings, ...(tls && { CA_FILE: tls.file }) });
    });
    beforeEach(() => {
      s3.objects.clear();
      s3.log.length = 0;
      s3.control = {};
    });
    const fetchLink = async (url) => {
      const answer = await run("curl", ["-q", "-sS", "--noproxy", "*", "-o", "-", "-w", "%{stderr}%{http_code}", ...(tls ? ["--cacert", tls.file] : []), url]);
      return { status: Number(answer.stderr), body: answer.stdoutBytes };
    };

    test("a picture inside the answer becomes an object with a link for a day", async () => {
      const answer = await sample(server);
      assert.equal(answer.status, 200, answer.text);
      const [[key, object]] = s3.objects;
      assert.match(key, KEY);
      assert.equal(object.type, "image/png");
      assert.ok(answer.json.url.startsWith(`${s3.endpoint}/${s3.bucket}/${key}?`), answer.json.url);
      assert.equal(answer.json.type, undefined);
      const got = await fetchLink(answer.json.url);
      assert.equal(got.status, 200);
      assert.deepEqual(got.body, object.body);
      assert.deepEqual(got.body.subarray(0, 8), PNG);
      const born = Date.now();
      s3.control.now = () => born + 24 * 3600 * 1000 - 60000;
      assert.equal((await fetchLink(answer.json.url)).status, 200);
      s3.control.now = () => born + 24 * 3600 * 1000 + 60000;
      assert.equal((await fetchLink(answer.json.url)).status, 403);
      assert.equal((await fetchLink(answer.json.url.replace(/.$/, (c) => (c === "0" ? "1" : "0")))).status, 403);
    });

    test("a picture behind an address is copied", async () => {
      const answer = await gitee(server);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(s3.objects.size, 1);
      assert.match([...s3.objects.keys()][0], KEY);
      assert.ok(answer.json.url.startsWith(s3.endpoint));
    });

    test("a result behind an address that is not public is not fetched, and stays as it is", async () => {
      const strict = await serverWith({ ...s3.settings, ALLOW_PRIVATE_HOSTS: "", ...(tls && { CA_FILE: tls.file }) });
      const answer = await gitee(strict);
      assert.equal(answer.status, 200, answer.text);
      assert.ok(answer.json.url.startsWith(upstream.origin), answer.json.url);
      assert.equal(s3.objects.size, 0);
      await eventually("the log says so", () => /hosting\.failed/.test(strict.stderr));
    });

    test("response_format b64_json gives a data: address and leaves the bucket alone", async () => {
      for (const make of [sample, gitee]) {
        const answer = await make(server, { response_format: "b64_json" });
        assert.equal(answer.status, 200, answer.text);
        assert.match(answer.json.url ?? answer.json.b64_json, /^data:image\//);
      }
      assert.equal(s3.objects.size, 0);
    });

    test("response_format url gives an address", async () => {
      const answer = await sample(server, { response_format: "url" });
      assert.ok(answer.json.url.startsWith(s3.endpoint), answer.text.slice(0, 200));
    });

    test("one failure of the bucket is overcome, two keep the provider's own result", async () => {
      s3.control = { fail: 503, failCount: 1 };
      assert.ok((await sample(server)).json.url.startsWith(s3.endpoint));
      s3.control = { fail: 503, failCount: 2 };
      const answer = await sample(server);
      assert.equal(answer.status, 200);
      assert.match(answer.json.url, /^data:image\/png;base64,/);
      await eventually("the log says so", () => /hosting\.failed .*503 InternalError/.test(server.stderr));
    });

    test("cleaning up goes over pages and stays inside uploads/", async () => {
      const object = (modified) => ({ body: Buffer.from("x"), type: "image/png", modified: new Date(modified) });
      for (let i = 0; i < 2500; i++) s3.objects.set(`uploads/20260107/${String(i).padStart(5, "0")} & <ä>.png`, object("2026-01-07T12:00:00Z"));
      s3.objects.set("uploads/20260106/before.png", object("2026-01-06T23:59:59Z"));
      s3.objects.set("uploads/20260109/after.png", object("2026-01-09T00:00:01Z"));
      s3.objects.set("elsewhere/mine.png", object("2026-01-07T12:00:00Z"));
      const answer = await server.request("DELETE", "/api/v1/storage/cleanup?startDate=2026-01-07&endDate=2026-01-09T00:00:00Z");
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.json, { status: "success", deletedCount: 2500 });
      assert.deepEqual([...s3.objects.keys()].sort(), ["elsewhere/mine.png", "uploads/20260106/before.png", "uploads/20260109/after.png"]);
      assert.deepEqual(s3.log.filter((entry) => entry.code !== ""), []);
    });

    test("a clean-up that fails says why", async () => {
      s3.control = { fail: 500, failCount: 1 };
      const answer = await server.request("DELETE", "/api/v1/storage/cleanup");
      assert.equal(answer.status, 502, answer.text);
      assert.match(answer.json.message, /500 InternalError/);
      assert.equal((await server.request("DELETE", "/api/v1/storage/cleanup?startDate=yesterday")).status, 400);
    });

    test("the secret stands nowhere in the log", () => assert.ok(!server.log.includes(s3.credentials.secretAccessKey)));
  });
}

test("a CDN's address stands in front of the object", async () => {
  const s3 = stopped(await startS3());
  const server = await serverWith({ ...s3.settings, S3_CDN_URL: "https://cdn.example/pictures/" });
  const { url } = (await sample(server)).json;
  assert.equal(url, `https://cdn.example/pictures/${[...s3.objects.keys()][0]}`);
});

test("a bucket that is away costs no result", async () => {
  const s3 = await startS3();
  await s3.stop();
  const server = await serverWith(s3.settings);
  const answer = await gitee(server);
  assert.equal(answer.status, 200, answer.text);
  assert.ok(answer.json.url.startsWith(upstream.origin));
  await eventually("the log says so", () => /hosting\.failed .*refused/.test(server.stderr));
});

test("half a configuration stops the start with a line that names it", async () => {
  const { code, stderr } = await run(path.resolve(process.env.BUILD ?? "build", "imagine-server"), ["--check"], { env: { S3_ENDPOINT: "https://s3.test", STATE_FILE: ":memory:" } });
  assert.equal(code, 1);
  assert.match(stderr, /S3_ENDPOINT.*S3_BUCKET_NAME/);
});

test("without hosting there is nothing to clean up", async () => {
  const server = await serverWith({});
  const answer = await server.request("DELETE", "/api/v1/storage/cleanup");
  assert.equal(answer.status, 400);
  assert.equal(answer.json.error, "S3 service is not enabled");
  assert.match((await sample(server, { response_format: "url" })).json.url, /^data:/);
  assert.match((await gitee(server, { response_format: "b64_json" })).json.url, /^data:image\//);
});

// ---- a folder ----------------------------------------------------------------------------------

describe("a folder", () => {
  let server, folder;
  before(async () => {
    folder = path.join(scratch(), "media");
    server = await serverWith({ MEDIA_DIR: folder });
  });

  test("a result is served under a name that nobody can guess", async () => {
    for (const make of [sample, gitee]) {
      const { url } = (await make(server)).json;
      assert.match(url, /^\/media\/[0-9a-f]{32}\.(png|jpg|webp)$/);
      const answer = await server.get(url);
      assert.equal(answer.status, 200);
      assert.match(answer.headers["content-type"], /^image\/(png|jpeg|webp)$/);
      assert.equal(answer.headers["x-content-type-options"], "nosniff");
      assert.deepEqual(answer.body, readFileSync(path.join(folder, path.basename(url))));
    }
  });

  test("with PUBLIC_URL it is a whole address", async () => {
    const other = await serverWith({ MEDIA_DIR: folder, PUBLIC_URL: "https://pictures.example/" });
    assert.match((await sample(other)).json.url, /^https:\/\/pictures\.example\/media\/[0-9a-f]{32}\.png$/);
  });

  test("ranges, HEAD, and what is not there", async () => {
    const { url } = (await sample(server)).json;
    const whole = (await server.get(url)).body;
    const head = await server.request("HEAD", url);
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-length"], String(whole.length));
    for (const [range, from, to] of [["0-0", 0, 1], ["1-4", 1, 5], ["5-", 5, whole.length], ["-7", whole.length - 7, whole.length], [`3-${whole.length + 9}`, 3, whole.length]]) {
      const part = await server.get(url, { headers: { Range: `bytes=${range}` } });
      assert.equal(part.status, 206, range);
      assert.equal(part.headers["content-range"], `bytes ${from}-${to - 1}/${whole.length}`);
      assert.deepEqual(part.body, whole.subarray(from, to));
    }
    assert.equal((await server.get(url, { headers: { Range: `bytes=${whole.length}-` } })).status, 416);
    assert.equal((await server.get("/media/0123456789abcdef0123456789abcdef.png")).status, 404);
    assert.equal((await server.get(url.replace(".png", ".mp4"))).status, 404);
    assert.equal((await server.get("/media/..%2f..%2fetc%2fpasswd")).status, 404);
    assert.equal((await server.post(url, {})).status, 405);
  });

  test("after a day it is not there any more, and cleaned up", async () => {
    const { url } = (await sample(server)).json;
    const file = path.join(folder, path.basename(url)), old = Date.now() / 1000 - 24 * 3600 - 60;
    utimesSync(file, old, old);
    assert.equal((await server.get(url)).status, 404);
    const next = await serverWith({ MEDIA_DIR: folder }); // a start sweeps
    await eventually("the file is gone", () => !readdirSync(folder).includes(path.basename(url)));
    assert.ok(readdirSync(folder).length > 0);
    const answer = await next.request("DELETE", "/api/v1/storage/cleanup");
    assert.equal(answer.json.status, "success", answer.text);
    assert.ok(answer.json.deletedCount > 0);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("a slow reader of a large file costs one piece of memory and gets all of it", async () => {
    const name = "00000000000000000000000000000001.mp4", size = 40 * 1024 * 1024;
    writeFileSync(path.join(folder, name), randomBytes(size));
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]) * 1024;
    const before = rss();
    const response = await fetch(`${server.origin}/media/${name}`);
    assert.equal(response.headers.get("content-length"), String(size));
    await pause(300);
    const during = rss();
    const body = Buffer.from(await response.arrayBuffer());
    assert.ok(body.equals(readFileSync(path.join(folder, name))));
    assert.ok(during - before < 8 * 1024 * 1024, `${during - before} bytes more`);
  });
});

// ---- large pictures inside JSON ----------------------------------------------------------------

/** A provider in OpenAI's form: every answer holds one picture of 8 MB of letters. */
async function startLargeProvider() {
  const picture = Buffer.concat([PNG, randomBytes(6000000)]);
  const answer = Buffer.from(JSON.stringify({ created: 1, data: [{ b64_json: picture.toString("base64"), revised_prompt: "a cat" }] }));
  const server = http.createServer((request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
      response.end(answer);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  stops.push(() => (server.closeAllConnections(), server.close()));
  return { picture, settings: { OPENAI_API_BASE: `http://127.0.0.1:${server.address().port}/v1`, OPENAI_TOKENS: "one" } };
}

const status = (server, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]) * 1024;

describe("8 MB of base64 inside JSON", () => {
  let provider, s3;
  const large = (server) => server.post("/api/v1/generate", { model: "openai/gpt-image-1.5", prompt: "a cat" });
  before(async () => {
    provider = await startLargeProvider();
    s3 = stopped(await startS3());
  });
  beforeEach(() => {
    s3.objects.clear();
    s3.control = {};
  });

  for (const place of ["a bucket", "a folder"]) {
    test(`goes to ${place} byte by byte, 32 of them at once in 32 windows of memory`, async () => {
      const folder = path.join(scratch(), "media");
      const server = await serverWith({ ...provider.settings, ...(place === "a bucket" ? s3.settings : { MEDIA_DIR: folder }) });
      const first = await large(server);
      assert.equal(first.status, 200, first.text.slice(0, 200));
      if (place === "a bucket") assert.ok([...s3.objects.values()][0].body.equals(provider.picture));
      else assert.ok((await server.get(first.json.url)).body.equals(provider.picture));
      await pause(300);
      const rest = status(server, "VmRSS");
      writeFileSync(`/proc/${server.pid}/clear_refs`, "5"); // the peak begins anew
      const answers = await Promise.all(Array.from({ length: 32 }, () => large(server)));
      const peak = status(server, "VmHWM") - rest;
      for (const answer of answers) assert.match(answer.json.url ?? answer.text.slice(0, 200), place === "a bucket" ? /^http/ : /^\/media\//);
      if (place === "a bucket") for (const { body } of s3.objects.values()) assert.ok(body.equals(provider.picture));
      else for (const name of readdirSync(folder)) assert.ok(readFileSync(path.join(folder, name)).equals(provider.picture));
      assert.equal(place === "a bucket" ? s3.objects.size : readdirSync(folder).length, 33);
      assert.ok(peak < 32 * 256 * 1024 + 4 * 1024 * 1024, `${peak} bytes more`);
    });
  }

  test("comes as it is when the bucket fails, and leaves no file open", async () => {
    const server = await serverWith({ ...provider.settings, ...s3.settings });
    s3.control = { fail: 500, failCount: 2 };
    const answer = await large(server);
    assert.equal(answer.status, 200, answer.text.slice(0, 200));
    assert.equal(answer.json.url, `data:image/png;base64,${provider.picture.toString("base64")}`);
    await eventually("the log says so", () => /hosting\.failed/.test(server.stderr));
    const files = readdirSync(`/proc/${server.pid}/fd`).filter((fd) => {
      try {
        return / \(deleted\)$/.test(readlinkSync(`/proc/${server.pid}/fd/${fd}`));
      } catch {
        return false; // closed meanwhile
      }
    });
    assert.deepEqual(files, []);
  });

  test("survives a temporary directory that does not exist", async () => {
    const server = await serverWith({ ...provider.settings, ...s3.settings, TMPDIR: "/proc/nowhere" });
    const answer = await large(server);
    assert.ok(answer.json.url.startsWith(s3.endpoint), answer.text.slice(0, 200));
    assert.ok([...s3.objects.values()][0].body.equals(provider.picture));
  });
});

test("a folder that cannot be made stops the start", async () => {
  const { code, stderr } = await run(path.resolve(process.env.BUILD ?? "build", "imagine-server"), ["--check"], { env: { MEDIA_DIR: "/proc/nowhere", STATE_FILE: ":memory:" } });
  assert.equal(code, 1);
  assert.match(stderr, /MEDIA_DIR/);
});

// ---- the judge ---------------------------------------------------------------------------------

test("the AWS SDK and our stand-in understand each other", async (t) => {
  const require = await fetchPackages("@aws-sdk/client-s3", "@aws-sdk/s3-request-presigner");
  if (!require) return t.skip("npm cannot fetch the AWS SDK here");
  const { S3Client, PutObjectCommand, ListObjectsV2Command, DeleteObjectsCommand, GetObjectCommand } = require("@aws-sdk/client-s3");
  const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
  const s3 = stopped(await startS3());
  const client = new S3Client({ endpoint: s3.endpoint, region: "auto", forcePathStyle: true, credentials: s3.credentials, requestChecksumCalculation: "WHEN_REQUIRED", responseChecksumValidation: "WHEN_REQUIRED" });
  const Bucket = s3.bucket;
  await client.send(new PutObjectCommand({ Bucket, Key: "uploads/20260107/a & b.png", Body: PNG, ContentType: "image/png" }));
  assert.deepEqual(s3.objects.get("uploads/20260107/a & b.png").body, PNG);
  const signed = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "uploads/20260107/a & b.png" }), { expiresIn: 60 });
  const response = await fetch(signed);
  assert.equal(response.status, 200, await response.clone().text());
  await assert.rejects(new S3Client({ endpoint: s3.endpoint, region: "auto", forcePathStyle: true, credentials: { ...s3.credentials, secretAccessKey: "wrong" } }).send(new ListObjectsV2Command({ Bucket })), /SignatureDoesNotMatch/);
  const server = await serverWith(s3.settings); // and what ours writes, the SDK reads
  const { url } = (await sample(server)).json;
  const listed = await client.send(new ListObjectsV2Command({ Bucket, Prefix: "uploads/" }));
  assert.equal(listed.Contents.length, 2);
  const ours = listed.Contents.find(({ Key }) => url.includes(Key));
  const got = await client.send(new GetObjectCommand({ Bucket, Key: ours.Key }));
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()).subarray(0, 8), PNG);
  await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: listed.Contents.map(({ Key }) => ({ Key })) } }));
  assert.equal(s3.objects.size, 0);
});
