// media.test.mjs: pictures that callers name by address: what is fetched, what is refused, and that
// nothing behind our walls can be reached through us.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { listen, startServer, startUpstream, tinyPng, tinyPngUrl } from "../support/harness.mjs";

let upstream;
let strict; // allows nothing private
let open; // allows the stand-in's own address, and nothing else
const servers = [];

async function serverWith(env) {
  const server = await startServer({ env: { ...upstream.settings, GITEE_TOKENS: "gitee-token", HUGGINGFACE_TOKENS: "hf-token", RATE_LIMIT: "0", ...env } });
  servers.push(server);
  return server;
}

before(async () => {
  upstream = await startUpstream();
  [strict, open] = await Promise.all([serverWith({}), serverWith({ ALLOW_PRIVATE_HOSTS: "127.0.0.1" })]);
});
after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await upstream?.stop();
});
beforeEach(() => upstream.reset());

const upscale = (server, imageUrl) => server.post("/api/v1/upscaler", { model: "huggingface/realesrgan", imageUrl });
const edit = (server, image) => server.post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red", image });

/** 400, a message that helps, no provider asked, no token or breaker touched. */
async function assertRefused(answer, code, message) {
  assert.equal(answer.status, 400, answer.text);
  assert.equal(answer.json.code, code, answer.text);
  assert.match(answer.json.message, message);
  const asked = (await upstream.log()).filter((entry) => /\/(gitee|space)\//.test(entry.path));
  assert.deepEqual(asked, [], "a provider was asked");
}

// ---- the guard ---------------------------------------------------------------------------------

/** Listens on this machine and counts who connects. */
async function trap() {
  let count = 0;
  const server = net.createServer((socket) => {
    count++;
    socket.destroy();
  });
  return { port: await listen(server), count: () => count };
}

describe("addresses behind our walls are refused, and nothing connects to them", () => {
  let bait;
  before(async () => (bait = await trap()));
  const hosts = [
    "127.0.0.1", "127.1", "127.0.0.254", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "[fe80::1]", "[fc00::1]", "[ff02::1]",
  ];
  for (const host of hosts)
    test(host, async () => {
      const answer = await upscale(strict, `http://${host}:${bait.port}/a.png`);
      await assertRefused(answer, "IMAGINE_EADDRESS", /\S/);
    });
  test("localhost.", async () => assert.equal((await upscale(strict, `http://localhost.:${bait.port}/a.png`)).status, 400));
  test("nothing was connected to", () => assert.equal(bait.count(), 0));
});

describe("addresses that are none", () => {
  for (const address of ["ftp://example.com/a.png", "file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)", "//example.com/a.png", "/etc/passwd", "http://", "http://user:password@example.com/a.png", "http://exa mple.com/", "http://example.com:99999/", "", "data:text/html;base64,PGI+", "data:image/png,plain"])
    test(JSON.stringify(address), async () => {
      const answer = await edit(strict, address);
      assert.equal(answer.status, 400, answer.text);
      assert.ok(["IMAGINE_EADDRESS", "IMAGINE_EPICTURE", "IMAGINE_EINVAL"].includes(answer.json.code), answer.text);
      assert.ok(!answer.text.includes("password@"));
    });
});

test("a redirect into a private address is refused on the way", async () => {
  const bait = await trap();
  for (const to of [`http://[::1]:${bait.port}/a.png`, `http://127.0.0.2:${bait.port}/a.png`, "http://169.254.169.254/latest/meta-data"]) {
    const answer = await upscale(open, `${upstream.origin}/redirect/2?to=${encodeURIComponent(to)}`);
    await assertRefused(answer, "IMAGINE_EADDRESS", /\S/);
  }
  assert.equal(bait.count(), 0);
});

test("a redirect to another scheme is refused", async () => {
  for (const to of ["file:///etc/passwd", "ftp://127.0.0.1/a.png"]) assert.equal((await upscale(open, `${upstream.origin}/redirect/1?to=${encodeURIComponent(to)}`)).status, 400);
});

test("ALLOW_PRIVATE_HOSTS=* opens all, for those who want it", async () => {
  const server = await serverWith({ ALLOW_PRIVATE_HOSTS: "*" });
  const answer = await upscale(server, `http://localhost:${upstream.httpPort}/files/picture.png`);
  assert.equal(answer.status, 200, answer.text);
});

test("a name in ALLOW_PRIVATE_HOSTS opens that name only", async () => {
  const server = await serverWith({ ALLOW_PRIVATE_HOSTS: "localhost" });
  assert.equal((await upscale(server, `http://localhost:${upstream.httpPort}/files/picture.png`)).status, 200);
  assert.equal((await upscale(server, `http://127.0.0.1:${upstream.httpPort}/files/picture.png`)).status, 400);
});

// ---- what is fetched ---------------------------------------------------------------------------

for (const name of ["picture.png", "picture.jpg", "picture.webp"])
  test(`${name} is fetched, checked and handed on`, async () => {
    const answer = await edit(open, `${upstream.origin}/files/${name}`);
    assert.equal(answer.status, 200, answer.text);
    const [fetched, sent] = await upstream.log();
    assert.equal(fetched.path, `/files/${name}`);
    assert.equal(fetched.token, null, "a stranger's host got our token");
    assert.equal(sent.parts.find((part) => part.name === "image").type, { png: "image/png", jpg: "image/jpeg", webp: "image/webp" }[name.split(".")[1]]);
  });

test("redirects to the picture are followed", async () => {
  const answer = await edit(open, `${upstream.origin}/redirect/3`);
  assert.equal(answer.status, 200, answer.text);
});

test("a data: URL needs no fetching", async () => {
  for (const url of [tinyPngUrl, tinyPngUrl.replace("data:image/png;base64", "Data:IMAGE/PNG;BASE64")]) {
    const answer = await edit(strict, url);
    assert.equal(answer.status, 200, answer.text);
  }
  for (const entry of await upstream.log()) assert.equal(entry.parts.find((part) => part.name === "image").size, tinyPng.length);
});

const wrong = [
  ["wrong content", () => `${upstream.origin}/files/wrong.png`, /picture|image/i],
  ["a page", () => `${upstream.origin}/files/page.html`, /picture|image/i],
  ["nothing at all", () => `${upstream.origin}/files/empty.png`, /picture|image|empty/i],
  ["a picture that is not there", () => `${upstream.origin}/files/none.png`, /404/],
  ["redirects without end", () => `${upstream.origin}/loop`, /redirect/i],
  ["more than 50 MiB", () => `${upstream.origin}/files/big.png?size=${50 * 1024 * 1024 + 1}`, /large|50 MiB|size/i],
  ["data that is no picture", () => `data:image/png;base64,${Buffer.from("no picture at all").toString("base64")}`, /picture|image/i],
];
for (const [name, address, message] of wrong)
  test(`${name}: 400 with the reason`, async () => assertRefused(await upscale(open, address()), "IMAGINE_EPICTURE", message));

test("a host that is not there or says nothing: 400, and soon", async () => {
  const silent = await listen(net.createServer(() => {}));
  const server = await serverWith({ ALLOW_PRIVATE_HOSTS: "127.0.0.1", TIMEOUT_DOWNLOAD_MS: "1500" });
  for (const port of [9, silent]) {
    const began = performance.now();
    const answer = await upscale(server, `http://127.0.0.1:${port}/a.png`);
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.json.code, "IMAGINE_EPICTURE");
    assert.ok(performance.now() - began < 6000);
  }
});

test("a stranger's bad pictures do not open the breaker", async () => {
  for (let i = 0; i < 7; i++) assert.equal((await upscale(open, `${upstream.origin}/files/none.png`)).status, 400);
  assert.equal((await upscale(open, tinyPngUrl)).status, 200);
});

test("the host of a picture gets no more than it needs", async () => {
  const seen = [];
  const host = http.createServer((request, response) => {
    seen.push(request.headers);
    response.writeHead(200, { "content-type": "image/png" });
    response.end(tinyPng);
  });
  const port = await listen(host);
  const answer = await open.post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red", image: `http://127.0.0.1:${port}/a.png` }, { headers: { Authorization: "Bearer callers-secret", Cookie: "callers=cookie" } });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(seen.length, 1);
  for (const name of ["authorization", "cookie", "referer", "x-forwarded-for"]) assert.equal(seen[0][name], undefined);
});

test("too many pictures are refused", async () => {
  const answer = await open.post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red", image: Array(17).fill(tinyPngUrl) });
  assert.equal(answer.status, 400, answer.text);
  assert.equal((await open.post("/api/v1/edit", { model: "gitee/qwen-image-edit", prompt: "red", image: Array(16).fill(tinyPngUrl) })).status, 200);
});
