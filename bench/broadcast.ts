import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Net, startNet, until } from "../test/support/net.ts";
import type { LoadOrder, LoadResult } from "./load.ts";
import { usageOf } from "./usage.ts";

const load = fileURLToPath(new URL("./load.js", import.meta.url));
const cheater = fileURLToPath(new URL("./cheater.js", import.meta.url));
const run = promisify(execFile);

/** One row of the table. */
export interface BroadcastRow {
  readonly task: string;
  readonly writers: number;
  readonly messagesPerS: number;
  /** Accepted payload, 10^6 bytes a second. */
  readonly payloadMBs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of all writers together, microseconds for each message. */
  readonly cpuUsPerMessage: number;
  /** Bytes handed to all links for each byte of accepted payload. */
  readonly wirePerByte: number;
  /** Largest memory of a writer: its own, all that is resident (mapped files too), and the most so far; 2^20 bytes. */
  readonly ownMiB: number;
  readonly rssMiB: number;
  readonly peakMiB: number;
  readonly workHash: string;
}

type Task = Omit<LoadOrder, "writers" | "messageBytes" | "runMs" | "warmMs"> & {
  readonly task: string;
};

const messageBytes = 100;
const light: Task = { task: "light: one outstanding", batch: 1, outstanding: 1 };
const many: Task = { task: "100 clients, one message each", batch: 1, outstanding: 100 };
const saturated: Task = { task: "saturated: 16 × 1000", batch: 1000, outstanding: 16 };
const deep: Task = { task: "64 × 1000", batch: 1000, outstanding: 64 };

async function measure(
  net: Net,
  { task, ...order }: Task,
  { runMs, through = net.writers }: { readonly runMs: number; readonly through?: Net["writers"] },
): Promise<BroadcastRow> {
  const hosts = net.writers.filter((host) => host.isRunning);
  const warmMs = Math.min(1500, runMs / 2);
  const sentBytes = async (): Promise<number> => {
    const sent = hosts.map((host) => host.metric("smalti_link_sent_bytes"));
    return (await Promise.all(sent)).reduce((sum, bytes) => sum + bytes, 0);
  };
  const ordered = async (): Promise<number> => (await hosts[0]?.status())?.messages ?? 0;
  const [cpu, sent, messages] = [
    hosts.map(({ pid }) => usageOf(pid)),
    await sentBytes(),
    await ordered(),
  ];
  const writers = through.map(({ http }) => http);
  const { stdout } = await run(process.execPath, [
    load,
    JSON.stringify({ ...order, messageBytes, warmMs, runMs, writers }),
  ]);
  const result = JSON.parse(stdout) as LoadResult;
  const [now, done] = [hosts.map(({ pid }) => usageOf(pid)), (await ordered()) - messages];
  const cpuS = now.reduce((sum, usage, i) => sum + usage.cpuS - (cpu[i]?.cpuS ?? 0), 0);
  return {
    task,
    writers: net.writers.length,
    messagesPerS: result.messages / result.seconds,
    payloadMBs: (result.messages * messageBytes) / result.seconds / 1e6,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuUsPerMessage: (cpuS * 1e6) / done,
    wirePerByte: ((await sentBytes()) - sent) / (done * messageBytes),
    ownMiB: Math.max(...now.map((usage) => usage.anonymousBytes)) / 2 ** 20,
    rssMiB: Math.max(...now.map((usage) => usage.rssBytes)) / 2 ** 20,
    peakMiB: Math.max(...now.map((usage) => usage.peakBytes)) / 2 ** 20,
    workHash: result.workHash,
  };
}

/** Fresh processes run in the interpreter: the code is warmed before anything is counted. */
async function warmed(
  writers: number,
  runMs: number,
  work: (net: Net) => Promise<readonly BroadcastRow[]>,
): Promise<readonly BroadcastRow[]> {
  const net = await startNet({ writers, readers: 0, logLevel: "silent" });
  try {
    await measure(net, { ...saturated, batch: 100, outstanding: 32 }, { runMs });
    return await work(net);
  } finally {
    await net.stop();
  }
}

/** What one of four writers does wrong while the others are under the same load as in "healthy". */
const faults = ["healthy", "dead", "slow", "withhold", "equivocate"] as const;

async function faulty(
  fault: (typeof faults)[number],
  runMs: number,
): Promise<readonly BroadcastRow[]> {
  return warmed(4, runMs, async (net) => {
    const bad = net.host("w3");
    if (fault !== "healthy") await bad.end("SIGKILL");
    if (fault !== "healthy" && fault !== "dead")
      await bad.start([process.execPath, cheater, fault]);
    const through = net.writers.filter((host) => host !== bad);
    await until(async () => (await net.host("w0").status()).peers.length > 1, 20_000, "links");
    return [
      await measure(net, { ...saturated, task: `one of four: ${fault}` }, { runMs, through }),
    ];
  });
}

/** Writers as processes on loopback, durable, authenticated; 100-byte messages; clients in a process of their own. */
export async function benchBroadcast(options: {
  readonly runMs: number;
  readonly isSmall: boolean;
}): Promise<readonly BroadcastRow[]> {
  const { runMs, isSmall } = options;
  const rows: BroadcastRow[] = [];
  const four = isSmall
    ? [light, saturated]
    : [
        { ...light, task: "(the same, not yet warm)" },
        light,
        many,
        { ...saturated, task: "10 × 1000", outstanding: 10 },
        saturated,
        deep,
      ];
  rows.push(
    ...(await warmed(4, runMs, async (net) => {
      const measured: BroadcastRow[] = [];
      for (const task of four) measured.push(await measure(net, task, { runMs }));
      return measured;
    })),
  );
  // More writers are saturated by more clients: a round costs more, and must carry more.
  for (const writers of isSmall ? [] : [7, 10])
    rows.push(
      ...(await warmed(writers, runMs, async (net) => [
        await measure(net, saturated, { runMs }),
        await measure(net, deep, { runMs }),
      ])),
    );
  for (const fault of isSmall ? (["equivocate"] as const) : faults)
    rows.push(...(await faulty(fault, runMs)));
  return rows;
}

/** Saturation for a long time: what a writer's memory does. One row a minute. */
export async function benchSoak(minutes: number): Promise<readonly BroadcastRow[]> {
  return warmed(4, 5000, async (net) => {
    const rows: BroadcastRow[] = [];
    for (let minute = 1; minute <= minutes; minute++)
      rows.push(await measure(net, { ...saturated, task: `minute ${minute}` }, { runMs: 60_000 }));
    return rows;
  });
}
