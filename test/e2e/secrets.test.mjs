// secrets.test.mjs: no configured secret, no prompt, no query and no body in anything that leaves the
// process but for the wire to their provider: logs at the most detailed level, answers, and what any
// of the storages holds, sealed tokens of unfinished jobs included.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, raw, run, serverProgram, startServer, startUpstream, tinyPngUrl } from "../support/harness.mjs";
import { startReceiver } from "../support/receiver.mjs";
import { storages } from "../support/storages.mjs";

const secrets = {
  API_TOKEN: "apiSECRETone,apiSECRETtwo",
  ADMIN_TOKEN: "adminSECRETone",
  GITEE_TOKENS: "giteeSECRETone,badGiteeSECRETtwo,giteeSECRETthree@home",
  HUGGINGFACE_TOKENS: "hfSECRETone",
  MODELSCOPE_TOKENS: "msSECRETone",
  ENCRYPTION_KEY: "keySECRETone",
  WEBHOOK_SECRET: "hookSECRETone",
};
/** Everything of the caller's that is nobody's business. */
const privacy = ["promptSECRET", "querySECRET", "negativeSECRET", "headerSECRET", "fileSECRET"];
const configured = Object.values(secrets).flatMap((list) => list.split(",")).map((token) => token.replace(/@.*/, ""));
const words = [...configured, ...privacy];

