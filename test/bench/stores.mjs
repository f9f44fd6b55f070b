// stores.mjs: what run.mjs measures of the storages: a server with each of them, one whose Redis
// stands still, two servers on one Redis, and the threads of one server.
import { execFileSync } from "node:child_process";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** How many commands Redis was given since it began. */
function askedOf(port) {
  const lines = execFileSync("redis-cli", ["-p", String(port), "info", "commandstats"]).toString();
  let commands = 0;
  for (const [, name, calls] of lines.matchAll(/cmdstat_([\w|]+):calls=(\d+)/g)) if (!name.startsWith("info")) commands += Number(calls);
  return commands;
}

export async function measureStores({ section, row, start, stop, startServer, load, loadOn, freePort, untilListening, has, base, results, cores, seconds }) {
  const withBase = (environment) => startServer({ GITEE_API_BASE: base, ...environment });

  /** As fast as it goes, and what a steady load has to wait. */
  async function measureOne(key, title, environment) {
    const api = await withBase(environment);
    await load(api, "closed", 64, 1);
    const fast = await loadOn(api, "closed", 64, seconds);
    const steady = await load(api, "open", 200, seconds, 5000);
    row(`store_${key}_per_second`, `requests a second, ${title}`, fast.perSecond, "/s");
    row(`store_${key}_cpu_us`, `CPU time a request, ${title}`, fast.cpuUs, "µs", key === "memory" ? undefined : { max: 100 });
    row(`store_${key}_p99_us`, `p99 at 5 000 a second, ${title}`, steady.p99_us, "µs");
    row(`store_${key}_failed`, `without a good answer, ${title}`, fast.answers - fast.ok + fast.errors + steady.answers - steady.ok + steady.errors, "", { max: 0 });
    await stop(api.child);
  }

  section("Where the state is, one core");
  await measureOne("memory", "in memory", { STATE_FILE: "" });
  await measureOne("sqlite", "in SQLite", {});
  if (!has("redis-server") || !has("redis-cli")) return;

  const port = await freePort();
  const redis = start(1, "redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" });
  await untilListening(port, redis);
  const shared = { STATE_FILE: "", REDIS_URL: `redis://127.0.0.1:${port}` };
  await measureOne("redis", "in Redis", shared);

  section("2 000 requests a second, Redis");
  const unlimited = await withBase({ ...shared, RATE_LIMIT: "0" });
  await load(unlimited, "closed", 64, 1);
  const before = askedOf(port);
  const counted = await load(unlimited, "open", 100, seconds, 2000);
  row("store_redis_commands", "commands to Redis for each request that no limit counts", (askedOf(port) - before) / counted.ok, "", { max: 0.01 });
  await stop(unlimited.child);

  const api = await withBase(shared);
  await load(api, "closed", 64, 1);
  const running = load(api, "open", 400, seconds * 2, 2000);
  await pause((seconds * 1000) / 2);
  redis.kill("SIGSTOP");
  await pause(seconds * 1000);
  redis.kill("SIGCONT");
  const paused = await running;
  row("store_paused_failed", "without a good answer, Redis stands still half of the time", paused.answers - paused.ok + paused.errors, "", { max: 0 });
  row("store_paused_p99_us", "p99 over all of it", paused.p99_us, "µs");
  row("store_paused_max_ms", "the longest", paused.max_us / 1000, "ms", { max: 300 });
  await stop(api.child);

  section("Two servers on one Redis, a core each; the load shares them");
  const both = [await withBase(shared), await startServer({ GITEE_API_BASE: base, ...shared }, cores > 1 ? 1 : 0)];
  await Promise.all(both.map((one) => load(one, "closed", 32, 1)));
  const loads = await Promise.all(both.map((one) => loadOn(one, "closed", 32, seconds)));
  row("store_two_per_second", "requests a second, both", loads[0].perSecond + loads[1].perSecond, "/s");
  row("store_two_p99_us", "p99, the slower one", Math.max(...loads.map((result) => result.p99_us)), "µs");
  row("store_two_failed", "without a good answer", loads.reduce((sum, result) => sum + result.answers - result.ok + result.errors, 0), "", { max: 0 });
  for (const one of both) await stop(one.child);
  await stop(redis);

  section(`Threads of one server on ${cores} cores; the load shares them`);
  for (const workers of [1, 2]) {
    const threads = await startServer({ GITEE_API_BASE: base, STATE_FILE: "", WORKERS: String(workers) }, null);
    await load(threads, "closed", 64, 1);
    const result = await loadOn(threads, "closed", 64, seconds);
    row(`workers_${workers}_per_second`, `requests a second, WORKERS=${workers}`, result.perSecond, "/s");
    row(`workers_${workers}_cpu_us`, `CPU time a request, WORKERS=${workers}`, result.cpuUs, "µs", workers === 1 ? undefined : { max: 1.5 * results.workers_1_cpu_us + 5 });
    row(`workers_${workers}_p99_us`, `p99, WORKERS=${workers}`, result.p99_us, "µs");
    await stop(threads.child);
  }
}
