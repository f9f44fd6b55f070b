// devtools.mjs: a headless Chromium over the DevTools protocol, through two pipes: messages are JSON
// that ends with a NUL byte, requests go to its descriptor 3, answers come from 4. No port, no
// WebSocket, no package. https://chromedevtools.github.io/devtools-protocol/ names the methods.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { eventually, scratch } from "./harness.mjs";

export const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

const CALL_MS = 20000;
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"];

export async function startBrowser() {
  const home = scratch();
  const child = spawn(chromium, [...flags, `--user-data-dir=${home}/profile`], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, HOME: home, LANG: "C.UTF-8", TZ: "UTC" },
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  const [, , , input, output] = child.stdio;
  const waiting = new Map(); // id: {resolve, reject}
  const pages = new Map(); // session: (method, params)
  let lastId = 0;
  let rest = Buffer.alloc(0);

  const on = (message) => {
    if (message.id === undefined) {
      pages.get(message.sessionId)?.(message.method, message.params);
      return;
    }
    const { resolve, reject } = waiting.get(message.id) ?? {};
    waiting.delete(message.id);
    if (message.error) reject?.(new Error(message.error.message));
    else resolve?.(message.result);
  };
  output.on("data", (piece) => {
    rest = Buffer.concat([rest, piece]);
    for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1)) on(JSON.parse(rest.toString("utf8", 0, end)));
  });
  input.on("error", () => {});

  const call = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      const timer = setTimeout(() => reject(new Error(`${method}: no answer from Chromium`)), CALL_MS);
      const settle = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });

  return {
    newPage: (url, options) => newPage(call, pages, url, options),
    async stop() {
      await Promise.race([call("Browser.close").catch(() => {}), ended]);
      const timer = setTimeout(kill, 5000);
      await ended;
      clearTimeout(timer);
      process.off("exit", kill);
    },
  };
}

/** One tab, in a context of its own: no other tab's storage. */
async function newPage(call, pages, url, { width = 1280, height = 900, isDark = false, isPhone = false } = {}) {
  const { browserContextId } = await call("Target.createBrowserContext");
  const { targetId } = await call("Target.createTarget", { url: "about:blank", browserContextId });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => call(method, params, sessionId);
  const complaints = []; // of the console, of the network, of the policy
  const requests = [];
  pages.set(sessionId, (method, params) => {
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) complaints.push(params.args.map((arg) => arg.value ?? arg.description).join(" "));
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    if (method === "Audits.issueAdded") complaints.push(JSON.stringify(params.issue));
    if (method === "Network.requestWillBeSent") requests.push(params.request.url);
  });
  for (const domain of ["Page", "Runtime", "Log", "Network", "Audits"]) await send(`${domain}.enable`);
  await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: isPhone });
  await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: isDark ? "dark" : "light" }, { name: "prefers-reduced-motion", value: "reduce" }] });

  const page = {
    complaints,
    requests,
    send,
    /** The value of an expression in the page; a promise is waited for. */
    async evaluate(expression) {
      const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, userGesture: true });
      if (exceptionDetails) assert.fail(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
      return result.value;
    },
    /** Waits until an expression is true, and gives its value. */
    until: (expression, options) => eventually(expression, () => page.evaluate(expression), { timeoutMs: 15000, ...options }),
    /** A real click, in the middle of what is visible of it. */
    async click(selector) {
      const { x, y } = await page.until(`(() => {
        const element = document.querySelector(${JSON.stringify(selector)});
        if (!element || element.disabled) return null;
        element.scrollIntoView({ block: "center", behavior: "instant" });
        const { left, top, width, height } = element.getBoundingClientRect();
        return width > 0 && { x: left + width / 2, y: top + height / 2 };
      })()`);
      for (const type of ["mousePressed", "mouseReleased"]) await send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    },
    /** The button that says so. */
    async press(text, within = "body") {
      await page.until(`(() => {
        const found = [...document.querySelectorAll(${JSON.stringify(`${within} button, ${within} a.button`)})].find((each) => each.textContent.includes(${JSON.stringify(text)}));
        document.querySelectorAll("[data-test]").forEach((each) => delete each.dataset.test);
        if (found) found.dataset.test = "";
        return found !== undefined;
      })()`);
      await page.click("[data-test]");
    },
    /** Types into a field, which is emptied first. */
    async type(selector, text) {
      await page.click(selector);
      await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).select()`);
      await send("Input.insertText", { text });
    },
    /** A PNG of the page, for people. */
    async screenshot({ isWhole = false } = {}) {
      const { data } = await send("Page.captureScreenshot", { format: "png", captureBeyondViewport: isWhole });
      return Buffer.from(data, "base64");
    },
  };
  await send("Page.navigate", { url });
  await page.until("document.readyState === 'complete'");
  return page;
}
