// page.test.mjs: the page that comes with us, in a real browser: what a person sees and does.
// Its words alone (server/web/words.js) are proven without one.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { explain, firstModel, groupModels, providerName, shortName, taskProgress, timeAhead, whatIsMissing } from "../../server/web/words.js";
import { chromium, startBrowser } from "../support/devtools.mjs";
import { eventually, root, scratch, startServer, startUpstream, tinyPng } from "../support/harness.mjs";
import { readPng } from "../support/png.mjs";

const web = path.join(root, "server/web");
const SIZE_MAX = 40 * 1024;

test("it stays small enough to be read in one sitting", () => {
  const size = readdirSync(web).reduce((sum, name) => sum + readFileSync(path.join(web, name)).length, 0);
  assert.ok(size <= SIZE_MAX, `${size} bytes`);
});

// ---- words ---------------------------------------------------------------------------------------

describe("failures in human words", () => {
  const now = new Date(2026, 0, 7, 21, 0, 0);
  const cases = [
    [{ status: 429, code: "IMAGINE_EEXHAUSTED", message: "error_gitee_token_exhausted", retryAfter: 3 * 3600 }, /^All tokens of Gitee AI are used up\. The first is back at 00:00 \(in 3 h\)\./],
    [{ status: 429, code: "IMAGINE_EEXHAUSTED", message: "error_gitee_token_exhausted" }, /^All tokens of Gitee AI are used up\. (?!.*undefined)/],
    [{ status: 503, code: "IMAGINE_ENOTOKEN", message: "error_modelscope_token_required" }, /^ModelScope needs a token\. .*MODELSCOPE_TOKENS=/],
    [{ status: 503, code: "IMAGINE_EBREAKER", message: "Circuit breaker is OPEN for provider: gitee", retryAfter: 45 }, /^Gitee AI keeps failing\. .*Try again in 45 s/],
    [{ status: 429, code: "IMAGINE_ERATE", message: "too many requests", retryAfter: 7 }, /^Too many requests\. Try again in 7 s\.$/],
    [{ status: 422, code: "IMAGINE_ECONTENT", message: "the prompt violates the content policy" }, /^Gitee AI refuses this content\. The prompt violates/],
    [{ status: 502, code: "IMAGINE_ECONNECT", message: "name not resolved" }, /^Gitee AI cannot be reached\. Name not resolved\./],
    [{ status: 502, code: "IMAGINE_EUPSTREAM", message: "out of GPU memory" }, /^Gitee AI failed\. Out of GPU memory\./],
    [{ status: 504, code: "IMAGINE_ETIMEDOUT", message: "timed out" }, /^That took too long\. Timed out\./],
    [{ status: 400, code: "IMAGINE_EINVAL", message: "steps must be a whole number" }, /^That did not work\. Steps must be a whole number\.$/],
    [{ status: 418 }, /^That did not work\. The server answered 418\.$/],
    [{ status: 0, message: "Failed to fetch" }, /^The server cannot be reached\. /],
  ];
  for (const [failure, words] of cases) test(JSON.stringify(failure), () => assert.match(explain(failure, "gitee/flux-2", now).join(". "), words));
});

test("a time ahead is told as people tell it", () => {
  const now = new Date(2026, 0, 7, 22, 58, 30);
  assert.equal(timeAhead(0.2, now), "in 1 s");
  assert.equal(timeAhead(89, now), "in 89 s");
  assert.equal(timeAhead(150, now), "at 23:01 (in 3 min)");
  assert.equal(timeAhead(2 * 3600, now), "at 00:58 (in 2 h)");
});

test("progress goes on, and never claims the end", () => {
  assert.deepEqual(taskProgress(30, 60), { share: 0.5, words: "about 30 s left" });
  assert.equal(taskProgress(600, 60).share, 0.97);
  assert.match(taskProgress(600, 60).words, /longer than usual/);
  assert.deepEqual(taskProgress(5), { share: 0, words: "5 s so far" });
});

