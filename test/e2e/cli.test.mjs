// cli.test.mjs: imagine-server as a command: what it prints, what it refuses, where settings come from.
import assert from "node:assert/strict";
import net from "node:net";
import path from "node:path";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { listen, run, scratch, serverProgram, startServer } from "../support/harness.mjs";

const servers = [];
async function serverWith(options) {
  const server = await startServer(options);
  servers.push(server);
  return server;
}
after(() => Promise.all(servers.map((server) => server.stop())));

const command = (args, options) => run(serverProgram, args, { timeoutMs: 20000, ...options });
const names = ["PORT", "HOST", "API_TOKEN", "ADMIN_TOKEN", "ALLOWED_ORIGINS", "RATE_LIMIT", "CATALOGUE", "STATE_FILE", "TIMEOUT_IMAGE_MS", "POLL_INTERVAL_MS", "CA_FILE", "WEB_ROOT", "DRAIN_SECONDS", "LOG_FORMAT", "SAMPLE_PROVIDER", "ALLOW_PRIVATE_HOSTS", "TRUSTED_PROXIES", "MAX_BODY_BYTES"];

test("--help explains every option and setting, on stdout", async () => {
  const { code, stdout, stderr } = await command(["--help"]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  for (const option of ["--help", "--version", "--check", "--env-file", "--port", "--host"]) assert.ok(stdout.includes(option), option);
  for (const name of names) assert.ok(stdout.includes(name), name);
  assert.match(stdout, /_TOKENS/);
  for (const line of stdout.split("\n")) assert.ok(line.length <= 160, line);
});

test("--version is one line with the number of the API's health", async () => {
  const { code, stdout } = await command(["--version"]);
  assert.equal(code, 0);
  assert.match(stdout, /^.*\d+\.\d+\.\d+.*\n$/);
  const server = await serverWith({});
  const { version } = (await server.get("/api/health")).json;
  assert.ok(stdout.includes(version));
});

describe("--check", () => {
  const secrets = { API_TOKEN: "secret-api-1,secret-api-2", ADMIN_TOKEN: "secret-admin", GITEE_TOKENS: "secret-gitee@home", HUGGINGFACE_TOKENS: "secret-hf", MODELSCOPE_TOKENS: "secret-ms", ENCRYPTION_KEY: "secret-key" };

  test("says what it found, with every secret masked, and exit 0", async () => {
    const { code, stdout, stderr } = await command(["--check"], { env: { ...secrets, RATE_LIMIT: "77", STATE_FILE: ":memory:" } });
    assert.equal(code, 0, stderr);
    for (const name of [...Object.keys(secrets), "RATE_LIMIT"]) assert.ok(stdout.includes(name), `${name} in ${stdout}`);
    assert.match(stdout, /RATE_LIMIT\b.*77/);
    assert.ok(!/secret-/.test(stdout + stderr), stdout + stderr);
  });
  test("a setting that makes no sense: exit 1 and its name", async () => {
    const { code, stdout, stderr } = await command(["--check"], { env: { RATE_LIMIT: "many" } });
    assert.equal(code, 1);
    assert.match(stdout + stderr, /RATE_LIMIT/);
  });
  test("a broken catalogue: exit 1 and its name", async () => {
    const cwd = scratch();
    writeFileSync(path.join(cwd, "catalogue.json"), "{\"providers\": [");
    const { code, stdout, stderr } = await command(["--check"], { cwd, env: { CATALOGUE: "catalogue.json" } });
    assert.equal(code, 1, stdout);
    assert.match(stdout + stderr, /CATALOGUE/);
  });
  test("tokens of a provider that nobody knows: a warning, and exit 0", async () => {
    const { code, stderr } = await command(["--check"], { env: { GITE_TOKENS: "secret-gite", ACME_TOKENS: "secret-acme", STATE_FILE: ":memory:" } });
    assert.equal(code, 0, stderr);
    assert.match(stderr, / warn settings\.strange reason="GITE_TOKENS: no provider gite; did you mean GITEE_TOKENS\?"\n/);
    assert.match(stderr, /"ACME_TOKENS: no provider acme"\n/);
    assert.ok(!/secret-/.test(stderr), stderr);
  });
  test("says what can serve", async () => {
    const { stdout } = await command(["--check"], { env: { GITEE_TOKENS: "a,b", STATE_FILE: ":memory:" } });
    assert.match(stdout, /^gitee: 2 of 2 tokens can serve, \d+ models$/m);
    assert.match(stdout, /^modelscope: cannot serve, MODELSCOPE_TOKENS is not set, \d+ models$/m);
    assert.match(stdout, /^huggingface: can serve without a token, \d+ models$/m);
    assert.doesNotMatch(stdout, /^sample:/m);
  });
  test("a host that is none of ours: exit 1", async () => {
    const { code, stderr } = await command(["--check"], { env: { HOST: "192.0.2.1", STATE_FILE: ":memory:" } });
    assert.equal(code, 1);
    assert.match(stderr, /HOST/);
  });
  test("a default state file that cannot be kept: an error in the log, and exit 0", async () => {
    const cwd = scratch();
    writeFileSync(path.join(cwd, "S"), "a file");
    const { code, stderr } = await command(["--check"], { cwd, env: { STATE_DIRECTORY: path.join(cwd, "S") } });
    assert.equal(code, 0, stderr);
    assert.match(stderr, / error storage\.unusable reason=".*imagine\.db: a part of its path is no folder; /);
  });
  test("does not listen", async () => {
    const taken = net.createServer();
    const port = String(await listen(taken));
    const { code, stderr } = await command(["--check"], { env: { PORT: port, STATE_FILE: ":memory:" } });
    assert.equal(code, 0, stderr);
  });
});

describe("a setting that makes no sense stops the start with one line that names it", () => {
  const wrong = {
    PORT: "70000", RATE_LIMIT: "-1", RATE_LIMIT_STATUS: "x", MAX_BODY_BYTES: "0.5", MAX_CONNECTIONS: "0", MAX_IN_FLIGHT: "lots", DRAIN_SECONDS: "soon",
    LOG_FORMAT: "xml", LOG_LEVEL: "loud", SAMPLE_PROVIDER: "maybe", GITEE_API_BASE: "ftp://example.com", POLLINATIONS_API_BASE: "nowhere",
    TIMEOUT_IMAGE_MS: "-5", POLL_INTERVAL_MS: "0", TRUSTED_PROXIES: "300.1.2.3/99", GITEE_TOKENS: "two words", CATALOGUE: "/nowhere.json",
    CA_FILE: "/nowhere.pem", WEB_ROOT: "/nowhere", HOST: "no.such.host.invalid", STATE_FILE: "/dev/null/state.db",
  };
  for (const [name, value] of Object.entries(wrong))
    test(`${name}=${value}`, async () => {
      const { code, stdout, stderr } = await command([], { env: { PORT: "0", STATE_FILE: ":memory:", [name]: value } });
      assert.equal(code, 1, stdout + stderr);
      const lines = stderr.trimEnd().split("\n").filter((line) => line.includes(name));
      assert.equal(lines.length, 1, stderr);
      assert.ok(stderr.trimEnd().split("\n").length <= 2, stderr);
    });
  for (const [name, value, message] of [["TRUSTED_PROXIES", "abc", /addresses, networks/], ["STATE_FILE", "/", /STATE_FILE: \/: it is a folder/], ["CATALOGUE", "/nowhere.json", /CATALOGUE: \/nowhere\.json: there is no such file/], ["CATALOGUE", "/", /CATALOGUE: \/: it is a folder/]])
    test(`${name}=${value} says why`, async () => {
      const { code, stderr } = await command([], { env: { PORT: "0", STATE_FILE: ":memory:", [name]: value } });
      assert.equal(code, 1);
      assert.match(stderr, message);
    });
  test("a token is not told even then", async () => {
    const { stderr } = await command([], { env: { GITEE_TOKENS: "secret one" } });
    assert.ok(!stderr.includes("secret one"), stderr);
  });
});

describe("options", () => {
  for (const args of [["--nonsense"], ["--port"], ["--port", "x"], ["--port", "99999"], ["--env-file"], ["stray"]])
    test(`${args.join(" ")}: exit 1 or 2 and a line that helps`, async () => {
      const { code, stderr } = await command(args, { env: { STATE_FILE: ":memory:" } });
      assert.ok(code === 1 || code === 2, String(code));
      assert.ok(stderr.length > 10);
    });
  test("--port and --host win over the environment", async () => {
    const server = await serverWith({ args: ["--port", "0", "--host", "127.0.0.1"], env: { PORT: "1", HOST: "192.0.2.1" } });
    assert.equal((await server.get("/api/health")).status, 200);
  });
  test("an --env-file that is not there stops the start", async () => {
    const { code, stderr } = await command(["--env-file", "none.env"], { env: { STATE_FILE: ":memory:" } });
    assert.equal(code, 1);
    assert.match(stderr, /--env-file/);
  });
  test("a port that is taken stops the start, and is named", async () => {
    const taken = net.createServer();
    const port = String(await listen(taken));
    const { code, stderr } = await command([], { env: { PORT: port, STATE_FILE: ":memory:" } });
    assert.equal(code, 1, stderr);
    assert.ok(stderr.includes(port), stderr);
  });
});

describe("the line to paste at the start", () => {
  const hint = async (options) => {
    const server = await startServer(options);
    await server.stop();
    return server.log;
  };
  test("names the sample while it is there", async () => assert.match(await hint({}), /"model":"sample\/\w+"/));
  test("else the first model that can serve", async () => assert.match(await hint({ env: { MODELSCOPE_TOKENS: "a", HUGGINGFACE_TOKENS: "b" } }), /"model":"huggingface\/z-image"/));
  test("or says that there is none", async () => {
    const nothing = JSON.stringify({ providers: { sample: null, huggingface: null } });
    assert.match(await hint({ files: { "catalogue.json": nothing }, env: { CATALOGUE: "catalogue.json" } }), /set GITEE_TOKENS/);
  });
});

test("a provider that the catalogue removed is named nowhere", async () => {
  const server = await serverWith({ files: { "catalogue.json": JSON.stringify({ providers: { sample: null } }) }, env: { CATALOGUE: "catalogue.json" } });
  const answer = await server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a sea" });
  assert.equal(answer.status, 400);
  assert.match(answer.json.message, /^Provider 'sample' is not supported\. Available providers: gitee, (?!.*\bsample\b)/);
});

test("a sample that is hidden says how to have it", async () => {
  const server = await serverWith({ env: { GITEE_TOKENS: "a" } });
  const answer = await server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a sea" });
  assert.match(answer.json.message, /sample is off while other providers have tokens \(SAMPLE_PROVIDER=on\)$/);
});

// ---- where settings come from ------------------------------------------------------------------

/** The limit in force, as the API tells it. */
const limitOf = async (server) => (await server.get("/api/v1/task-status?taskId=x")).headers["x-ratelimit-limit"];

describe("the environment comes first, then --env-file, then .env.local, then .env", () => {
  const files = { ".env": "RATE_LIMIT_STATUS=1001\n", ".env.local": "RATE_LIMIT_STATUS=1002\n", "my.env": "RATE_LIMIT_STATUS=1003\n" };
  const pick = (...kept) => Object.fromEntries(kept.map((name) => [name, files[name]]));
  test(".env", async () => assert.equal(await limitOf(await serverWith({ files: pick(".env") })), "1001"));
  test(".env.local", async () => assert.equal(await limitOf(await serverWith({ files: pick(".env", ".env.local") })), "1002"));
  test("--env-file", async () => assert.equal(await limitOf(await serverWith({ files, args: ["--env-file", "my.env"] })), "1003"));
  test("the environment", async () => assert.equal(await limitOf(await serverWith({ files, args: ["--env-file", "my.env"], env: { RATE_LIMIT_STATUS: "1004" } })), "1004"));
});

test("a file of settings is read as a shell would", async () => {
  const text = ["# a comment", "", "export RATE_LIMIT_STATUS=\"2001\" # why", "API_TOKEN='one two'", "\tALLOWED_ORIGINS = https://page.example  ", "UNKNOWN_NAME=ignored", "MAX_IN_FLIGHT=5\r"].join("\n").replace("one two", "one-two");
  const server = await serverWith({ files: { ".env": text } });
  const answer = await server.get("/api/v1/task-status?taskId=x", { token: "one-two", headers: { Origin: "https://page.example" } });
  assert.equal(answer.status, 404, answer.text);
  assert.equal(answer.headers["x-ratelimit-limit"], "2001");
  assert.equal(answer.headers["access-control-allow-origin"], "https://page.example");
});

test("a line that makes no sense is named by file and number", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, ".env"), "RATE_LIMIT=5\nwhat is this\n");
  const { code, stderr } = await command([], { cwd, env: { PORT: "0", STATE_FILE: ":memory:" } });
  assert.equal(code, 1);
  assert.match(stderr, /\.env.*\b2\b/);
});

