// imagine.test.mjs: the command imagine: every command in front of the providers and in front of a
// server, its exit codes, what it reads and writes, signals, and a batch that is killed on its way.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { build, eventually, listen, pause, root, run, scratch, startServer, startUpstream, tinyPng } from "../support/harness.mjs";
import { readPng } from "../support/png.mjs";

const program = path.join(build, "imagine");
const secret = "user-SECRET-token";
const SLOW_MS = 20000; // what a test would have to wait for, were it not canceled

let upstream, server, providers;
before(async () => {
  upstream = await startUpstream();
  providers = {
    ...upstream.settings,
    GITEE_TOKENS: "t1,t2",
    MODELSLAB_TOKENS: "ml-token",
    ALLOW_PRIVATE_HOSTS: "127.0.0.1",
    STATE_FILE: ":memory:",
  };
  server = await startServer({ env: { ...providers, API_TOKEN: secret, RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", POLL_INTERVAL_MS: "100" } });
});
after(async () => {
  await server?.stop();
  await upstream?.stop();
});
beforeEach(async () => {
  await upstream.reset();
  await server.post("/api/v1/token-reset", { provider: "gitee" }, { token: secret });
});

/** The two ways to the same pictures. */
const ways = {
  "in front of the providers": () => ({ ...providers }),
  "in front of a server": () => ({ IMAGINE_SERVER: server.origin, IMAGINE_API_TOKEN: secret, POLL_INTERVAL_MS: "100" }),
};
const imagine = (args, { env = providers, ...options } = {}) => run(program, args, { env, ...options });
const sample = { STATE_FILE: ":memory:", SAMPLE_PROVIDER: "on" };

/** One that runs on, for signals. */
function begin(args, { env = providers, cwd = scratch() } = {}) {
  const child = spawn(program, args, { env: { PATH: process.env.PATH, HOME: cwd, LANG: "C", ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? "", ...env }, cwd, stdio: ["ignore", "pipe", "pipe"] });
  const running = { child, cwd, stdout: "", stderr: "" };
  child.stdout.on("data", (piece) => (running.stdout += piece));
  child.stderr.on("data", (piece) => (running.stderr += piece));
  running.ended = new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal })));
  const timer = setTimeout(() => child.kill("SIGKILL"), 60000);
  running.ended.then(() => clearTimeout(timer));
  return running;
}

const filesIn = (folder) => readdirSync(folder).sort();
const sizeOf = (file) => (({ width, height }) => [width, height])(readPng(readFileSync(file)));