test("models are grouped by provider, for what they can do", () => {
  const models = [
    { id: "huggingface/z-image", name: "Z-Image (Hugging Face)", type: ["text2image"] },
    { id: "huggingface/nano", name: "GPT Nano (Pollinations)", type: ["text2text"] },
    { id: "grok/film", name: "Film", type: ["text2video", "image2video"] },
    { id: "sample/waves", name: "Waves (sample, drawn locally)", type: ["text2image"] },
    { id: "huggingface/flux", name: "FLUX (Hugging Face)", type: ["text2image"] },
  ];
  const ids = (mode) => groupModels(models, mode).map(([provider, members]) => [provider, members.map(({ id }) => id)]);
  assert.deepEqual(ids("picture"), [["huggingface", ["huggingface/z-image", "huggingface/flux"]], ["sample", ["sample/waves"]]]);
  assert.deepEqual(ids("video"), [["grok", ["grok/film"]]], "once, though it can do both");
  assert.deepEqual(ids("upscale"), []);
  assert.deepEqual(models.map(shortName), ["Z-Image", "GPT Nano (Pollinations)", "Film", "Waves", "FLUX"]);
  assert.deepEqual(["gitee", "grok", "acme"].map(providerName), ["Gitee AI", "Grok", "Acme"]);
  assert.equal(firstModel(groupModels(models, "picture")).id, "sample/waves", "what surely works");
  const withToken = [{ id: "gitee/flux", name: "FLUX", type: ["text2image"] }, ...models];
  assert.equal(firstModel(groupModels(withToken, "picture")).id, "gitee/flux");
  assert.equal(firstModel([]), undefined);
});

test("what is missing is said before anything is sent", () => {
  const model = (...type) => ({ type });
  const cases = [
    ["picture", model("text2image"), "a cat", 0, ""],
    ["picture", model("text2image"), " \n", 0, /words/],
    ["edit", model("image2image"), "red", 0, /picture/],
    ["edit", model("image2image"), "red", 1, ""],
    ["edit", model("image2image"), "", 1, /words/],
    ["video", model("image2video"), "it walks", 0, /picture/],
    ["video", model("image2video"), "", 1, ""],
    ["video", model("text2video", "image2video"), "it walks", 0, ""],
    ["video", model("text2video", "image2video"), "", 0, /words/],
    ["upscale", model("upscaler"), "", 1, ""],
  ];
  for (const [mode, of, prompt, count, expected] of cases) {
    const said = whatIsMissing(mode, of, prompt, count);
    if (expected === "") assert.equal(said, "", `${mode}, ${of.type}`);
    else assert.match(said, expected, `${mode}, ${of.type}`);
  }
});

// ---- in a browser --------------------------------------------------------------------------------

const modelsAreThere = "document.querySelector('#model option[value]') !== null";
const text = (selector) => `document.querySelector(${JSON.stringify(selector)})?.innerText`;
const chooseMode = (page, mode) => page.evaluate(`document.querySelector("[name=mode][value=${mode}]").click()`);
const shownPicture = (page) => page.until(`(() => {
  const image = document.querySelector("#stage img");
  return image?.complete && image.naturalWidth > 0 && { width: image.naturalWidth, height: image.naturalHeight, src: image.src };
})()`);
async function chooseFiles(page, files) {
  const { root: document } = await page.send("DOM.getDocument");
  const { nodeId } = await page.send("DOM.querySelector", { nodeId: document.nodeId, selector: "#files" });
  await page.send("DOM.setFileInputFiles", { nodeId, files });
}
function pictureFiles(count) {
  const folder = scratch();
  return Array.from({ length: count }, (_, i) => {
    const file = path.join(folder, `picture-${i}.png`);
    writeFileSync(file, tinyPng);
    return file;
  });
}
/** The browser itself logs every answer of 4xx and 5xx; anything else is a fault of the page. */
const faults = (page) => page.complaints.filter((complaint) => !/^Failed to load resource: the server responded with a status of [45]/.test(complaint));

