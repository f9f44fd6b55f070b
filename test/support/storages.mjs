// storages.mjs: where servers can keep their state, each a real engine or a strict stand-in of its
// own: {settings, secrets, dump()}, where `dump` is all that it holds, as one text.
import { readFileSync } from "node:fs";
import path from "node:path";
import { scratch } from "./harness.mjs";
import { cloudflareToken, startKv, upstashToken } from "./kv.mjs";
import { startRedis } from "./redis.mjs";

const password = "redis-pass";
const account = "0123456789abcdef0123456789abcdef";

async function dumpOf(keys, read) {
  return (await Promise.all(keys.map(async (key) => `${key}\n${await read(key)}`))).join("\n");
}

/** By name, what opens one; `stopped(thing)` is told of everything that is to be stopped. */
export const storages = {
  async sqlite() {
    const file = path.join(scratch(), "state.db");
    const read = (name) => {
      try {
        return readFileSync(name, "latin1");
      } catch {
        return "";
      }
    };
    return { settings: { STATE_FILE: file }, secrets: [], dump: async () => ["", "-wal"].map((end) => read(file + end)).join("") };
  },

  async redis(stopped) {
    const redis = stopped(await startRedis({ password }));
    return {
      redis,
      settings: { REDIS_URL: redis.url },
      secrets: [password],
      dump: async () => dumpOf((await redis.ask("KEYS", "*")).match(/^[^*$+:\r\n][^\r\n]*$/gm) ?? [], (key) => redis.ask("GET", key)),
    };
  },

  async upstash(stopped) {
    const kv = stopped(await startKv());
    return {
      settings: { KV_REST_API_URL: kv.upstash, KV_REST_API_TOKEN: upstashToken },
      secrets: [upstashToken],
      dump: async () => dumpOf(await kv.redis("KEYS", "*"), (key) => kv.redis("GET", key)),
    };
  },

  /** Not atomic: good for one server. */
  async cloudflare(stopped) {
    const kv = stopped(await startKv());
    const base = `${kv.cloudflare}/client/v4`, place = `${base}/accounts/${account}/storage/kv/namespaces/state`;
    const read = (where) => fetch(`${place}/${where}`, { headers: { authorization: `Bearer ${cloudflareToken}` } });
    return {
      settings: { CF_API_BASE: base, CF_ACCOUNT_ID: account, CF_KV_NAMESPACE_ID: "state", CF_API_TOKEN: cloudflareToken },
      secrets: [cloudflareToken],
      async dump() {
        const { result } = await (await read("keys")).json();
        return dumpOf(result.map(JSON.stringify), async (key) => (await read(`values/${encodeURIComponent(JSON.parse(key).name)}`)).text());
      },
    };
  },
};