test("PORT=0 takes a free port and says which", async () => {
  const [a, b] = await Promise.all([serverWith({}), serverWith({})]);
  assert.notEqual(a.port, b.port);
  assert.match(a.log, new RegExp(`\\b${a.port}\\b`));
});

test("LOG_FORMAT=json: every line is an object with time, level and event", async () => {
  const server = await startServer({ env: { LOG_FORMAT: "json", LOG_LEVEL: "debug" } });
  await server.get("/api/v1/models?secret=query");
  await server.post("/api/v1/generate", { model: "sample/nebula", prompt: "a \"quoted\"\nprompt", width: 64, height: 64 });
  await server.stop();
  const lines = server.stderr.trimEnd().split("\n");
  assert.ok(lines.length >= 3);
  const requests = [];
  for (const line of lines) {
    const entry = JSON.parse(line);
    assert.match(entry.time ?? entry.ts ?? "", /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, line);
    assert.match(entry.level ?? "", /^(error|warn|info|debug|trace)$/, line);
    assert.equal(typeof entry.event, "string", line);
    if (entry.event === "request") requests.push(entry);
  }
  assert.equal(requests.length, 2);
  const made = requests.find((entry) => entry.path === "/api/v1/generate");
  for (const [name, value] of Object.entries({ method: "POST", action: "generate", provider: "sample", model: "sample/nebula" })) assert.equal(made[name], value);
  assert.equal(made.status, 200);
  assert.ok(Number.isInteger(made.ms) && made.ms >= 0);
});

test("one text line per request, with the id that the caller got", async () => {
  const server = await startServer({});
  const answer = await server.get("/api/v1/models?secret=query");
  await server.stop();
  const lines = server.log.split("\n").filter((line) => line.includes(answer.headers["x-request-id"]));
  assert.equal(lines.length, 1, server.log);
  assert.match(lines[0], /^\d{4}-\d\d-\d\dT[\d:.]+Z info request .*method=GET path=\/api\/v1\/models status=200 ms=\d+/);
  assert.ok(!server.log.includes("secret=query"));
});

test("where state is kept: $STATE_DIRECTORY, else $XDG_STATE_HOME, else below the home", async () => {
  for (const [env, place] of [[{ STATE_DIRECTORY: "S" }, "S/imagine.db"], [{ XDG_STATE_HOME: "X" }, "X/imagine/imagine.db"], [{}, ".local/state/imagine/imagine.db"]]) {
    const cwd = scratch();
    const full = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, path.join(cwd, value)]));
    for (const folder of Object.values(full)) mkdirSync(folder, { recursive: true });
    const { code, stdout } = await command(["--check"], { cwd, env: full });
    assert.equal(code, 0);
    assert.ok(stdout.includes(path.join(cwd, place)), stdout);
  }
});