for (const [name, open] of Object.entries(storages))
  describe(`with ${name}`, { timeout: 120000 }, () => {
    let upstream, server, storage, receiver;
    const answers = [], dumps = [], stops = [];
    const stopped = (thing) => (stops.push(() => thing.stop()), thing);

    before(async () => {
      upstream = stopped(await startUpstream());
      receiver = stopped(await startReceiver({ secret: secrets.WEBHOOK_SECRET }));
      storage = await open(stopped);
      server = stopped(await startServer({
        env: { ...upstream.settings, ...secrets, LOG_LEVEL: "trace", RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", ALLOW_PRIVATE_HOSTS: "127.0.0.1", TIMEOUT_IMAGE_MS: "2000", DRAIN_SECONDS: "1", ...storage.settings },
      }));
    });
    after(async () => {
      for (const stop of stops.reverse()) await stop();
    });

    async function ask(method, where, json, options) {
      const answer = await server.request(method, where, { json, token: "adminSECRETone", ...options });
      answers.push(`${method} ${where}: ${JSON.stringify(answer.headers)} ${answer.text}`);
      return answer;
    }
    const make = (json, options) => ask("POST", "/api/v1/generate?q=querySECRET", { model: "gitee/z-image-turbo", prompt: "promptSECRET", negativePrompt: "negativeSECRET", ...json }, { token: "apiSECRETone", ...options });

    /** Everything that a provider could send back in an attempt to make us talk. */
    const echo = (status) => ({ do: "answer", status, body: { message: "you sent giteeSECRETone and giteeSECRETthree and hfSECRETone with apiSECRETone", error: { message: "adminSECRETone keySECRETone badGiteeSECRETtwo" } }, match: { path: "generations" } });

    test("all sorts of requests, good and bad", async () => {
      for (let i = 0; i < 3; i++) assert.equal((await make({})).status, 200);
      for (const status of [400, 401, 403, 404, 422, 429, 500, 200]) {
        await upstream.control({ next: [echo(status), echo(status), echo(status)] });
        await make({});
        await upstream.control({ next: [] });
        await ask("POST", "/api/v1/token-reset", { provider: "gitee" });
      }
      for (const fault of [{ do: "reset" }, { do: "truncate" }, { do: "html" }, { do: "stall" }]) {
        await upstream.control({ next: [{ ...fault, match: { path: "generations" } }] });
        await make({});
      }
      await upstream.reset();
      await ask("POST", "/api/v1/token-reset", { provider: "gitee" });
      await make({ model: "huggingface/z-image-turbo" });
      await make({ model: "modelscope/z-image-turbo" });
      await make({ steps: "promptSECRET" });
      await make({ model: "gitee/promptSECRET/../x" });
      await ask("POST", "/api/v1/generate", "{\"prompt\": \"promptSECRET", { token: "apiSECRETone" });
      await ask("POST", "/api/v1/text", { model: "gitee/qwen-3", prompt: "promptSECRET" }, { token: "apiSECRETtwo" });
      await ask("POST", "/api/v1/video", { model: "gitee/wan2.2-i2v", prompt: "promptSECRET", imageUrl: tinyPngUrl }, { token: "apiSECRETone" });
      await ask("POST", "/api/v1/edit", undefined, { token: "apiSECRETone", args: ["-F", "model=gitee/qwen-image-edit", "-F", "prompt=promptSECRET", "-F", `image=${upstream.origin}/files/picture.png?q=querySECRET`] });
      await ask("GET", "/api/v1/task-status?taskId=x&q=querySECRET");
      await ask("GET", "/api/v1/models?q=querySECRET", undefined, { token: "querySECRET" });
      await ask("GET", "/api/v1/models", undefined, { headers: { "X-Custom": "headerSECRET", Cookie: "a=headerSECRET" } });
      for (const where of ["/api/v1/token-stats", "/api/v1/token-stats/all?details=1", "/metrics", "/api/health"]) assert.equal((await ask("GET", where)).status, 200, where);
      assert.equal((await ask("GET", "/api/v1/models/all", undefined, { token: "apiSECRETone" })).status, 200);
    });

    test("jobs: one is done and told, one is under way", async () => {
      // Its prompt is no secret here: a job that was not sent yet has to remember what it was asked.
      const cat = { model: "modelscope/flux-2", prompt: "a cat", negativePrompt: undefined, webhookUrl: receiver.url("/done") };
      const begin = async () => (await make(cat, { headers: { Prefer: "respond-async" } })).json.taskId;
      await begin();
      await eventually("the webhook", () => receiver.posts.length > 0 || undefined, { timeoutMs: 30000 });
      await upstream.control({ polls: 1000 });
      const taskId = await begin();
      await eventually("it is sent", async () => (await upstream.log("generations")).length > 0 || undefined);
      await eventually("its record", async () => (await storage.dump()).includes(taskId) || undefined);
      dumps.push(await storage.dump());
    });

    test("the log tells tokens by their fingerprints only", async () => {
      const { json } = await ask("GET", "/api/v1/token-stats/all?details=1");
      const [fingerprint] = json.gitee.tokens.map((token) => token.fingerprint);
      assert.ok(server.log.includes(fingerprint));
    });

    test("nobody forges a line of the log", async () => {
      await raw(server.port, "GET /api/v1/x%0aforged%20line HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      await raw(server.port, "GET /\x1b[31m\x07\u0085 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      await make({ model: "gitee/x\n2026-01-01T00:00:00.000Z error forged line" });
      await make({ model: "x-forged\u2028line/y z=1" });
      assert.doesNotMatch(server.log, /^forged|^.{0,40}forged line$/m);
      assert.doesNotMatch(server.log, /[\u0000-\u0009\u000b-\u001f\u007f]/);
    });

    test("nothing of it is in the log", async () => {
      await server.stop();
      dumps.push(await storage.dump());
      const lines = server.log.split("\n");
      assert.ok(lines.length > 50, "the log is not at its most detailed level");
      for (const word of [...words, ...storage.secrets]) for (const line of lines) assert.ok(!line.includes(word), `${word} in: ${line}`);
    });

    test("nor is a secret in any answer", () => {
      assert.ok(answers.length > 30);
      for (const word of [...configured, ...storage.secrets]) for (const answer of answers) assert.ok(!answer.slice(answer.indexOf(": ")).includes(word), `${word} in ${answer}`);
    });

    test("nor in what the storage holds, while a job is under way and behind the end", async () => {
      for (const text of dumps) {
        assert.ok(text.includes("task/"), "nothing was dumped");
        for (const word of [...words, ...storage.secrets]) assert.ok(!text.includes(word), `${word} in ${text.slice(Math.max(0, text.indexOf(word) - 200), text.indexOf(word) + 100)}`);
      }
    });
  });

test("nor in what --check and a failing start say", async () => {
  for (const [args, env] of [[["--check"], {}], [["--check"], { RATE_LIMIT: "querySECRET" }], [[], { PORT: "promptSECRET" }], [[], { GITEE_TOKENS: "giteeSECRETone with blanks" }], [["--check"], { API_TOKEN: "apiSECRETone\u0007" }]]) {
    const { stdout, stderr } = await run(serverProgram, args, { env: { ...secrets, STATE_FILE: ":memory:", ...env }, timeoutMs: 10000 });
    for (const word of configured) assert.ok(!(stdout + stderr).includes(word), `${word} in ${stdout}${stderr}`);
  }
});

