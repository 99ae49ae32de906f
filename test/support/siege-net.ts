import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createTestnet } from "../../src/app/setup/index.ts";
import { type HostProcess, Net, until } from "./net.ts";
import { type Publisher, publisherOf } from "./publisher.ts";
import { rssMiB } from "./raw-http.ts";
import { Rogue, type RogueLink } from "./rogue.ts";
import { evidenceOf } from "./signed-blocks.ts";

export const honest = ["w1", "w2", "w3"] as const;

/** Four writers of which w0 is the test itself: the three others must go on whatever it does. */
export class Siege {
  readonly net: Net;
  readonly publisher: Publisher;
  readonly rogue: Rogue;
  readonly #work: string;
  #version = 0;

  constructor(parts: { net: Net; publisher: Publisher; rogue: Rogue; work: string }) {
    this.net = parts.net;
    this.publisher = parts.publisher;
    this.rogue = parts.rogue;
    this.#work = parts.work;
  }

  static async start(): Promise<Siege> {
    const directory = await mkdtemp(join(tmpdir(), "smalti-net-"));
    const testnet = await createTestnet({ directory, writers: 4, readers: 0, logLevel: "warn" });
    const net = new Net(testnet, directory);
    const hosts = honest.map((name) => net.host(name));
    await Promise.all(hosts.map((host) => host.start()));
    const publisher = await publisherOf(
      net,
      hosts.map(({ http }) => http),
    );
    const rogue = await Rogue.of(publisher.trust.network, net.host("w0").host.home);
    const work = await mkdtemp(join(tmpdir(), "smalti-siege-"));
    const siege = new Siege({ net, publisher, rogue, work });
    await siege.goesOn({ waitMs: 20_000 });
    return siege;
  }

  get writers(): HostProcess[] {
    return honest.map((name) => this.net.host(name));
  }

  /** The others go on: they run, stay small, and publish something new in bounded time. */
  async goesOn({
    waitMs = 10_000,
    rssMaxMiB = 600,
  }: {
    waitMs?: number;
    rssMaxMiB?: number;
  } = {}): Promise<void> {
    await writeFile(join(this.#work, "counter"), `${this.#version++}\n`);
    const late = sleep(waitMs, "late", { ref: false });
    const published = this.publisher
      .publish(this.#work, "demo")
      .catch((error: unknown) => String(error));
    const height = await Promise.race([published, late]);
    assert.equal(typeof height, "number", `nothing was published within ${waitMs} ms: ${height}`);
    for (const host of this.writers) {
      assert.ok(host.isRunning, `${host.host.name} runs:\n${host.log.slice(-1500)}`);
      const rss = await rssMiB(host.pid);
      assert.ok(rss < rssMaxMiB, `${host.host.name} takes ${Math.round(rss)} MiB`);
    }
  }

  /** Fresh links to all others, with their newest blocks known. */
  async greetAll(): Promise<RogueLink[]> {
    const links: RogueLink[] = [];
    for (const name of honest) links.push(await this.rogue.greet(name));
    await until(() => this.rogue.ripe > 0, 10_000, "the others' blocks arrive");
    return links;
  }

  async evidenceAt(name: string): Promise<readonly string[]> {
    return evidenceOf(this.net.host(name));
  }

  /** Begins again with those that were ended, and drops all hostile links. */
  async relieve(): Promise<void> {
    this.rogue.close();
    for (const host of this.writers) if (!host.isRunning) await host.start();
  }

  async stop(): Promise<void> {
    this.rogue.close();
    await this.net.stop();
    await rm(this.#work, { recursive: true, force: true });
  }
}
