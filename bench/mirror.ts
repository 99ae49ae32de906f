import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Net, startNet, until } from "../test/support/net.ts";
import { has, RsyncMirrors } from "./rsync.ts";

/** The same task by smalti (to the writer that takes it and three others) and by rsync daemons (to three mirrors). */
export interface MirrorRow {
  readonly task: string;
  /** Until the publisher has his receipt, seconds. */
  readonly publishedS: number;
  /** Until all hosts serve it, seconds. */
  readonly everywhereS: number;
  readonly rsyncS: number | undefined;
  readonly ratio: number | undefined;
  /** Content fetched by one host on the average, and by rsync; 10^6 bytes. */
  readonly movedMB: number;
  readonly rsyncMovedMB: number | undefined;
  readonly workHash: string;
}

async function timed<T>(
  work: () => Promise<T>,
): Promise<{ readonly s: number; readonly value: T }> {
  const at = performance.now();
  const value = await work();
  return { s: (performance.now() - at) / 1000, value };
}

/** What one task left to be written to the disk is not to be counted to the next. */
async function settled(): Promise<void> {
  await promisify(execFile)("sync");
}

async function fetchedBytes(net: Net): Promise<number> {
  let sum = 0;
  for (const { host } of net.writers) {
    const text = await (await fetch(`${host.admin}/metrics`)).text();
    for (const [, value] of text.matchAll(/^smalti_sync_bytes_total\{.*\} (\S+)$/gm))
      sum += Number(value);
  }
  return sum;
}

/** One network, one set of mirrors, and a directory that both follow. */
class Race {
  readonly #net: Net;
  readonly #mirrors: RsyncMirrors | undefined;
  readonly source: string;
  #height = 0;

  constructor(net: Net, mirrors: RsyncMirrors | undefined, source: string) {
    this.#net = net;
    this.#mirrors = mirrors;
    this.source = source;
  }

  async run(task: string, isChange = true): Promise<MirrorRow> {
    if (isChange) this.#height++;
    await settled();
    const before = await fetchedBytes(this.#net);
    const at = performance.now();
    const published = await timed(() =>
      this.#net.must("publish", this.source, "bench", "--delete"),
    );
    const isThere = async (): Promise<boolean> => {
      const states = await Promise.all(this.#net.writers.map((host) => host.status()));
      return states.every(({ height }) => height >= this.#height);
    };
    await until(isThere, 120_000, "all hosts have it");
    const everywhereS = (performance.now() - at) / 1000;
    const moved = (await fetchedBytes(this.#net)) - before;
    const mirrors = this.#mirrors;
    await settled();
    const rsync = mirrors && (await timed(() => mirrors.copy(this.source)));
    const states = await Promise.all(this.#net.writers.map((host) => host.status()));
    const digests = states.map(({ stateDigest }) => stateDigest).join();
    return {
      task,
      publishedS: published.s,
      everywhereS,
      rsyncS: rsync?.s,
      ratio: rsync && everywhereS / rsync.s,
      movedMB: moved / 3 / 1e6,
      rsyncMovedMB: rsync && rsync.value / 1e6,
      workHash: createHash("sha256").update(digests).digest("hex").slice(0, 16),
    };
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** What takes less than a few seconds is done three times: the medians. */
async function thrice(once: () => Promise<MirrorRow>): Promise<MirrorRow> {
  const rows = [await once(), await once(), await once()] as const;
  const [publishedS, everywhereS] = [
    median(rows.map((row) => row.publishedS)),
    median(rows.map((row) => row.everywhereS)),
  ];
  const theirs = rows.flatMap(({ rsyncS }) => rsyncS ?? []);
  const rsyncS = theirs.length === rows.length ? median(theirs) : undefined;
  return { ...rows[2], publishedS, everywhereS, rsyncS, ratio: rsyncS && everywhereS / rsyncS };
}

async function raced(
  fill: (source: string) => Promise<void>,
  work: (race: Race) => Promise<readonly MirrorRow[]>,
): Promise<readonly MirrorRow[]> {
  const directory = await mkdtemp(join(tmpdir(), "smalti-bench-"));
  const source = join(directory, "source");
  await mkdir(source);
  await fill(source);
  // A file that was written just now is read twice by whoever is careful.
  await sleep(2500);
  const net = await startNet({ writers: 4, readers: 0, logLevel: "silent" });
  const mirrors = (await has("rsync")) ? new RsyncMirrors(directory) : undefined;
  try {
    await mirrors?.start();
    return await work(new Race(net, mirrors, source));
  } finally {
    await mirrors?.stop();
    await net.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

const perDirectory = 100;

function pathOf(source: string, i: number): string {
  return join(source, `d${Math.floor(i / perDirectory)}`, `f${i}`);
}

async function smallFiles(source: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (i % perDirectory === 0) await mkdir(join(pathOf(source, i), ".."), { recursive: true });
    await writeFile(pathOf(source, i), randomBytes(8000));
  }
}

function* random(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= 2 ** 20) yield randomBytes(Math.min(left, 2 ** 20));
}

/** Many small files, then large ones: first, nothing changed, a part changed. */
export async function benchMirror(options: {
  readonly files: number;
  readonly large: number;
  readonly largeBytes: number;
}): Promise<readonly MirrorRow[]> {
  const { files, large, largeBytes } = options;
  const small = await raced(
    (source) => smallFiles(source, files),
    async (race) => {
      const rows = [await race.run(`${files} files of 8 kB`)];
      rows.push(await thrice(() => race.run("nothing changed", false)));
      rows.push(
        await thrice(async () => {
          for (let i = 0; i < files; i += perDirectory)
            await appendFile(pathOf(race.source, i), "changed");
          return race.run("1 % changed");
        }),
      );
      await smallFiles(race.source, files);
      rows.push(await race.run("all changed"));
      return rows;
    },
  );
  const big = await raced(
    async (source) => {
      for (let i = 0; i < large; i++)
        await pipeline(Readable.from(random(largeBytes)), createWriteStream(join(source, `b${i}`)));
    },
    async (race) => {
      const rows = [await race.run(`${large} × ${(largeBytes / 2 ** 20).toFixed(0)} MiB`)];
      const path = join(race.source, "b0");
      rows.push(
        await thrice(async () => {
          const bytes = await readFile(path);
          const [head, tail] = [bytes.subarray(0, largeBytes / 2), bytes.subarray(largeBytes / 2)];
          await writeFile(path, Buffer.concat([head, randomBytes(1024), tail]));
          return race.run("1 KiB inserted in the middle of one");
        }),
      );
      return rows;
    },
  );
  return [...small, ...big];
}