for (const [way, environment] of Object.entries(ways)) {
  describe(way, () => {
    test("generate writes a picture, and prints its file's name", async () => {
      const cwd = scratch();
      const { code, stdout, stderr } = await imagine(["generate", "-m", "gitee/flux-2", "--ar", "16:9", "--seed", "7", "--steps", "5", "-o", "cat.png", "a", "cat"], { env: environment(), cwd });
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "cat.png\n");
      assert.match(stderr, /^image\/png, .*, seed 7, gitee\/flux-2, /);
      assert.deepEqual(sizeOf(path.join(cwd, "cat.png")), [8, 8]);
      assert.deepEqual(filesIn(cwd), ["cat.png"]);
      const [{ json }] = await upstream.log("images/generations");
      assert.equal(json.prompt, "a cat");
      assert.equal(json.seed, 7);
      assert.equal(json.num_inference_steps, 5);
      assert.deepEqual([json.width, json.height], [1536, 864], "the provider's rule for sizes holds either way");
    });

    test("a token that is spent is not the end of it", async () => {
      await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" } } });
      for (let i = 0; i < 2; i++) {
        const { code, stderr } = await imagine(["generate", "-m", "gitee/flux-2", "-o", "cat.png", "a cat"], { env: environment() });
        assert.equal(code, 0, stderr);
      }
    });

    test("generate -n brings several, each in a file", async () => {
      const cwd = scratch();
      const { code, stdout, stderr } = await imagine(["generate", "-n", "3", "-m", "gitee/flux-2", "-o", "cat.png", "a cat", "--json"], { env: environment(), cwd });
      assert.equal(code, 0, stderr);
      const told = JSON.parse(stdout);
      assert.deepEqual(told.files.map(({ file }) => file), ["cat.png", "cat-2.png", "cat-3.png"]);
      assert.deepEqual(filesIn(cwd), ["cat-2.png", "cat-3.png", "cat.png"]);
      for (const { file, bytes, mime } of told.files) {
        assert.equal(readFileSync(path.join(cwd, file)).length, bytes);
        assert.equal(mime, "image/png");
      }
      assert.equal(told.model, "gitee/flux-2");
    });

    test("edit sends the pictures along", async () => {
      const cwd = scratch();
      writeFileSync(path.join(cwd, "in.png"), tinyPng);
      const { code, stdout, stderr } = await imagine(["edit", "-m", "gitee/qwen-image-edit", "-i", "in.png", "-o", "out.png", "make it blue"], { env: environment(), cwd });
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "out.png\n");
      readPng(readFileSync(path.join(cwd, "out.png")));
      assert.equal((await upstream.log("images/edits")).length, 1);
    });

    test("upscale takes a picture, and the only model that can", async () => {
      const cwd = scratch();
      writeFileSync(path.join(cwd, "in.png"), tinyPng);
      const { code, stderr } = await imagine(["upscale", "in.png", "-o", "large.png"], { env: environment(), cwd });
      assert.equal(code, 0, stderr);
      readPng(readFileSync(path.join(cwd, "large.png")));
    });

    test("text streams", async () => {
      await upstream.control({ eventMs: 60 });
      const running = begin(["text", "-m", "gitee/deepseek-v3", "a lighthouse"], { env: environment() });
      const times = [];
      running.child.stdout.on("data", () => times.push(performance.now()));
      const { code } = await running.ended;
      assert.equal(code, 0, running.stderr);
      assert.equal(running.stdout, "A vivid picture: a lighthouse\n");
      assert.ok(times.length > 2 && times.at(-1) - times[0] > 100, "in pieces");
    });

    test("text --json", async () => {
      const { code, stdout, stderr } = await imagine(["text", "-m", "gitee/deepseek-v3", "--json"], { env: environment(), input: "a lighthouse\n" });
      assert.equal(code, 0, stderr);
      const told = JSON.parse(stdout);
      assert.equal(told.text, "A vivid picture: a lighthouse");
      assert.equal(told.model, "gitee/deepseek-v3");
    });

    test("video waits, tells how it goes, and brings the file", async () => {
      const cwd = scratch();
      const { code, stdout, stderr } = await imagine(["video", "-m", "modelslab/cogvideox-5b", "-o", "it.mp4", "it moves"], { env: environment(), cwd });
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "it.mp4\n");
      assert.match(stderr, /^video\/mp4, /m);
      assert.equal(readFileSync(path.join(cwd, "it.mp4")).toString("latin1", 4, 8), "ftyp");
    });

    test("a video that fails tells the provider's reason", async () => {
      await upstream.control({ taskFails: true });
      const { code, stderr } = await imagine(["video", "-m", "modelslab/cogvideox-5b", "-o", "it.mp4", "it moves"], { env: environment() });
      assert.equal(code, 7, stderr);
      assert.match(stderr, /^imagine: \S/m);
    });

    test("a video that takes too long goes on, and is fetched later", async () => {
      const env = { ...environment(), STATE_FILE: path.join(scratch(), "state.db") };
      await upstream.control({ polls: 1000 });
      const late = await imagine(["video", "-m", "modelslab/cogvideox-5b", "-o", "it.mp4", "--timeout", "2", "--json", "it moves"], { env });
      assert.equal(late.code, 8, late.stderr);
      const { taskId, message } = JSON.parse(late.stdout);
      assert.equal(message, `not there in time, it goes on: imagine task ${taskId}`);
      await upstream.control({ polls: 1 });
      const cwd = scratch();
      const { code, stdout, stderr } = await imagine(["task", taskId, "-o", "later.mp4"], { env, cwd });
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "later.mp4\n");
      assert.equal(readFileSync(path.join(cwd, "later.mp4")).toString("latin1", 4, 8), "ftyp");
      assert.equal((await upstream.log("text2video")).length, 1, "it was asked for once");
      const unknown = await imagine(["task", "no-such-task"], { env });
      assert.equal(unknown.code, way === "in front of a server" ? 7 : 3); // that a server does not know it is the server's failure
      assert.match(unknown.stderr, /not found/i);
      assert.equal((await imagine(["task"], { env })).code, 2);
    });

    test("Ctrl-C gives a video up", async () => {
      await upstream.control({ polls: 1000 });
      const running = begin(["video", "-m", "modelslab/cogvideox-5b", "-o", "it.mp4", "it moves"], { env: environment() });
      await eventually("it is polled", async () => (await upstream.log("fetch")).length > 0);
      running.child.kill("SIGINT");
      assert.deepEqual(await running.ended, { code: 130, signal: null });
      assert.deepEqual(filesIn(running.cwd), []);
      const polls = (await upstream.log("fetch")).length;
      await pause(700);
      assert.ok((await upstream.log("fetch")).length <= polls + 1, "nobody polls any more");
    });

    test("models is a table of what can serve now", async () => {
      const { code, stdout, stderr } = await imagine(["models"], { env: environment() });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^MODEL +CAN +NAME$/m);
      assert.match(stdout, /^gitee\/flux-2 +text2image +FLUX\.2 \(Gitee AI\)$/m);
      assert.doesNotMatch(stdout, /^grok\//m);
      const all = await imagine(["models", "--all"], { env: environment() });
      assert.match(all.stdout, /^grok\/\S+ +\S+ +no /m);
      assert.match(all.stdout, /^gitee\/flux-2 +text2image +yes /m);
      const some = await imagine(["models", "gitee", "upscal"], { env: environment() });
      assert.equal(some.stdout.trim().split("\n").length, 1, "only the head: no such model");
    });

    test("models --json is the list of the HTTP API", async () => {
      const { stdout } = await imagine(["models", "--json"], { env: environment() });
      assert.deepEqual(JSON.parse(stdout), (await server.get("/api/v1/models", { token: secret })).json);
    });

    test("generate and edit without a model take the first that can", async () => {
      const { code, stdout, stderr } = await imagine(["generate", "--json", "a cat"], { env: environment() });
      assert.equal(code, 0, stderr);
      const told = JSON.parse(stdout);
      assert.equal(told.model, "gitee/z-image-turbo");
      assert.match(told.files[0].file, /^imagine-\d+\.png$/);
    });

    test("batch makes each picture once", async () => {
      const cwd = scratch();
      writeFileSync(path.join(cwd, "prompts.txt"), "# a comment\na cat\n\n  a dog \r\na cat\nein Bär\n");
      const first = await imagine(["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "2", "-o", "out"], { env: environment(), cwd });
      assert.equal(first.code, 0, first.stderr);
      const files = filesIn(path.join(cwd, "out"));
      assert.equal(files.length, 4);
      for (const stem of [/^a-cat-[0-9a-f]{12}\.png$/, /^a-dog-/, /^ein-b-r-/]) assert.ok(files.some((file) => stem.test(file)), `${stem} in ${files}`);
      for (const file of files) readPng(readFileSync(path.join(cwd, "out", file)));
      assert.equal(first.stdout, "");
      assert.equal(first.stderr.match(/^\d\/4 {2}out\/.*\.png {2}/gm).length, 4, first.stderr);
      assert.match(first.stderr, /^4 of 4; [\d.]+ a minute, /m);
      const second = await imagine(["batch", "prompts.txt", "-m", "gitee/flux-2", "-o", "out", "--json"], { env: environment(), cwd });
      assert.equal(second.code, 0);
      const { ms, ...total } = JSON.parse(second.stdout);
      assert.deepEqual(total, { total: 4, made: 0, before: 4, failed: 0, left: 0 });
      assert.equal((await upstream.log("images/generations")).length, 4);
    });

    // What goes wrong, and what a script is told.
    const wrongs = [
      ["no such provider", ["generate", "-m", "nobody/x", "a"], 3, /'nobody' is not supported/],
      ["an action that it lacks", ["edit", "-m", "modelslab/x", "-i", "in.png", "a"], 3, /does not support 'edit'/],
      ["a provider without a token", ["generate", "-m", "grok/grok-imagine-image", "a"], 4, /grok needs a token, set GROK_TOKENS: error_grok_token_required/],
      ["an empty prompt", ["generate", "-m", "gitee/flux-2", " "], 2, /prompt is required/],
      ["a prompt that is too long", ["generate", "-m", "gitee/flux-2", "x".repeat(32001)], 2, /prompt is longer/],
      ["a picture that is none", ["edit", "-m", "gitee/qwen-image-edit", "-i", "text.txt", "a"], 2, /not a PNG/],
      ["refused content", ["generate", "-m", "gitee/flux-2", "a [unsafe] cat"], 6, /^imagine: \S/m],
      ["a provider that fails", ["generate", "-m", "gitee/flux-2", "a"], 7, /^imagine: \S/m, { next: [{ do: "answer", status: 500, body: "{}", times: 9 }] }],
      ["tokens that are spent", ["generate", "-m", "gitee/flux-2", "a"], 5, /every token of gitee is used up: error_gitee_token_exhausted.* \(again in /, { tokens: { t1: { state: "exhausted", shape: "429" }, t2: { state: "exhausted", shape: "429" } } }],
      ["no time", ["generate", "-m", "gitee/flux-2", "--timeout", "0.3", "a"], 8, /timed out|time/i, { latencyMs: 1500 }],
    ];
    for (const [name, args, wanted, words, control] of wrongs)
      test(`exit ${wanted}: ${name}`, async () => {
        const cwd = scratch();
        writeFileSync(path.join(cwd, "in.png"), tinyPng);
        writeFileSync(path.join(cwd, "text.txt"), "no picture");
        if (control) await upstream.control(control);
        const { code, stdout, stderr } = await imagine(args, { env: environment(), cwd });
        assert.equal(code, wanted, stderr);
        assert.equal(stdout, "");
        assert.match(stderr, words);
        if (name === "tokens that are spent") await server.post("/api/v1/token-reset", { provider: "gitee" }, { token: secret });
        const told = await imagine([...args, "--json"], { env: environment(), cwd });
        const json = JSON.parse(told.stdout);
        assert.equal(told.code, wanted);
        assert.equal(json.exitCode, wanted);
        assert.match(json.error, /^IMAGINE_E/);
        assert.equal(told.stderr, "");
        assert.deepEqual(filesIn(cwd), ["in.png", "text.txt"]);
      });

    test("Ctrl-C cancels", async () => {
      await upstream.control({ latencyMs: SLOW_MS });
      const running = begin(["generate", "-m", "gitee/flux-2", "-o", "cat.png", "a cat"], { env: environment() });
      await eventually("it is under way", async () => (await upstream.log("images/generations")).length > 0);
      const began = performance.now();
      running.child.kill("SIGINT");
      assert.deepEqual(await running.ended, { code: 130, signal: null });
      assert.ok(performance.now() - began < 5000, "at once");
      assert.deepEqual(filesIn(running.cwd), []);
      assert.match(running.stderr, /canceled/);
    });
  });
}

