import { createHash } from "node:crypto";
import { performance } from "node:perf_hooks";
import { appendMessages } from "../src/app/client/index.ts";

/** What one load process is asked to do; given as JSON in argv. */
export interface LoadOrder {
  readonly writers: readonly string[];
  readonly messageBytes: number;
  /** Messages in one append. */
  readonly batch: number;
  /** Appends under way at once. */
  readonly outstanding: number;
  readonly warmMs: number;
  readonly runMs: number;
}

export interface LoadResult {
  readonly messages: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Hash over the places that were acknowledged: shows that work was done. */
  readonly workHash: string;
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Closed loop: each of `outstanding` slots appends, waits until the batch is ordered, and appends again. */
async function load(order: LoadOrder): Promise<LoadResult> {
  const latencies: number[] = [];
  const hash = createHash("sha256");
  const startedAt = performance.now() + order.warmMs;
  const endsAt = startedAt + order.runMs;
  let messages = 0;
  const slot = async (i: number): Promise<void> => {
    const writer = order.writers[i % order.writers.length] ?? "";
    const batch = Array.from({ length: order.batch }, (_, k) =>
      Buffer.alloc(order.messageBytes, `${i}.${k} `),
    );
    for (let at = performance.now(); at < endsAt; at = performance.now()) {
      const { index, count } = await appendMessages(writer, batch);
      const now = performance.now();
      if (at < startedAt || now > endsAt) continue;
      latencies.push(now - at);
      messages += count;
      hash.update(`${index}:${count};`);
    }
  };
  await Promise.all(Array.from({ length: order.outstanding }, (_, i) => slot(i)));
  latencies.sort((a, b) => a - b);
  return {
    messages,
    seconds: order.runMs / 1000,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    workHash: hash.digest("hex").slice(0, 16),
  };
}

process.stdout.write(
  `${JSON.stringify(await load(JSON.parse(process.argv[2] ?? "{}") as LoadOrder))}\n`,
);
