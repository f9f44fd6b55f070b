// redis.mjs: a real redis-server on a free port of its own, for as long as a test needs it.
import { spawn } from "node:child_process";
import net from "node:net";
import { eventually, scratch } from "./harness.mjs";

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** One command; what the server answers, as it stands on the wire. */
function ask(port, command, password) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      for (const words of [...(password ? [["AUTH", password]] : []), command])
        socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
      socket.end();
    });
    let answer = "";
    socket.setTimeout(5000, () => socket.destroy(new Error("redis-server does not answer")));
    socket.on("data", (data) => (answer += data.toString("latin1")));
    socket.on("end", () => resolve(answer));
    socket.on("error", reject);
  });
}

/** {url, port, ask(...words), pause(), resume(), kill(), start(), stop()} */
export async function startRedis({ args = [], password } = {}) {
  const port = await freePort(), folder = scratch();
  let child;
  const redis = {
    port,
    folder,
    url: `redis://${password ? `:${encodeURIComponent(password)}@` : ""}127.0.0.1:${port}`,
    ask: (...words) => ask(port, words, password),
    async start() {
      child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", ...(password ? ["--requirepass", password] : []), ...args], { stdio: "ignore" });
      child.on("error", () => {});
      await eventually("redis-server answers", () => redis.ask("PING").then((text) => text.includes("PONG") || undefined, () => undefined));
    },
    pause: () => child.kill("SIGSTOP"),
    resume: () => child.kill("SIGCONT"),
    /** Ends it at once; start() begins with an empty one, unless it was told to keep its data. */
    async kill() {
      const gone = new Promise((resolve) => (child.exitCode !== null || child.signalCode !== null ? resolve() : child.once("exit", resolve)));
      child.kill("SIGKILL");
      await gone;
    },
    stop: () => redis.kill(),
  };
  await redis.start();
  return redis;
}