// ---- of one way alone ----------------------------------------------------------------------------

test("tokens shows who is set aside, and until when, also in the next process", async () => {
  const env = { ...providers, STATE_FILE: path.join(scratch(), "state.db") };
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429" }, t2: { state: "exhausted", shape: "429" } } });
  assert.equal((await imagine(["generate", "-m", "gitee/flux-2", "-o", "cat.png", "a"], { env })).code, 5);
  const { code, stdout, stderr } = await imagine(["tokens"], { env });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^PROVIDER +TOKEN +STATE +UNTIL /);
  assert.equal(stdout.match(/^gitee +[0-9a-f]{12} +exhausted +\d{4}-\d\d-\d\dT/gm)?.length, 2, stdout);
  assert.doesNotMatch(stdout, /t1|t2|ml-token/);
  const json = JSON.parse((await imagine(["tokens", "--json"], { env })).stdout);
  assert.deepEqual([json.gitee.total, json.gitee.exhausted, json.modelslab.active], [2, 2, 1]);
  assert.doesNotMatch((await imagine(["models"], { env })).stdout, /^gitee\//m, "what cannot serve now is not listed");
  assert.equal((await imagine(["tokens", "nobody"], { env })).code, 3);
  assert.doesNotMatch((await imagine(["tokens", "modelslab"], { env })).stdout, /gitee/);
});

test("tokens of a server", async () => {
  const { code, stdout, stderr } = await imagine(["tokens", "gitee"], { env: ways["in front of a server"]() });
  assert.equal(code, 0, stderr);
  assert.equal(stdout.match(/^gitee +[0-9a-f]{12} +active /gm)?.length, 2, stdout);
});

