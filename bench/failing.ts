import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type HostProcess, type Net, startNet } from "../test/support/net.ts";

/** What a publisher and a client wait while one of four writers is well, hangs, or is dead. */
export interface FailingRow {
  readonly task: string;
  /** Medians over the command line, its start included, seconds. */
  readonly publishS: number;
  readonly getS: number;
  /** As multiples of the healthy network's. */
  readonly publishRatio: number;
  readonly getRatio: number;
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const at = performance.now();
  await work();
  return (performance.now() - at) / 1000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** So many times each, in one network. */
export async function benchFailing(times: number): Promise<readonly FailingRow[]> {
  const net = await startNet({ writers: 4, readers: 0, logLevel: "silent" });
  try {
    const measured = measure(net, times);
    const [publish, get] = [await measured.publish(), await measured.get()];
    const rows: FailingRow[] = [
      { task: "healthy", publishS: publish, getS: get, publishRatio: 1, getRatio: 1 },
    ];
    const victim = net.host("w3");
    for (const [task, fail] of [
      ["one of four hangs", (host: HostProcess) => void process.kill(host.pid, "SIGSTOP")],
      ["one of four is dead", (host: HostProcess) => host.end("SIGKILL")],
    ] as const) {
      await fail(victim);
      const [publishS, getS] = [await measured.publish(), await measured.get()];
      rows.push({ task, publishS, getS, publishRatio: publishS / publish, getRatio: getS / get });
    }
    return rows;
  } finally {
    await net.stop();
  }
}

function measure(net: Net, times: number): { publish(): Promise<number>; get(): Promise<number> } {
  const source = join(net.directory, "failing");
  const copy = join(net.directory, "copy");
  let version = 0;
  const repeated = async (once: () => Promise<unknown>): Promise<number> => {
    // The first one warms.
    await once();
    const all: number[] = [];
    for (let i = 0; i < times; i++) all.push(await seconds(once));
    return median(all);
  };
  return {
    publish: () =>
      repeated(async () => {
        await mkdir(source, { recursive: true });
        await writeFile(join(source, "file"), `${version++}`);
        await net.must("publish", source, "failing");
      }),
    get: () =>
      repeated(async () => {
        await rm(copy, { recursive: true, force: true });
        await net.must("get", "failing", copy);
      }),
  };
}
