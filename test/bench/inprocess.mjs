// inprocess.mjs: what run.mjs measures of the library inside other people's processes.
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import path from "node:path";

const LOADS = 21;
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

export function measureInProcess({ section, row, program, build, scratch, has, isQuick }) {
  const pinned = (command, ...args) => (has("taskset") ? execFileSync("taskset", ["-c", "0", command, ...args]) : execFileSync(command, args)).toString();
  const library = path.join(build, "libimagine.so");

  section("A call in process, no HTTP: the io table answers at once");
  const { cpuNs, cjsonNs, allocations, bytes, waitingBytes } = JSON.parse(pinned(program("inprocess"), "calls", isQuick ? "100000" : "500000"));
  row("call_cpu_us", "CPU time a picture", cpuNs / 1000, "µs", { max: 10 });
  row("call_cjson_us", "cJSON alone: such a request written, its answer read", cjsonNs / 1000, "µs");
  row("call_times_cjson", "times cJSON alone", cpuNs / cjsonNs, "");
  row("call_allocations", "allocations a picture", allocations, "");
  row("call_bytes", "bytes allocated a picture", bytes, "B");
  row("call_waiting_bytes", "bytes held by one of 10 000 that wait, as malloc rounds", waitingBytes, "B", { max: 3200 });

  section("The library as a guest");
  const loads = (file) => median(Array.from({ length: LOADS }, () => Number(pinned(program("loadtime"), file))));
  const [ours, curls] = [loads(library), loads("libcurl.so.4")];
  row("load_us", "loading libimagine.so into a fresh process", ours, "µs");
  row("load_curl_us", "loading libcurl.so.4, of that", curls, "µs");
  row("load_times_curl", "times libcurl", ours / curls, "", { max: 2 });
  const stripped = path.join(scratch, "stripped.so");
  execFileSync("strip", ["-o", stripped, library]);
  row("stripped_kib", "libimagine.so, stripped", statSync(stripped).size / 1024, "KiB", { max: 1024 });
  const none = JSON.parse(pinned(program("inprocess"), "idle", "none"));
  for (const [mode, title] of [["private", "with its own thread"], ["manual", "manual"], ["loop", "on the host's loop"]]) {
    const { threads, descriptors } = JSON.parse(pinned(program("inprocess"), "idle", mode));
    row(`idle_${mode}_threads`, `threads of an idle client, ${title}`, threads - none.threads, "", { max: mode === "private" ? 1 : 0 });
    row(`idle_${mode}_descriptors`, `its descriptors, ${title}`, descriptors - none.descriptors, "");
  }
}