test("a server that refuses the token, or is none, or is not there", async () => {
  const odd = http.createServer((request, response) => response.end("<html>hello</html>"));
  const elsewhere = `http://127.0.0.1:${await listen(odd)}`;
  const cases = [
    [{ IMAGINE_SERVER: server.origin }, 4, /needs a token/],
    [{ IMAGINE_SERVER: server.origin, IMAGINE_API_TOKEN: "another-SECRET" }, 4, /token/i],
    [{ IMAGINE_SERVER: elsewhere }, 7, /./],
    [{ IMAGINE_SERVER: "http://127.0.0.1:1" }, 7, /refused|connect/i],
    [{ IMAGINE_SERVER: "ftp://x" }, 2, /IMAGINE_SERVER/],
    [{ IMAGINE_SERVER: "http://me:SECRET@x" }, 2, /IMAGINE_SERVER/],
  ];
  for (const [env, wanted, words] of cases)
    for (const args of [["models"], ["generate", "-m", "gitee/flux-2", "-o", "x.png", "a"]]) {
      const { code, stdout, stderr } = await imagine(args, { env });
      assert.equal(code, wanted, `${JSON.stringify(env)} ${args}: ${stdout}${stderr}`);
      assert.match(stderr, words);
      assert.doesNotMatch(stdout + stderr, /SECRET/);
    }
  odd.close();
});

test("--server and a token in .env; a slash at its end and /api/v1 do not matter", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, ".env"), `IMAGINE_API_TOKEN=${secret}\n`);
  for (const end of ["", "/", "/api/v1", "/api/"]) {
    const { code, stderr } = await imagine(["--server", `${server.origin}${end}`, "models"], { env: {}, cwd });
    assert.equal(code, 0, `${end}: ${stderr}`);
  }
});

test("no secret is ever said, not even with -v", async () => {
  const env = { ...providers, GITEE_TOKENS: "bad-SECRET", LOG_LEVEL: "trace" };
  const direct = await imagine(["generate", "-v", "-m", "gitee/flux-2", "-o", "x.png", "my prompt"], { env });
  assert.equal(direct.code, 5, direct.stderr);
  const remote = await imagine(["generate", "-v", "-m", "gitee/flux-2", "-o", "x.png", "my prompt"], { env: { ...ways["in front of a server"](), LOG_LEVEL: "trace" } });
  assert.equal(remote.code, 0);
  assert.match(remote.stderr, /http\.start/, "the log is there");
  for (const { stdout, stderr } of [direct, remote]) assert.doesNotMatch(stdout + stderr, /SECRET|my prompt/);
});

test("without any setting there is a sample", async () => {
  const cwd = scratch();
  const { code, stdout, stderr } = await imagine(["generate", "a quiet sea"], { env: {}, cwd });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^imagine-\d+\.png\n$/);
  readPng(readFileSync(path.join(cwd, stdout.trim())));
});

test("-o - writes the picture alone to standard output, and - reads from standard input", async () => {
  const first = await imagine(["generate", "-m", "sample/waves", "-o", "-"], { env: sample, input: "a quiet sea\n" });
  assert.equal(first.code, 0, first.stderr);
  readPng(first.stdoutBytes);
  const cwd = scratch();
  const edited = await imagine(["edit", "-m", "gitee/qwen-image-edit", "-i", "-", "-o", "x.png", "blue"], { cwd, input: tinyPng });
  assert.equal(edited.code, 0, edited.stderr);
  readPng(readFileSync(path.join(cwd, "x.png")));
  for (const more of [["--json"], ["-n", "2"]]) assert.equal((await imagine(["generate", "-m", "sample/waves", "-o", "-", "a", ...more], { env: sample })).code, 2);
});

test("the name stays the user's, and a remark says what it is", async () => {
  const cwd = scratch();
  const { code, stderr } = await imagine(["generate", "-m", "sample/waves", "-o", "sea.jpg", "a"], { env: sample, cwd });
  assert.equal(code, 0);
  assert.match(stderr, /sea\.jpg: this is image\/png/);
  assert.deepEqual(filesIn(cwd), ["sea.jpg"]);
  const quiet = await imagine(["generate", "-q", "-m", "sample/waves", "-o", "sea.jpg", "a"], { env: sample, cwd });
  assert.equal(quiet.stderr, "");
  await upstream.control({ result: "jpeg" });
  await imagine(["generate", "-m", "gitee/flux-2", "a", "--seed", "5"], { cwd });
  await imagine(["generate", "-m", "gitee/flux-2", "a", "--seed", "5"], { cwd });
  assert.deepEqual(filesIn(cwd), ["imagine-5-2.jpg", "imagine-5.jpg", "sea.jpg"], "a name of ours fits, and replaces nothing");
});

test("a folder, a link, and a file that is there", async () => {
  const cwd = scratch();
  mkdirSync(path.join(cwd, "folder"));
  writeFileSync(path.join(cwd, "real.png"), "old");
  symlinkSync("real.png", path.join(cwd, "link.png"));
  const make = (output) => imagine(["generate", "-m", "sample/waves", "--seed", "9", "-o", output, "a"], { env: sample, cwd });
  assert.equal((await make("folder")).stdout, "folder/imagine-9.png\n");
  assert.equal((await make("folder/")).stdout, "folder/imagine-9-2.png\n");
  assert.equal((await make("link.png")).code, 0);
  readPng(readFileSync(path.join(cwd, "real.png")));
  assert.deepEqual(filesIn(cwd), ["folder", "link.png", "real.png"]);
});