describe("in a browser", { skip: chromium ? false : "no chromium" }, () => {
  let browser;
  let upstream;
  const servers = [];
  async function serverWith(env) {
    const server = await startServer({ env: { RATE_LIMIT: "0", RATE_LIMIT_STATUS: "0", ...env } });
    servers.push(server);
    return server;
  }
  async function open(server, options) {
    const page = await browser.newPage(server.origin, options);
    if (!options?.isClosed) await page.until(modelsAreThere);
    return page;
  }
  before(async () => {
    [browser, upstream] = await Promise.all([startBrowser(), startUpstream()]);
  });
  after(async () => {
    await browser?.stop();
    await Promise.all(servers.map((server) => server.stop()));
    await upstream?.stop();
  });
  beforeEach(() => upstream.reset());

  describe("with nothing configured", () => {
    let server;
    before(async () => (server = await serverWith({})));

    test("a prompt becomes a picture, without a complaint of the browser or a word to other hosts", async () => {
      const page = await open(server);
      await page.type("#prompt", "a quiet sea at dawn");
      await page.evaluate(`document.querySelector('[name=ar][value="16:9"]').click()`);
      await page.press("Make the picture");
      const { width, height, src } = await shownPicture(page);
      assert.ok(width > height && Math.abs(width / height - 16 / 9) < 0.05, `${width}x${height}`);
      assert.match(src, /^blob:/);
      assert.match(await page.evaluate(text("#stage")), new RegExp(`${width} × ${height} · seed \\d+`));
      assert.deepEqual(page.complaints, []);
      for (const url of page.requests) assert.ok(url.startsWith(server.origin) || /^(data|blob):/.test(url), url.slice(0, 100));
    });

    test("the test itself notices a violated policy, an error and an exception", async () => {
      const page = await open(server);
      for (const fault of ["document.body.append(Object.assign(document.createElement('script'), { text: 'window.isIn = true' }))", "console.error('so')", "setTimeout(() => { throw new Error('thrown') })", "document.body.setAttribute('onclick', 'window.isIn = true')", "new Image().src = 'ftp://example.com/a.png'"]) {
        page.complaints.length = 0;
        await page.evaluate(`void (${fault})`);
        await page.until("true");
        await page.evaluate("new Promise((resolve) => setTimeout(resolve, 50))");
        assert.notEqual(page.complaints.length, 0, fault);
      }
      assert.equal(await page.evaluate("window.isIn"), undefined);
    });

    test("the sample says that it is no AI, before and after, and where the real thing is", async () => {
      const page = await open(server);
      assert.match(await page.evaluate(text("#model-note")), /No AI/);
      assert.equal(await page.evaluate("document.querySelector('#model').selectedOptions[0].parentNode.label"), "Sample, no AI");
      await page.type("#prompt", "a sea");
      await page.press("Make the picture");
      await shownPicture(page);
      assert.match(await page.evaluate(text("#stage .notice")), /This is a sample\. .*No AI.*Try it with .*Hugging Face/);
    });

    test("it can be downloaded, under a name that tells seed and kind", async () => {
      const page = await open(server);
      await page.type("#prompt", "a sea");
      await page.type("#seed", "7");
      await page.press("Make the picture");
      const { width } = await shownPicture(page);
      const folder = scratch();
      await page.send("Page.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
      await page.press("Download", "#stage");
      await eventually("the file is there", () => existsSync(path.join(folder, "picture-7.png")));
      assert.equal(readPng(readFileSync(path.join(folder, "picture-7.png"))).width, width);
    });

    test("earlier ones stay, and their settings can be used again", async () => {
      const page = await open(server);
      for (const [prompt, seed] of [["first", "11"], ["second", "22"]]) {
        await page.type("#prompt", prompt);
        await page.type("#seed", seed);
        await page.press("Make the picture");
        await page.until(`${text("#stage .asked")} === "${prompt}" && document.querySelector("#stage img")?.naturalWidth > 0`);
      }
      assert.equal(await page.evaluate("document.querySelectorAll('#history li').length"), 2);
      await page.click("#history li:last-child button");
      await page.until(`${text("#stage .asked")} === "first"`);
      await page.press("Use these settings", "#stage");
      assert.deepEqual(await page.evaluate("[document.querySelector('#prompt').value, document.querySelector('#seed').value]"), ["first", "11"]);
      await page.click("#dice");
      assert.notEqual(await page.evaluate("document.querySelector('#seed').value"), "11");
    });

    test("an empty prompt is asked for, and nothing is sent", async () => {
      const page = await open(server);
      await page.press("Make the picture");
      await page.until(`/few words/.test(${text("#form-note")})`);
      assert.equal(await page.evaluate("document.activeElement.id"), "prompt");
      assert.ok(!page.requests.some((url) => url.includes("generate")));
    });

    test("a prompt is text, whatever it looks like", async () => {
      const page = await open(server);
      const prompt = `<img src=x onerror="window.isIn = true"> & "quoted"`;
      await page.type("#prompt", prompt);
      await page.press("Make the picture");
      await shownPicture(page);
      assert.equal(await page.evaluate(text("#stage .asked")), prompt);
      assert.deepEqual(page.complaints, []);
    });

    for (const [name, options] of [["a phone", { width: 360, height: 740, isPhone: true }], ["a phone at night", { width: 360, height: 740, isPhone: true, isDark: true }], ["a tablet", { width: 800, height: 1100 }]])
      test(`${name}: nothing is wider than the screen, and the picture comes into view`, async () => {
        const page = await open(server, options);
        const overhang = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert.equal(await page.evaluate(overhang), 0);
        await page.type("#prompt", "a".repeat(300));
        await page.press("Make the picture");
        await shownPicture(page);
        assert.equal(await page.evaluate(overhang), 0);
        const top = await page.evaluate("document.querySelector('#stage img').getBoundingClientRect().top");
        assert.ok(top >= 0 && top < options.height, `at ${top}`);
      });

    for (const isDark of [false, true])
      test(`words can be read: ${isDark ? "dark" : "light"}`, async () => {
        const page = await open(server, { isDark });
        const dim = await page.evaluate(`(() => {
          const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
          const light = (colour) => {
            const [r, g, b] = numbers(colour).map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (element) => {
            for (; element; element = element.parentElement) {
              const colour = getComputedStyle(element).backgroundColor;
              if (numbers(colour)[3] !== 0) return colour;
            }
          };
          const found = [];
          for (const element of document.querySelectorAll("h1, h2, p, label, legend, summary, output, select, textarea, input, button:not(.primary), span")) {
            if (element.offsetParent === null || element.matches(".unseen") || element.innerText === "") continue;
            const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
            if ((a + 0.05) / (b + 0.05) < 4.5) found.push(element.outerHTML.slice(0, 80) + " " + (a + 0.05) / (b + 0.05));
          }
          return found;
        })()`);
        assert.deepEqual(dim, []);
      });

    test("every field has a name for those who cannot see it", async () => {
      const page = await open(server);
      const { nodes } = await page.send("Accessibility.getFullAXTree");
      const fields = nodes.filter((node) => !node.ignored && ["textbox", "combobox", "slider", "spinbutton", "radio", "button", "checkbox"].includes(node.role?.value));
      assert.ok(fields.length > 12, `${fields.length}`);
      for (const { role, name } of fields) assert.ok(name?.value, `a ${role.value} without a name`);
    });
  });

  describe("with API_TOKEN", () => {
    let server;
    before(async () => (server = await serverWith({ API_TOKEN: "the-token" })));

    test("the token is asked for, a wrong one refused, the right one kept until it is forgotten", async () => {
      const page = await open(server, { isClosed: true });
      await page.until("document.querySelector('#token-dialog').open");
      await page.type("#token", "not-it");
      await page.press("Continue", "dialog");
      await page.until(`/not accepted/.test(${text("#token-error")})`);
      await page.type("#token", "the-token");
      await page.press("Continue", "dialog");
      await page.until(modelsAreThere);
      assert.equal(await page.evaluate("document.querySelector('#token-dialog').open"), false);

      await page.type("#prompt", "a sea");
      await page.press("Make the picture");
      await shownPicture(page);
      assert.deepEqual(await page.evaluate("[localStorage.length, Object.values(sessionStorage)]"), [0, ["the-token"]]);
      assert.deepEqual((await page.send("Network.getCookies")).cookies, []);
      assert.ok(!page.requests.some((url) => url.includes("the-token")), "in an address it would be logged");

      await page.press("Forget token");
      assert.equal(await page.evaluate("sessionStorage.length"), 0);
      await page.press("Make the picture");
      await page.until("document.querySelector('#token-dialog').open");
      await page.press("Cancel", "dialog");
      await page.until(`/asks for a token/.test(${text("#stage .failed")})`);
      assert.deepEqual(faults(page), []);
    });

    test("who cancels at first may come back to it", async () => {
      const page = await open(server, { isClosed: true });
      await page.until("document.querySelector('#token-dialog').open");
      await page.press("Cancel", "dialog");
      await page.press("Enter a token", "#stage");
      await page.type("#token", "the-token");
      await page.press("Continue", "dialog");
      await page.until(modelsAreThere);
      await page.until(`/Say what you would like/.test(${text("#stage")})`);
    });
  });

  describe("with providers", () => {
    let server;
    before(async () => (server = await serverWith({ ...upstream.settings, GITEE_TOKENS: "gitee-token", HUGGINGFACE_TOKENS: "hf-token", ALLOW_PRIVATE_HOSTS: "127.0.0.1" })));
    const generate = async (page, prompt) => {
      await page.type("#prompt", prompt);
      await page.press("Make the picture");
    };

    test("a refused prompt shows the reason and the request's id", async () => {
      const page = await open(server);
      await generate(page, "a cat [unsafe]");
      await page.until("document.querySelector('#stage .failed') !== null");
      const said = await page.evaluate(text("#stage"));
      assert.match(said, /Gitee AI refuses this content/);
      assert.match(said, /violates the content policy/);
      const id = /Request ([0-9a-f]+)/.exec(said)?.[1];
      assert.ok(server.stderr.includes(`id=${id}`), said);
      assert.deepEqual(faults(page), []);
    });

    test("what the form says is what is sent", async () => {
      const page = await open(server);
      await page.evaluate(`(() => {
        const model = document.querySelector("#model");
        model.value = "gitee/flux-2";
        model.dispatchEvent(new Event("change"));
        for (const [id, value] of [["steps", 21], ["guidance", 5.5]]) {
          document.querySelector("#" + id).value = value;
          document.querySelector("#" + id).dispatchEvent(new Event("input"));
        }
        document.querySelector('[name=ar][value="3:4"]').click();
      })()`);
      assert.equal(await page.evaluate("document.querySelector('#steps').max"), "50");
      await page.type("#seed", "99");
      await generate(page, "a cat");
      const { width, height } = await shownPicture(page);
      assert.ok(width > 0 && height > 0);
      const { json } = (await upstream.log("generations"))[0];
      assert.deepEqual([json.model, json.prompt, json.seed, json.num_inference_steps, json.guidance_scale], ["FLUX.2-dev", "a cat", 99, 21, 5.5]);
      assert.ok(json.width < json.height);
      assert.match(await page.evaluate(text("#stage")), /seed 99 · steps 21 · guidance 5\.5/);
    });

    test("a cancelled request says so, and can be made again", async () => {
      const page = await open(server);
      await upstream.control({ next: [{ do: "stall", match: { path: "generations" } }] });
      await generate(page, "a cat");
      await page.press("Cancel", "#stage");
      await page.until(`/Cancelled/.test(${text("#stage h2")})`);
      await page.press("Try again", "#stage");
      await shownPicture(page);
      assert.deepEqual(faults(page), []);
    });

    test("up to 16 pictures go along with an edit", async () => {
      const page = await open(server);
      await chooseMode(page, "edit");
      await chooseFiles(page, pictureFiles(17));
      await page.until(`/No more than 16/.test(${text("#form-note")})`);
      assert.equal(await page.evaluate("document.querySelectorAll('#pictures img').length"), 16);
      await page.click("#pictures li:first-child button");
      await page.type("#prompt", "make it red");
      await page.press("Change the picture");
      await shownPicture(page);
      const { parts } = (await upstream.log("images/edits"))[0];
      assert.equal(parts.filter(({ name, type, size }) => name === "image" && type === "image/png" && size === tinyPng.length).length, 15);
      assert.equal(parts.find(({ name }) => name === "prompt").value, "make it red");
    });

    test("a file that is no picture is refused at once", async () => {
      const page = await open(server);
      await chooseMode(page, "upscale");
      const file = path.join(scratch(), "words.txt");
      writeFileSync(file, "words");
      await chooseFiles(page, [file]);
      await page.until(`/Only PNG/.test(${text("#form-note")})`);
      await page.press("Make it larger");
      await page.until(`/Choose a picture/.test(${text("#form-note")})`);
    });

    test("a picture is made larger, and taken along to be edited", async () => {
      const page = await open(server);
      await chooseMode(page, "upscale");
      await page.type("#link", `${upstream.origin}/files/picture.png`);
      await page.send("Input.dispatchKeyEvent", { type: "keyDown", key: "Tab", code: "Tab", windowsVirtualKeyCode: 9 });
      await page.press("Make it larger");
      await page.until(`/Upscale it|Edit it/.test(${text("#stage .row")})`);
      await page.press("Edit it", "#stage");
      assert.equal(await page.evaluate("document.querySelector('[name=mode]:checked').value"), "edit");
      assert.equal(await page.evaluate("document.querySelectorAll('#pictures img').length"), 1);
    });

    test("a video shows how far it is, and then itself", async () => {
      const page = await open(server);
      await chooseMode(page, "video");
      await chooseFiles(page, pictureFiles(1));
      await page.type("#prompt", "it walks");
      await page.press("Make the video");
      await page.until("document.querySelector('#stage progress')?.value > 0");
      assert.match(await page.evaluate(text("#stage .elapsed")), /about \d+ (s|min) left/);
      // What the stand-in calls a video is none: the page offers its address instead.
      const address = await page.until("document.querySelector('#stage video, #stage .error a') && document.querySelector('#stage a.button').href");
      assert.match(address, /video\.mp4$/);
    });

    test("a failed task tells the provider's reason", async () => {
      const page = await open(server);
      await upstream.control({ taskFails: true, polls: 0 });
      await chooseMode(page, "video");
      await chooseFiles(page, pictureFiles(1));
      await page.press("Make the video");
      await page.until(`/Out of GPU memory/.test(${text("#stage .failed")})`);
      assert.deepEqual(faults(page), []);
    });

    test("a prompt is improved in place, and one's own words come back", async () => {
      const page = await open(server);
      await page.type("#prompt", "a cat");
      await page.press("Improve");
      await page.until("document.querySelector('#prompt').value !== 'a cat'");
      assert.match(await page.evaluate("document.querySelector('#prompt').value"), /a cat/);
      await page.press("Back to my own words");
      assert.equal(await page.evaluate("document.querySelector('#prompt').value"), "a cat");
      await chooseMode(page, "text");
      await page.press("Improve my prompt");
      await page.press("Use as prompt", "#stage");
      assert.equal(await page.evaluate("document.querySelector('[name=mode]:checked').value"), "picture");
      assert.match(await page.evaluate("document.querySelector('#prompt').value"), /vivid.*a cat/);
    });

    test("used-up tokens are told with the time of their return", async () => {
      const spent = await serverWith({ ...upstream.settings, GITEE_TOKENS: "gitee-token" });
      await upstream.control({ tokens: { "gitee-token": { state: "exhausted", shape: "429" } } });
      const page = await open(spent);
      await generate(page, "a cat");
      await page.until("document.querySelector('#stage .failed') !== null");
      assert.match(await page.evaluate(text("#stage")), /All tokens of Gitee AI are used up\s+The first is back (at \d\d:\d\d \(in \d+ (min|h)\)|in \d+ s)/);
    });
  });

  describe("with other models than ours", () => {
    let server;
    before(async () => (server = await serverWith({})));
    async function openWith(models) {
      const page = await open(server);
      const source = `window.fetch = ((real) => (url, ...rest) => url.endsWith("/models") ? Promise.resolve(new Response(${JSON.stringify(JSON.stringify(models))})) : real(url, ...rest))(window.fetch)`;
      await page.send("Page.addScriptToEvaluateOnNewDocument", { source });
      await page.evaluate("document.title = 'old'; void location.reload()");
      await page.until("document.title !== 'old' && document.querySelector('#stage .card') !== null");
      return page;
    }

    test("a mode that no model can do is there, but cannot be chosen", async () => {
      const page = await openWith([{ id: "acme/writer", name: "Writer", type: ["text2text"] }, { id: "acme/film", name: "Film", type: ["text2video"] }]);
      assert.deepEqual(await page.evaluate("[...document.querySelectorAll('[name=mode]:disabled')].map((radio) => radio.value)"), ["picture", "edit", "upscale"]);
      assert.equal(await page.evaluate("document.querySelector('[name=mode]:checked').value"), "text");
      assert.equal(await page.evaluate(text("#provider")), "Acme");
      assert.deepEqual(page.complaints, []);
    });

    test("no model at all: what to do about it", async () => {
      const page = await openWith([]);
      assert.match(await page.evaluate(text("#stage")), /No model can serve now.*GITEE_TOKENS/s);
      assert.equal(await page.evaluate("document.querySelector('#submit').disabled"), true);
      assert.deepEqual(page.complaints, []);
    });
  });

  test("a server that went away is said to be away", async () => {
    const server = await serverWith({});
    const page = await open(server);
    servers.splice(servers.indexOf(server), 1);
    await server.stop();
    await page.type("#prompt", "a sea");
    await page.press("Make the picture");
    await page.until(`/cannot be reached/.test(${text("#stage .failed")})`);
  });
});
