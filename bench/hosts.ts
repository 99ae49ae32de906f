import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Agent, request } from "undici";
import { fields, optional, read, type Shape, text } from "../src/core/codec/index.ts";
import { type CommitRange, commitRangeShape } from "../src/core/dag/index.ts";
import { type HostProcess, type Net, startNet, until } from "../test/support/net.ts";
import { type Publisher, publisherOf } from "../test/support/publisher.ts";
import { usageOf } from "./usage.ts";

const MiB = 2 ** 20;

/** One update of many small files, in a network of four writers and a reader. */
export interface LargeRow {
  readonly task: string;
  /** Until the publisher has his receipt, seconds. */
  readonly publishedS: number;
  /** Until all hosts serve it, seconds, and as a multiple of `publishedS`. */
  readonly everywhereS: number;
  readonly ratio: number;
  /** Longest time that a small request, asked every 20 ms, took at any host. */
  readonly longestMs: number;
  /** Largest memory of any host: all that is resident, and what is not pages of files, MiB. */
  readonly peakMiB: number;
  readonly ownMiB: number;
  readonly workHash: string;
}

/** Followers that wait for news of one host, while somebody publishes. */
export interface FollowersRow {
  readonly followers: number;
  readonly publishesPerS: number;
  /** Share of one core that the followed host takes. */
  readonly cpuShare: number;
  /** From the moment when the first follower hears of a commit to when each other one does. */
  readonly newsP50Ms: number;
  readonly newsP99Ms: number;
  readonly answers: number;
  readonly rssMiB: number;
}

/** Memory after so many heights. */
export interface GrowthRow {
  readonly heights: number;
  readonly trees: number;
  readonly publishesPerS: number;
  /** Memory of its own (not pages of files) of the writer and the reader, MiB. */
  readonly writerMiB: number;
  readonly readerMiB: number;
  /** The replicated state and history on the disk of the writer, bytes a height since the row before. */
  readonly diskPerHeight: number;
}

/** Asks a host something small all the time, and remembers the longest time that it took. */
class Probe {
  readonly #isOver = new AbortController();
  readonly #done: Promise<void>;
  longestMs = 0;
  peakOwn = 0;

  constructor(host: HostProcess) {
    this.#done = this.#run(host);
  }

  async #run(host: HostProcess): Promise<void> {
    while (!this.#isOver.signal.aborted) {
      const at = performance.now();
      const { body, statusCode } = await request(`${host.http}/.smalti/checkpoint`);
      await body.dump();
      if (statusCode >= 500) throw new Error(`${host.host.name} answers ${statusCode}`);
      this.longestMs = Math.max(this.longestMs, performance.now() - at);
      this.peakOwn = Math.max(this.peakOwn, usageOf(host.pid).anonymousBytes);
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    this.#isOver.abort();
    await this.#done;
  }
}

const perDirectory = 100;

async function fill(source: string, files: number, version: string): Promise<void> {
  for (let i = 0; i < files; i++) {
    const directory = join(source, `d${Math.floor(i / perDirectory)}`);
    if (i % perDirectory === 0) await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `f${i}`), `${version} ${i}\n`);
  }
}

/** Many small files in one update: all new, and all changed. */
export async function benchLarge(files: number): Promise<readonly LargeRow[]> {
  const net = await startNet({ writers: 4, readers: 1, logLevel: "silent" });
  try {
    const source = join(net.directory, "large");
    const rows: LargeRow[] = [];
    for (const [height, version] of ["first", "second"].entries()) {
      await fill(source, files, version);
      // A file that was written just now is read twice by whoever is careful.
      await sleep(files < 1000 ? 0 : 2500);
      const task = `${files} files, ${version}`;
      rows.push(await largeRow(net, { source, height: height + 1, task, isSmall: files < 1000 }));
    }
    return rows;
  } finally {
    await net.stop();
  }
}

async function largeRow(
  net: Net,
  {
    source,
    height,
    task,
    isSmall,
  }: {
    readonly source: string;
    readonly height: number;
    readonly task: string;
    readonly isSmall: boolean;
  },
): Promise<LargeRow> {
  const hosts = [...net.hosts.values()];
  const probes = hosts.map((host) => new Probe(host));
  const at = performance.now();
  await net.must("publish", source, "large");
  const publishedS = (performance.now() - at) / 1000;
  const isThere = async (): Promise<boolean> => {
    const states = await Promise.all(hosts.map((host) => host.tryStatus()));
    return states.every((state) => state !== undefined && state.height >= height);
  };
  await until(isThere, 300_000, "all hosts have it");
  const everywhereS = (performance.now() - at) / 1000;
  // What is written late counts too.
  await sleep(isSmall ? 300 : 3000);
  await Promise.all(probes.map((probe) => probe.stop()));
  const states = await Promise.all(hosts.map((host) => host.status()));
  const digests = states.map(({ stateDigest }) => stateDigest).join();
  return {
    task,
    publishedS,
    everywhereS,
    ratio: everywhereS / publishedS,
    longestMs: Math.max(...probes.map(({ longestMs }) => longestMs)),
    peakMiB: Math.max(...hosts.map(({ pid }) => usageOf(pid).peakBytes)) / MiB,
    ownMiB: Math.max(...probes.map(({ peakOwn }) => peakOwn)) / MiB,
    workHash: createHash("sha256").update(digests).digest("hex").slice(0, 16),
  };
}