test("exit 9: what cannot be written, before anybody is paid where that can be known", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "file"), "");
  for (const output of ["nowhere/x.png", "file/x.png"]) {
    const { code, stderr } = await imagine(["generate", "-m", "gitee/flux-2", "-o", output, "a"], { cwd });
    assert.equal(code, 9, stderr);
    assert.match(stderr, /No such file or directory|Not a directory/);
  }
  assert.equal((await upstream.log("generations")).length, 0);
  const full = await imagine(["generate", "-m", "gitee/flux-2", "-o", "/dev/full", "a"], { cwd });
  assert.equal(full.code, 9);
  assert.match(full.stderr, /No space left/);
  const batch = await imagine(["batch", "-", "-m", "gitee/flux-2", "-o", "file"], { cwd, input: "a\n" });
  assert.equal(batch.code, 9, batch.stderr);
  for (const command of [`${program} models`, `${program} --help`, `${program} models --json`, `${program} text -m gitee/deepseek-v3 a`, `${program} generate -o - -m gitee/flux-2 a`]) {
    const { status, stderr } = spawnSync("sh", ["-c", `${command} >/dev/full`], { env: { PATH: process.env.PATH, HOME: cwd, ...providers }, cwd, encoding: "utf8" });
    assert.equal(status, 9, `${command}: ${stderr}`);
  }
});

test("a picture for somebody who has left", async () => {
  const { status } = spawnSync("bash", ["-c", `${program} generate -m sample/waves --size 2048x2048 -o - a | head -c 100 >/dev/null; exit \${PIPESTATUS[0]}`], { env: { PATH: process.env.PATH, HOME: scratch(), ...sample } });
  assert.equal(status, 9);
});

test("a full disk leaves no piece of a picture", { skip: process.getuid?.() !== 0 && "needs a small file system" }, async () => {
  const cwd = scratch();
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", cwd]).status !== 0) return;
  try {
    const { code, stderr } = await imagine(["generate", "-m", "sample/waves", "--size", "1024x1024", "-o", "sea.png", "a"], { env: sample, cwd });
    assert.equal(code, 9, stderr);
    assert.match(stderr, /No space left/);
    assert.deepEqual(filesIn(cwd), []);
    const batch = await imagine(["batch", "-", "-m", "sample/waves", "--size", "1024x1024", "-j", "2", "-o", "out"], { env: sample, cwd, input: prompts(9) });
    assert.equal(batch.code, 9, batch.stderr);
    assert.match(batch.stderr, /^0 of 9, [12] failed$/m, "it does not go on");
    assert.deepEqual(filesIn(path.join(cwd, "out")), []);
  } finally {
    spawnSync("umount", [cwd]);
  }
});

test("exit 2: the command line", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "wrong.env"), "PORT=x\n");
  writeFileSync(path.join(cwd, "bad.json"), "{");
  writeFileSync(path.join(cwd, "empty.txt"), "\n# nothing\n");
  const cases = [
    [[], /a command expected/], [["nothing"], /no such command/], [["generate", "--nothing"], /unrecognized|invalid/],
    [["generate", "--seed", "x", "a"], /--seed/], [["generate", "--steps", "0", "a"], /--steps/], [["generate", "-n", "11", "a"], /--count/],
    [["generate", "--size", "12", "a"], /--size/], [["generate", "--size", "1x1", "a"], /width|height/], [["generate", "--ar", "cat", "a"], /ar/],
    [["generate", "-j", "4", "a"], /not an option of this command/], [["models", "-o", "x"], /not an option/], [["generate", "-o", ""], /a name expected/],
    [["edit", "a"], /-i FILE/], [["edit", "-i", "nothing.png", "a"], /nothing\.png: No such file/], [["edit", "-i", ".", "a"], /directory/],
    [["upscale"], /one picture/], [["upscale", "a", "b"], /one picture/], [["batch", "-o", "out"], /one file/], [["batch", "empty.txt"], /-o DIR/],
    [["batch", "empty.txt", "-o", "out"], /no prompt/], [["batch", "nothing.txt", "-o", "out"], /No such file/], [["batch", "-j", "0", "empty.txt"], /--jobs/],
    [["models", "--env-file", "nothing.env"], /--env-file/], [["models", "--env-file", "wrong.env"], /wrong\.env:1: PORT/],
    [["models", "--catalogue", "nothing.json"], /nothing\.json|CATALOGUE/], [["models", "--catalogue", "bad.json"], /bad\.json|CATALOGUE/],
    [["generate", "-i", "x", "a"], /not an option/], [["generate", "--timeout", "-1", "a"], /--timeout/],
  ];
  for (const [args, words] of cases) {
    const { code, stderr } = await imagine(args, { cwd });
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.match(stderr, words, `${args}`);
  }
  const nul = await imagine(["generate"], { cwd, input: "a\0b" });
  assert.equal(nul.code, 2);
  assert.equal((await imagine(["generate", "-"], { cwd, input: "" })).code, 2, "an empty prompt");
  assert.equal((await imagine(["generate", "-m", "sample/waves", "--", "-o"], { cwd, env: sample })).code, 0, "a prompt may look like an option");
});

test("--help names every command, option and exit code", async () => {
  const { code, stdout } = await imagine(["--help"]);
  assert.equal(code, 0);
  const names = ["generate", "edit", "text", "video", "task", "upscale", "batch", "models", "tokens"];
  for (const name of names) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  for (const number of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]) assert.match(stdout, new RegExp(`^ *${number}  `, "m"));
  assert.match(stdout, /IMAGINE_API_TOKEN/);
  for (const name of names) {
    const one = await imagine([name, "--help"]);
    assert.equal(one.code, 0);
    assert.match(one.stdout, new RegExp(`^usage: imagine ${name} `));
    assert.equal((await imagine(["help", name])).stdout, one.stdout);
    for (const line of one.stdout.split("\n")) assert.ok(line.length <= 100, line);
  }
  assert.match((await imagine(["--version"])).stdout, /^imagine \d+\.\d+\.\d+\n$/);
});

