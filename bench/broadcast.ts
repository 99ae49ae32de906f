import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Net, startNet } from "../test/support/net.ts";
import type { LoadOrder, LoadResult } from "./load.ts";
import { usageOf } from "./usage.ts";

const load = fileURLToPath(new URL("./load.js", import.meta.url));
const run = promisify(execFile);

/** One row of the table. */
export interface BroadcastRow {
  readonly name: string;
  readonly messagesPerS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU seconds a second, all writers together, and of the load process apart. */
  readonly writersCpu: number;
  readonly peakMiB: number;
  readonly workHash: string;
}

async function measure(
  net: Net,
  name: string,
  order: Omit<LoadOrder, "writers">,
): Promise<BroadcastRow> {
  const pids = net.writers.map((writer) => writer.pid);
  const before = pids.map(usageOf);
  const at = performance.now();
  const writers = net.writers.map((writer) => writer.http);
  const { stdout } = await run(process.execPath, [load, JSON.stringify({ ...order, writers })]);
  const seconds = (performance.now() - at) / 1000;
  const after = pids.map(usageOf);
  const result = JSON.parse(stdout) as LoadResult;
  const cpuS = after.reduce((sum, usage, i) => sum + usage.cpuS - (before[i]?.cpuS ?? 0), 0);
  return {
    name,
    messagesPerS: Math.round(result.messages / result.seconds),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    writersCpu: cpuS / seconds,
    peakMiB: Math.max(...after.map((usage) => usage.peakBytes)) / 1048576,
    workHash: result.workHash,
  };
}

/** n writers as processes on loopback, durable, authenticated; 100-byte messages; clients in a process of their own. */
export async function benchBroadcast(options: {
  readonly writers: number;
  readonly runMs: number;
}): Promise<BroadcastRow[]> {
  const net = await startNet({ writers: options.writers, readers: 0, logLevel: "silent" });
  const common = {
    messageBytes: 100,
    warmMs: Math.min(2000, options.runMs / 2),
    runMs: options.runMs,
  };
  try {
    // Fresh processes run in the interpreter: the code is warmed before anything is counted.
    await measure(net, "warm-up", { ...common, batch: 100, outstanding: 32 });
    return [
      await measure(net, "light: one outstanding", { ...common, batch: 1, outstanding: 1 }),
      await measure(net, "100 clients, one message each", {
        ...common,
        batch: 1,
        outstanding: 100,
      }),
      await measure(net, "saturated: 16 × 1000", { ...common, batch: 1000, outstanding: 16 }),
      await measure(net, "saturated: 64 × 1000", { ...common, batch: 1000, outstanding: 64 }),
    ];
  } finally {
    await net.stop();
  }
}