/** Followers as readers are, without their execution: each asks again from where the last answer brought it. */
class Followers {
  readonly #agent = new Agent({ connections: null, pipelining: 1 });
  readonly #isOver = new AbortController();
  /** When each follower heard of a commit, milliseconds; by commit. */
  readonly heard = new Map<number, number[]>();
  answers = 0;
  readonly #loops: Promise<void>[];

  constructor(host: HostProcess, count: number) {
    setMaxListeners(0, this.#isOver.signal);
    this.#loops = Array.from({ length: count }, () => this.#follow(host));
  }

  async #follow(host: HostProcess): Promise<void> {
    let [commit, size] = [0, 0];
    while (!this.#isOver.signal.aborted) {
      const news = await this.#ask(
        `${host.http}/.smalti/v1/commits?after=${commit}&size=${size}&wait=20`,
      );
      if (news === undefined) return;
      this.answers++;
      const tip = news.range.commits.at(-1)?.commit.index ?? commit;
      if (tip > commit) this.heard.set(tip, [...(this.heard.get(tip) ?? []), performance.now()]);
      commit = tip;
      // The second line of a checkpoint tells its size (C2SP tlog-checkpoint).
      size = Math.max(size, Number(news.note?.split("\n")[1] ?? 0));
    }
  }

  async #ask(url: string): Promise<News | undefined> {
    try {
      const { body } = await request(url, { dispatcher: this.#agent, signal: this.#isOver.signal });
      const news = read(new Uint8Array(await body.arrayBuffer()), newsShape, "answer");
      if (!news.ok) throw new Error(`a follower is told ${news.error.detail}`);
      return news.value;
    } catch (error) {
      if (this.#isOver.signal.aborted) return undefined;
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#isOver.abort();
    await Promise.all(this.#loops);
    await this.#agent.close();
  }
}

interface News {
  readonly range: CommitRange;
  readonly note: string | null;
}

const newsShape: Shape<News> = (value, what) => {
  const [range, note] = fields(2)(value, what);
  return {
    range: commitRangeShape(range, `${what}.range`),
    note: optional(text(4096))(note, `${what}.note`),
  };
};

/** So many followers of one host, while one file a second is published through another. */
export async function benchFollowers(
  counts: readonly number[],
  seconds: number,
): Promise<readonly FollowersRow[]> {
  const rows: FollowersRow[] = [];
  for (const count of counts) rows.push(await followersRow(count, seconds));
  return rows;
}

async function followersRow(count: number, seconds: number): Promise<FollowersRow> {
  const net = await startNet({ writers: 4, readers: 0, logLevel: "silent" });
  try {
    const [followed, other] = [net.host("w0"), net.host("w1")];
    const publisher = await publisherOf(net, [other.http]);
    const followers = new Followers(followed, count);
    await publishOnce(publisher, net, "warm", 0);
    await sleep(1000);
    const [before, begun] = [usageOf(followed.pid), performance.now()];
    followers.heard.clear();
    const answersBefore = followers.answers;
    for (let i = 0; i < seconds; i++) {
      await publishOnce(publisher, net, "news", i);
      await sleep(Math.max(0, begun + (i + 1) * 1000 - performance.now()));
    }
    const [now, took] = [usageOf(followed.pid), (performance.now() - begun) / 1000];
    const late = [...followers.heard.values()].flatMap((times) =>
      times.map((time) => time - Math.min(...times)),
    );
    const answers = followers.answers - answersBefore;
    await followers.stop();
    return {
      followers: count,
      publishesPerS: seconds / took,
      cpuShare: (now.cpuS - before.cpuS) / took,
      newsP50Ms: quantile(late, 0.5),
      newsP99Ms: quantile(late, 0.99),
      answers,
      rssMiB: now.rssBytes / MiB,
    };
  } finally {
    await net.stop();
  }
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

async function publishOnce(
  publisher: Publisher,
  net: Net,
  tree: string,
  version: number,
): Promise<number> {
  const directory = join(net.directory, `source-${tree}`);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "file"), `${tree} ${version}\n`);
  return publisher.publish(directory, tree);
}

/** Trees that grow by heights: every publisher changes its own tree again and again. */
export async function benchGrowth(heights: number, trees: number): Promise<readonly GrowthRow[]> {
  const net = await startNet({ writers: 4, readers: 1, logLevel: "silent" });
  try {
    const publisher = await publisherOf(net);
    const rows: GrowthRow[] = [];
    let disk = await diskBytes(net);
    let done = 0;
    for (let part = 1; part <= 5; part++) {
      const [goal, first, at] = [(heights * part) / 5, done, performance.now()];
      const work = async (tree: number): Promise<void> => {
        while (done < goal) await publishOnce(publisher, net, `tree-${tree}`, done++);
      };
      await Promise.all(Array.from({ length: trees }, (_, tree) => work(tree)));
      const took = (performance.now() - at) / 1000;
      const [{ height = 0 } = {}] = await net.agree(goal, 60_000);
      const diskNow = await diskBytes(net);
      rows.push({
        heights: height,
        trees,
        publishesPerS: (done - first) / took,
        writerMiB: usageOf(net.host("w0").pid).anonymousBytes / MiB,
        readerMiB: usageOf(net.host("r0").pid).anonymousBytes / MiB,
        diskPerHeight: (diskNow - disk) / (done - first),
      });
      disk = diskNow;
    }
    return rows;
  } finally {
    await net.stop();
  }
}

/** What a writer has on its disk, bytes. */
async function diskBytes(net: Net): Promise<number> {
  const { stdout } = await promisify(execFile)("du", ["-sB1", net.host("w0").host.home]);
  return Number.parseInt(stdout, 10);
}