const optionsOf = async (command) => [...(await imagine([command, "--help"])).stdout.matchAll(/^  (?:-(\w),|  ) --([a-z-]+)/gm)].map(([, letter, name]) => ({ letter, name }));

test("the man page tells every command, option and exit code", async () => {
  const page = readFileSync(path.join(root, "examples/imagine/imagine.1"), "utf8").replaceAll("\\-", "-");
  for (const command of ["generate", "edit", "text", "video", "task", "upscale", "batch", "models", "tokens"]) {
    assert.match(page, new RegExp(`^\\.B ${command}$`, "m"));
    for (const { letter, name } of await optionsOf(command)) {
      assert.match(page, new RegExp(`^\\.B[IR]* .*--${name}\\b`, "m"), name);
      if (letter) assert.match(page, new RegExp(`^\\.BR -${letter} ", "`, "m"), letter);
    }
  }
  for (const [, code] of (await imagine(["--help"])).stdout.matchAll(/^ *(\d+)  /gm)) assert.match(page, new RegExp(`^\\.B ${code}$`, "m"), code);
});

test("completions know every option", async () => {
  const read = (name) => readFileSync(path.join(root, "examples/imagine/completions", name), "utf8");
  const fish = read("imagine.fish"), zsh = read("_imagine");
  for (const command of ["generate", "edit", "text", "video", "task", "upscale", "batch", "models", "tokens"])
    for (const { name } of await optionsOf(command)) {
      assert.match(fish, new RegExp(` -l ${name}( |$)`, "m"), name);
      assert.match(zsh, new RegExp(`--${name}[\\[}]`), name);
    }
});

