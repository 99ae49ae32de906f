import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Letter, letters, type Situation, type Stage } from "../../sim/index.ts";
import { homeOf } from "../../src/app/config/index.ts";
import type { OpinionsReport } from "../../src/app/gateway/index.ts";
import { createTestnet } from "../../src/app/setup/index.ts";
import { LinkProxies } from "./link-proxies.ts";
import { appendVia } from "./load.ts";
import { type HostProcess, Net } from "./net.ts";

const nameOf = (letter: Letter): string => `w${letters.indexOf(letter)}`;

/** As quick to judge as in the simulated world. */
const opinionConfig = `
[opinion]
detector = "fixed"
suspect_after_ms = 300
dead_after_ms = 60000
probe_every_ms = 200
`;

/** The stage of the six situations among real processes: links go through proxies that can hold them up. */
export class RealStage implements Stage {
  readonly net: Net;
  readonly #proxies: LinkProxies;
  readonly #work: Promise<unknown>[] = [];

  private constructor(net: Net, proxies: LinkProxies) {
    this.net = net;
    this.#proxies = proxies;
  }

  static async open(situation: Situation): Promise<RealStage> {
    const directory = await mkdtemp(join(tmpdir(), "smalti-stage-"));
    const { cheater } = situation;
    const testnet = await createTestnet({
      directory,
      writers: 4,
      readers: 0,
      liars: new Map(cheater === undefined ? [] : [[nameOf(cheater), "equivocate"]]),
    });
    for (const { home } of testnet.hosts) await appendFile(homeOf(home).configFile, opinionConfig);
    const proxies = await LinkProxies.between(testnet);
    const net = new Net(testnet, directory);
    const stage = new RealStage(net, proxies);
    try {
      await Promise.all(net.writers.map((writer) => writer.start()));
    } catch (error) {
      await stage.close();
      throw error;
    }
    return stage;
  }

  host(letter: Letter): HostProcess {
    return this.net.host(nameOf(letter));
  }

  append(host: Letter, text: string): void {
    this.#work.push(appendVia(this.host(host), text).catch(() => undefined));
  }

  hold(from: Letter, to: Letter): void {
    this.#proxies.hold(nameOf(from), nameOf(to));
  }

  release(from: Letter, to: Letter): void {
    this.#proxies.release(nameOf(from), nameOf(to));
  }

  decide(host: Letter, about: Letter, opinion: "suspected" | "dead"): void {
    const url = `${this.host(host).host.admin}/opinion`;
    const body = JSON.stringify({ about: nameOf(about), opinion });
    const headers = { "content-type": "application/json" };
    this.#work.push(fetch(url, { method: "POST", headers, body }));
  }

  fail(host: Letter): void {
    this.#work.push(this.host(host).end("SIGKILL"));
  }

  async report(host: Letter): Promise<OpinionsReport> {
    const response = await fetch(`${this.host(host).http}/.smalti/opinions.json`);
    return (await response.json()) as OpinionsReport;
  }

  /** Plays the steps at their times; returns what was seen otherwise than it should be. */
  async play({ steps, looks }: Situation): Promise<readonly string[]> {
    const missed: string[] = [];
    const startMs = Date.now();
    const at = async (atMs: number, act: () => unknown): Promise<void> => {
      await sleep(Math.max(0, startMs + atMs - Date.now()));
      await act();
    };
    await Promise.all([
      ...steps.map((step) => at(step.atMs, () => step.act(this))),
      ...looks.map((look) =>
        at(look.atMs, async () => {
          const { own } = await this.report(look.host);
          const seen = own.find(({ about }) => about === nameOf(look.about))?.opinion ?? "nothing";
          if (!look.opinions.includes(seen))
            missed.push(`${look.host} on ${look.about} at ${look.atMs} ms: ${seen}`);
        }),
      ),
    ]);
    await Promise.all(this.#work);
    return missed;
  }

  async close(): Promise<void> {
    await this.net.stop();
    await this.#proxies.close();
    await rm(this.net.directory, { recursive: true, force: true });
  }
}
