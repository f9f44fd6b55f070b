// static.test.mjs: the page that comes with us, and files of one's own under WEB_ROOT.
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { curl, scratch, startServer } from "../support/harness.mjs";

const navigation = { Accept: "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate" };
const servers = [];
async function serverWith(env) {
  const server = await startServer({ env });
  servers.push(server);
  return server;
}
after(() => Promise.all(servers.map((server) => server.stop())));

describe("the page that comes with us", () => {
  let server;
  before(async () => (server = await serverWith({})));

  test("is there, whatever the working directory is", async () => {
    const answer = await server.get("/", { headers: navigation });
    assert.equal(answer.status, 200);
    assert.match(answer.headers["content-type"], /^text\/html; charset=utf-8/i);
    assert.match(answer.text, /<!doctype html>/i);
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
    assert.equal(answer.headers["x-frame-options"], "DENY");
    assert.equal(Number(answer.headers["content-length"]), answer.body.length);
  });

  test("needs nothing from other hosts", async () => {
    const { text } = await server.get("/");
    for (const [, address] of text.matchAll(/(?:src|href)\s*=\s*["'](https?:\/\/[^"']+)/g)) assert.fail(`it loads ${address}`);
    for (const [, address] of text.matchAll(/(?:src|href)\s*=\s*["']\/?([\w./-]+\.(?:js|css|svg|png|ico))["']/g)) assert.equal((await server.get(`/${address}`)).status, 200, address);
  });

  test("is sent again only when it changed", async () => {
    const first = await server.get("/");
    const tag = first.headers.etag;
    assert.match(tag, /^(W\/)?"[^"]+"$/);
    for (const value of [tag, `"other", ${tag}`, `W/${tag.replace(/^W\//, "")}`, "*"]) {
      const answer = await server.get("/", { headers: { "If-None-Match": value } });
      assert.equal(answer.status, 304, value);
      assert.equal(answer.body.length, 0);
      assert.equal(answer.headers.etag, tag);
    }
    const changed = await server.get("/", { headers: { "If-None-Match": "\"other\"" } });
    assert.equal(changed.status, 200);
    assert.deepEqual(changed.body, first.body);
  });

  test("HEAD tells its size", async () => {
    const answer = await server.request("HEAD", "/");
    assert.equal(answer.status, 200);
    assert.equal(Number(answer.headers["content-length"]), (await server.get("/")).body.length);
  });

  test("is what a browser gets for a place of its own, and nobody else", async () => {
    const page = (await server.get("/")).text;
    assert.equal((await server.get("/gallery/42", { headers: navigation })).text, page);
    assert.equal((await server.get("/gallery/42")).status, 404);
    assert.equal((await server.get("/missing.js", { headers: { Accept: "*/*", "Sec-Fetch-Mode": "no-cors" } })).status, 404);
    assert.equal((await server.get("/api/nothing", { headers: navigation })).status, 404);
    assert.equal((await server.get("/api", { headers: navigation })).status, 404);
  });

  test("takes no other method", async () => {
    const answer = await server.post("/", { a: 1 });
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.allow, "GET, HEAD");
  });

  test("needs no token where the API needs one", async () => {
    const closed = await serverWith({ API_TOKEN: "t" });
    assert.equal((await closed.get("/", { headers: navigation })).status, 200);
    assert.equal((await closed.get("/api/v1/models")).status, 401);
  });
});

describe("WEB_ROOT", () => {
  let server;
  const files = {
    "index.html": ["<!doctype html><title>mine</title>", "text/html"],
    "app.js": ["console.log(1)", "text/javascript"],
    "style.css": ["a{}", "text/css"],
    "data.json": ["{}", "application/json"],
    "logo.svg": ["<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"],
    "deep/er/file.txt": ["text", "text/plain"],
    "with space.txt": ["blank", "text/plain"],
    "ümlaut.txt": ["umlaut", "text/plain"],
    "empty.txt": ["", "text/plain"],
    "unknown.xyz": ["?", "application/octet-stream"],
  };
  before(async () => {
    const folder = scratch();
    const outside = scratch();
    writeFileSync(path.join(outside, "secret.txt"), "outside");
    for (const [name, [text]] of Object.entries({ ...files, ".hidden": ["hidden"], ".git/config": ["hidden"] })) {
      mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      writeFileSync(path.join(folder, name), text);
    }
    symlinkSync(path.join(outside, "secret.txt"), path.join(folder, "link.txt"));
    symlinkSync(outside, path.join(folder, "linked"));
    server = await serverWith({ WEB_ROOT: folder });
  });

  for (const [name, [text, type]] of Object.entries(files))
    test(`serves ${name} as ${type}`, async () => {
      const answer = await server.get(`/${name.split("/").map(encodeURIComponent).join("/")}`);
      assert.equal(answer.status, 200);
      assert.equal(answer.text, text);
      assert.ok(answer.headers["content-type"].startsWith(type), answer.headers["content-type"]);
    });

  for (const place of ["/.hidden", "/.git/config", "/link.txt", "/linked/secret.txt", "/deep/er", "/%00", "/app.js%00.html", "/..%2f..%2fetc%2fpasswd", "/%ff", "/deep/../../etc/passwd", "//etc/passwd", "/%zz"])
    test(`does not serve ${place}`, async () => {
      const answer = await curl(["--path-as-is", `${server.origin}${place}`]);
      assert.ok([400, 404].includes(answer.status), `${answer.status}: ${answer.text}`);
    });
});

test("a WEB_ROOT that is not there stops the start, and is named", async () => {
  await assert.rejects(startServer({ env: { WEB_ROOT: "/nowhere/at/all" } }), /WEB_ROOT/);
});