test("bash completes commands, options, models and files", () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "in.png"), tinyPng);
  const complete = (...words) => {
    const script = `PATH=${build}:$PATH; . ${path.join(root, "examples/imagine/completions/imagine.bash")}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imagine; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script, "bash", ...words], { env: { PATH: process.env.PATH, HOME: cwd, ...sample }, cwd, encoding: "utf8" });
    assert.equal(stderr, "");
    return stdout.trim().split("\n");
  };
  assert.deepEqual(complete("imagine", "ge"), ["generate"]);
  assert.deepEqual(complete("imagine", "generate", "--st"), ["--steps", "--state-file"]);
  assert.deepEqual(complete("imagine", "text", "--max"), ["--max-tokens"]);
  assert.deepEqual(complete("imagine", "generate", "-m", "sample/w"), ["sample/waves"]);
  assert.deepEqual(complete("imagine", "edit", "-i", "i"), ["in.png"]);
});

test("the README's lines work without an account", async () => {
  const lines = /## From the command line[\s\S]*?```sh\n([\s\S]*?)```/.exec(readFileSync(path.join(root, "README.md"), "utf8"))?.[1];
  assert.ok(lines, "the README has no such lines any more");
  const cwd = scratch();
  const { code, stdout, stderr } = await run("bash", ["-e", "-c", lines], { cwd, env: { PATH: `${build}:${process.env.PATH}` } });
  assert.equal(code, 0, stderr);
  readPng(readFileSync(path.join(cwd, "sea.png")));
  assert.equal(filesIn(path.join(cwd, "out")).length, 3);
  assert.match(stdout, /^sample\/waves /m);
});

// ---- batches -------------------------------------------------------------------------------------

const prompts = (count) => Array.from({ length: count }, (_, i) => `picture number ${i}`).join("\n");
/** How often each prompt was asked for. */
async function asked() {
  const counts = new Map();
  for (const { json } of await upstream.log("images/generations")) counts.set(json.prompt, (counts.get(json.prompt) ?? 0) + 1);
  return counts;
}

test("a batch that is killed goes on: nothing is missing, and nothing but what was under way is made twice", async () => {
  const cwd = scratch();
  const count = 60, jobs = 4;
  writeFileSync(path.join(cwd, "prompts.txt"), prompts(count));
  await upstream.control({ latencyMs: 40 });
  const args = ["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", String(jobs), "-o", "out"];
  let kills = 0;
  for (let kept = 0; kills < 3; kills++) {
    const running = begin(args, { cwd });
    await eventually("some are there", () => existsSync(path.join(cwd, "out")) && readdirSync(path.join(cwd, "out")).length >= kept + 10);
    running.child.kill("SIGKILL");
    await running.ended;
    kept = readdirSync(path.join(cwd, "out")).length;
  }
  writeFileSync(path.join(cwd, "out", ".imagine-999999999-0.part"), "half a pic");
  const last = await imagine(args, { cwd });
  assert.equal(last.code, 0, last.stderr);
  const files = filesIn(path.join(cwd, "out"));
  assert.equal(files.length, count, "each once, and no piece of one");
  for (const file of files) readPng(readFileSync(path.join(cwd, "out", file)));
  const counts = await asked();
  assert.equal(counts.size, count);
  const again = [...counts.values()].reduce((sum, each) => sum + each - 1, 0);
  assert.ok(again <= kills * jobs, `${again} made again`);
  await imagine(args, { cwd });
  assert.equal([...(await asked()).values()].reduce((sum, each) => sum + each, 0), count + again, "then nothing more is asked");
});

test("a batch may gain, lose and move lines", async () => {
  const cwd = scratch();
  const args = ["batch", "prompts.txt", "-m", "gitee/flux-2", "-o", "out"];
  writeFileSync(path.join(cwd, "prompts.txt"), "one\ntwo\nthree\n");
  await imagine(args, { cwd });
  writeFileSync(path.join(cwd, "prompts.txt"), "zero\nthree\ntwo\nthree\n");
  const { code, stderr } = await imagine(args, { cwd });
  assert.equal(code, 0, stderr);
  assert.deepEqual([...(await asked())].sort(), [["one", 1], ["three", 2], ["two", 1], ["zero", 1]]);
  await imagine([...args, "--seed", "4"], { cwd });
  assert.equal((await asked()).get("two"), 2, "another seed is another picture");
});

test("two batches do not work in one folder", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "prompts.txt"), prompts(4));
  await upstream.control({ latencyMs: 1500 });
  const running = begin(["batch", "prompts.txt", "-m", "gitee/flux-2", "-o", "out"], { cwd });
  await eventually("it is under way", async () => (await upstream.log("generations")).length > 0);
  const { code, stderr } = await imagine(["batch", "prompts.txt", "-m", "gitee/flux-2", "-o", "out"], { cwd });
  assert.equal(code, 9);
  assert.match(stderr, /another batch works in it/);
  assert.equal((await running.ended).code, 0);
});

test("a line that fails does not stop the others, and is tried again by the next run", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "prompts.txt"), "one\na [unsafe] one\nthree\n");
  const args = ["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "1", "-o", "out", "--json"];
  const { code, stdout } = await imagine(args, { cwd });
  assert.equal(code, 6);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ line, error }) => [line, error]).slice(0, 3), [[1, undefined], [2, "IMAGINE_ECONTENT"], [3, undefined]]);
  assert.deepEqual([lines[3].made, lines[3].failed, lines[3].left], [2, 1, 0]);
  await imagine(args, { cwd });
  assert.equal((await asked()).get("one"), 1);
});

test("a batch stops when no token is left, and goes on where it stopped", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "prompts.txt"), prompts(12));
  await upstream.control({ tokens: { t1: { state: "exhausted", shape: "429", after: 3 }, t2: { state: "exhausted", shape: "429", after: 2 } } });
  const args = ["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "2", "-o", "out"];
  const { code, stderr } = await imagine(args, { cwd });
  assert.equal(code, 5, stderr);
  assert.match(stderr, /error_gitee_token_exhausted/);
  assert.match(stderr, /^5 of 12, /m);
  assert.match(stderr, /the same command goes on from here/);
  assert.ok(stderr.match(/error_gitee/g).length <= 2, "those that were not begun are not failures");
  await upstream.control({ tokens: {} });
  assert.equal((await imagine(args, { cwd })).code, 0);
  assert.equal(filesIn(path.join(cwd, "out")).length, 12);
});

test("a batch waits for a server's limit, and goes on", async () => {
  const strict = await startServer({ env: { ...providers, RATE_LIMIT: "4" } });
  try {
    const cwd = scratch();
    writeFileSync(path.join(cwd, "prompts.txt"), prompts(6));
    const env = { IMAGINE_SERVER: strict.origin };
    const hasty = await imagine(["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "3", "--wait", "0", "-o", "out"], { cwd, env });
    assert.equal(hasty.code, 5, hasty.stderr);
    const running = begin(["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "3", "-o", "out"], { cwd, env });
    await pause(1500);
    assert.equal(running.child.exitCode, null, `it waits: ${running.stderr}`);
    running.child.kill("SIGINT");
    assert.equal((await running.ended).code, 130);
  } finally {
    await strict.stop();
  }
});

test("a batch waits for a provider that cannot be reached, and ends when that takes too long", async () => {
  const { hostname, port, pathname } = new URL(providers.GITEE_API_BASE);
  const relay = net.createServer((socket) => socket.pipe(net.connect(port, hostname)).on("error", () => socket.destroy()).pipe(socket).on("error", () => {}));
  const listen = (at) => new Promise((resolve) => relay.listen(at, "127.0.0.1", resolve));
  await listen(0);
  const own = relay.address().port;
  await new Promise((resolve) => relay.close(resolve));
  const cwd = scratch();
  writeFileSync(path.join(cwd, "prompts.txt"), prompts(9));
  const env = { ...providers, GITEE_API_BASE: `http://127.0.0.1:${own}${pathname}`, ALLOW_PRIVATE_HOSTS: "127.0.0.1" };
  const args = ["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "2", "-o", "out"];
  const hasty = await imagine([...args, "--wait", "0"], { cwd, env });
  assert.equal(hasty.code, 7, hasty.stderr);
  assert.match(hasty.stderr, /^0 of 9, [12] failed$/m, "the others are not begun");
  const patient = begin(args, { cwd, env });
  await pause(500);
  assert.equal(patient.child.exitCode, null, patient.stderr);
  await listen(own);
  const { code, stderr } = await patient.ended;
  relay.close();
  assert.equal(code, 0, stderr);
  assert.equal(filesIn(path.join(cwd, "out")).length, 9);
});

test("Ctrl-C ends a batch, and what was not begun is no failure", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "prompts.txt"), prompts(50));
  await upstream.control({ latencyMs: 300 });
  const running = begin(["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "4", "-o", "out"], { cwd });
  await eventually("some are there", () => existsSync(path.join(cwd, "out")) && readdirSync(path.join(cwd, "out")).length >= 4);
  running.child.kill("SIGINT");
  assert.deepEqual(await running.ended, { code: 130, signal: null });
  assert.doesNotMatch(running.stderr, /failed|line \d/);
  assert.match(running.stderr, /the same command goes on/);
  for (const file of filesIn(path.join(cwd, "out"))) readPng(readFileSync(path.join(cwd, "out", file)));
});

// ---- signals and terminals -----------------------------------------------------------------------

