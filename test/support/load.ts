import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { appendMessages, tailMessages } from "../../src/app/client/index.ts";
import { Prng } from "../../src/core/base/index.ts";
import type { HostProcess, Net } from "./net.ts";

/** A batch that a writer acknowledged: its messages stand together from `index` on, for ever. */
export interface Acked {
  readonly index: number;
  readonly texts: readonly string[];
}

/** A publish that ended with a verified receipt. */
export interface PublishedHeight {
  readonly height: number;
  readonly path: string;
  readonly content: string;
}

/**
 * The seed of a test that damages, kills or loads; printed. The same at each run, so that a run says whether a change
 * broke something; `SMALTI_SEED=random` draws one, and a printed one repeats it.
 */
export function seedOf(name: string): number {
  const given = process.env["SMALTI_SEED"];
  const seed = given === "random" ? Math.floor(Math.random() * 2 ** 31) : Number(given ?? 1);
  process.stderr.write(`# ${name}: SMALTI_SEED=${seed}\n`);
  return seed;
}

/** Clients that append without pause through random writers, and one that publishes now and then. */
export class Load {
  readonly acked: Acked[] = [];
  readonly published: PublishedHeight[] = [];
  /** Batches with an unknown outcome: they may stand in the order once, or not at all. */
  readonly unknown: (readonly string[])[] = [];
  readonly #net: Net;
  readonly #random: Prng;
  readonly #name: string;
  #isRunning = true;
  #loops: Promise<void>[] = [];

  constructor(net: Net, options: { readonly seed: number; readonly name?: string }) {
    this.#net = net;
    this.#random = new Prng(options.seed);
    this.#name = options.name ?? "c";
  }

  start(options: { readonly clients: number; readonly publishEveryMs?: number }): void {
    this.#loops = Array.from({ length: options.clients }, (_, i) => this.#append(i));
    if (options.publishEveryMs !== undefined)
      this.#loops.push(this.#publish(options.publishEveryMs));
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#loops);
  }

  #running(): HostProcess | undefined {
    const running = this.#net.writers.filter((writer) => writer.isRunning);
    return running[this.#random.below(running.length)];
  }

  async #append(client: number): Promise<void> {
    for (let sequence = 0; this.#isRunning; sequence++) {
      const writer = this.#running();
      if (writer === undefined) {
        await sleep(20);
        continue;
      }
      const count = 1 + this.#random.below(20);
      const texts = Array.from(
        { length: count },
        (_, i) => `${this.#name}${client}-${sequence}-${i}`,
      );
      await this.#appendOnce(writer, texts);
    }
  }

  async #appendOnce(writer: HostProcess, texts: readonly string[]): Promise<void> {
    try {
      const { index, count } = await appendMessages(
        writer.http,
        texts.map((text) => Buffer.from(text)),
      );
      assert.equal(count, texts.length);
      this.acked.push({ index, texts });
    } catch (error) {
      this.unknown.push(texts);
      if (error instanceof assert.AssertionError) throw error;
      await sleep(20);
    }
  }

  async #publish(everyMs: number): Promise<void> {
    for (let sequence = 0; this.#isRunning; sequence++) {
      await sleep(everyMs);
      const source = join(this.#net.directory, `publish-${this.#name}-${sequence}`);
      const path = `${this.#name}-${sequence}.txt`;
      const content = `content of ${path}\n`;
      await mkdir(source, { recursive: true });
      await writeFile(join(source, path), content);
      const from = this.#net.writers.filter((writer) => writer.isRunning).map(({ http }) => http);
      const args = ["publish", source, "load", "-o", "json", "--from", ...from];
      const ran = await this.#net.run(...args);
      if (ran.code !== 0) continue;
      const { height } = JSON.parse(ran.stdout) as { height: number };
      this.published.push({ height, path, content });
    }
  }
}

/** Messages `0 … count−1` as one host gives them. */
export async function readOrder(
  host: HostProcess,
  count: number,
  waitMs = 20_000,
): Promise<string[]> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), waitMs);
  const texts: string[] = [];
  try {
    for await (const { index, bytes } of tailMessages(host.http, 0, stop.signal)) {
      assert.equal(index, texts.length, `${host.host.name} gives the messages without a gap`);
      texts.push(Buffer.from(bytes).toString());
      if (texts.length >= count) break;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  assert.equal(
    texts.length,
    count,
    `${host.host.name} serves all ${count} messages in ${waitMs} ms`,
  );
  return texts;
}

/** Nothing acknowledged is lost or doubled, every host tells the same order and serves every height. */
export async function checkHistory(net: Net, loads: readonly Load[]): Promise<number> {
  const acked = loads.flatMap((load) => load.acked);
  const most = Math.max(0, ...acked.map(({ index, texts }) => index + texts.length));
  const heights = loads.flatMap((load) => load.published);
  const [first] = await net.agree(Math.max(0, ...heights.map(({ height }) => height)), 60_000);
  const hosts = [...net.hosts.values()].filter((host) => host.isRunning);
  const all = async (): Promise<number[]> =>
    Promise.all(hosts.map(async (host) => (await host.status()).messages));
  let counts = await all();
  for (let i = 0; i < 200 && (new Set(counts).size > 1 || (counts[0] ?? 0) < most); i++) {
    await sleep(100);
    counts = await all();
  }
  assert.equal(new Set(counts).size, 1, `all hosts count the same messages: ${counts.join(" ")}`);
  const count = counts[0] ?? 0;
  assert.ok(count >= most, `${count} messages are ordered, ${most} were acknowledged`);
  const orders = await Promise.all(hosts.map((host) => readOrder(host, count)));
  const [order = []] = orders;
  for (const [i, other] of orders.entries()) {
    assert.deepEqual(
      other,
      order,
      `${hosts[i]?.host.name} tells another order than ${hosts[0]?.host.name}`,
    );
  }
  checkOrder(order, loads);
  for (const host of hosts) await checkHeights(host, heights);
  return first?.height ?? 0;
}

function checkOrder(order: readonly string[], loads: readonly Load[]): void {
  const seen = new Map<string, number>();
  for (const text of order) seen.set(text, (seen.get(text) ?? 0) + 1);
  for (const { index, texts } of loads.flatMap((load) => load.acked)) {
    assert.deepEqual(order.slice(index, index + texts.length), texts, `acknowledged at ${index}`);
    for (const text of texts) assert.equal(seen.get(text), 1, `${text} stands in the order once`);
  }
  for (const texts of loads.flatMap((load) => load.unknown)) {
    const times = new Set(texts.map((text) => seen.get(text) ?? 0));
    assert.ok(
      times.size === 1 && !times.has(2),
      `an unanswered batch is there once or not: ${texts[0]}`,
    );
  }
}

async function checkHeights(host: HostProcess, heights: readonly PublishedHeight[]): Promise<void> {
  for (const { height, path, content } of heights) {
    const response = await fetch(`${host.http}/@${height}/load/${path}`);
    assert.equal(response.status, 200, `${host.host.name} serves height ${height}`);
    assert.equal(await response.text(), content);
  }
}

/** Appends once through each of `writers` that takes it; throws if none does in time. */
export async function appendVia(writer: HostProcess, text: string): Promise<number> {
  return (await appendMessages(writer.http, [Buffer.from(text)])).index;
}