test("a second signal ends it at once", async () => {
  // A provider that takes on what it is asked, so that the first one has something to wait for.
  const running = begin(["generate", "-m", "sample/waves", "-o", "fifo", "a"], { env: sample, cwd: (() => {
    const cwd = scratch();
    spawnSync("mkfifo", [path.join(cwd, "fifo")]);
    return cwd;
  })() });
  await pause(500); // it waits for a reader of the pipe
  running.child.kill("SIGTERM");
  running.child.kill("SIGINT");
  const { code } = await running.ended;
  assert.ok([130, 143].includes(code), `${code}`);
});

test("a signal while it waits for the prompt", async () => {
  const child = spawn(program, ["generate"], { env: { PATH: process.env.PATH, HOME: scratch(), ...sample }, stdio: ["pipe", "ignore", "ignore"] });
  const ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
  await pause(400);
  child.kill("SIGINT");
  assert.equal(await ended, 130);
});

/** On a terminal of 60 columns and 12 rows: what it shows, and its exit code. */
function onTerminal(args, { env, cwd }) {
  const script = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
shown = b""
while True:
    try:
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    shown += piece
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
  return run("python3", ["-c", script, program, ...args], { env: { PATH: process.env.PATH, TERM: "xterm", ...env }, cwd });
}

test("on a terminal a batch has a line for each job, and a total with rate and end", async () => {
  const cwd = scratch();
  writeFileSync(path.join(cwd, "prompts.txt"), `${prompts(9)}\n${"a very long prompt ".repeat(9)}\n${"很长的提示".repeat(12)}\n`);
  await upstream.control({ latencyMs: 450 });
  const { code, stdout } = await onTerminal(["batch", "prompts.txt", "-m", "gitee/flux-2", "-j", "3", "-o", "out"], { env: providers, cwd });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /\x1b\[K {5}1 +[\d.]+ s {2}picture number 0\r\n {5}2 +[\d.]+ s {2}picture number 1\r\n {5}3 /);
  assert.match(stdout, /\d of 11; [\d.]+ a minute, ready in [\d.]+ s \(\d\d:\d\d\)/);
  assert.equal(stdout.match(/\d+\/11 {2}out\//g).length, 11);
  assert.match(stdout, /11 of 11; [\d.]+ a minute, [\d.]+ s\r\n$/);
  const lines = stdout.split(/\r\n|\x1b\[K/).filter((line) => /very long|很长/.test(line) && !line.includes("/"));
  assert.ok(lines.some((line) => line.includes("很长")));
  for (const line of lines) assert.ok(line.length + line.replace(/[^\u4e00-\u9fff]/g, "").length < 60, line);
});

test("a dumb terminal gets plain lines", async () => {
  await upstream.control({ latencyMs: 300 });
  const { code, stdout } = await onTerminal(["generate", "-m", "gitee/flux-2", "-o", "cat.png", "a cat"], { env: { ...providers, TERM: "dumb" }, cwd: scratch() });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^cat\.png\r\nimage\/png[^\x1b]*$/);
});

test("on a terminal generate shows that it works, and leaves nothing of that behind", async () => {
  await upstream.control({ latencyMs: 600 });
  const { code, stdout } = await onTerminal(["generate", "-m", "gitee/flux-2", "-o", "cat.png", "a cat"], { env: providers, cwd: scratch() });
  assert.equal(code, 0);
  assert.match(stdout, /making a picture with gitee\/flux-2 {2}0\.[3-9] s/);
  assert.match(stdout.split("\x1b[K").at(-1), /^cat\.png\r\nimage\/png/);
  const refused = await onTerminal(["generate", "-m", "gitee/flux-2", "-o", "-", "a cat"], { env: providers, cwd: scratch() });
  assert.equal(refused.code, 2, "a picture is nothing for a terminal");
});

test("what others say is no command to the terminal", async () => {
  const evil = http.createServer((request, response) => {
    const models = [{ id: "x/\u001b[31mred", name: "a\u0007b\u009b2J", type: ["text2image"] }];
    const body = JSON.stringify(request.url.includes("models") ? models : { error: "x", message: "no\u001b[2J way", code: "IMAGINE_EREJECTED" });
    response.writeHead(request.url.includes("models") ? 200 : 400, { "content-type": "application/json" });
    response.end(body);
  });
  const env = { IMAGINE_SERVER: `http://127.0.0.1:${await listen(evil)}` };
  const table = await imagine(["models"], { env });
  assert.equal(table.code, 0, table.stderr);
  const failure = await imagine(["generate", "-m", "x/y", "a"], { env });
  assert.equal(failure.code, 6, failure.stderr);
  for (const text of [table.stdout, failure.stderr]) assert.doesNotMatch(text.replaceAll("\n", ""), /[\u0000-\u001f\u007f-\u009f]/);
  evil.close();
});

test("a settings file, a catalogue and a state file by option", async () => {
  const cwd = scratch();
  const { CATALOGUE, ...rest } = providers;
  writeFileSync(path.join(cwd, "my.env"), Object.entries({ ...rest, STATE_FILE: "" }).map(([name, value]) => `${name}=${value}\n`).join(""));
  const { code, stderr } = await imagine(["generate", "--env-file", "my.env", "--catalogue", CATALOGUE, "--state-file", "state.db", "-m", "gitee/flux-2", "-o", "x.png", "a"], { env: {}, cwd });
  assert.equal(code, 0, stderr);
  assert.ok(filesIn(cwd).includes("state.db"));
});

test("a folder that cannot be written", { skip: process.getuid?.() === 0 && "root may write everywhere" }, async () => {
  const cwd = scratch();
  chmodSync(cwd, 0o555);
  assert.equal((await imagine(["generate", "-m", "sample/waves", "-o", path.join(cwd, "x.png"), "a"], { env: sample })).code, 9);
  chmodSync(cwd, 0o755);
});
