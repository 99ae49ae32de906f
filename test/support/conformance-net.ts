import { signaturesOf } from "../../sim/crypto.ts";
import { Scheduler, SimBlobStore, SimDisk, SimStateStore } from "../../sim/index.ts";
import { HostLoop, type LaterEffect, type LoopClock } from "../../src/app/loop/index.ts";
import { type HostStore, openHostStore } from "../../src/app/store/index.ts";
import { type Author, Prng } from "../../src/core/base/index.ts";
import { type Network, networkOf } from "../../src/core/committee/index.ts";
import { type AcceptedBatch, type Algorithm, segmentOf } from "../../src/core/consensus/index.ts";
import { messageKinds } from "../../src/core/mirror/index.ts";
import {
  type FollowerEffect,
  FollowerHost,
  type FollowerInput,
  type HostInput,
  WriterHost,
} from "../../src/core/replica/index.ts";
import { createGuard } from "../../src/io/files/index.ts";
import type { BlobStore } from "../../src/io/ports/index.ts";

const home = "/data";
const startMs = 1_700_000_000_000;

/** An algorithm to be tried, and a committee for it. */
export interface Candidate {
  readonly algorithm: Algorithm;
  readonly parameters: unknown;
  readonly faults: {
    readonly n: number;
    readonly f: number;
    readonly c: number;
    readonly k: number;
  };
}

/** A disk with the real store upon it, and the real loop: what every host here has. */
class Machine {
  readonly net: ConformanceNet;
  readonly disk: SimDisk;
  readonly state: SimStateStore;
  readonly blobs = new SimBlobStore();
  /** What it accepted, of this life: by index. */
  readonly accepted: AcceptedBatch[] = [];
  store: HostStore | undefined;
  /** Lives so far: nothing of an earlier one reaches a later one. */
  life = 0;

  constructor(net: ConformanceNet) {
    this.net = net;
    this.disk = new SimDisk(() => net.scheduler.sleep(1 + net.random.below(5)));
    this.state = new SimStateStore((work) => void net.scheduler.after(100, work));
  }

  protected open() {
    return openHostStore(home, {
      files: this.disk,
      openState: async () => this.state,
      openBlobs: async () => this.blobs as unknown as BlobStore,
      removeAll: async (path) => {
        if (path === `${home}/state`) this.state.clear();
        this.disk.remove(path);
      },
    });
  }

  protected get clock(): LoopClock {
    const { life } = this;
    const { scheduler } = this.net;
    return {
      nowMs: () => Math.floor(startMs + scheduler.nowMs),
      elapsedMs: () => scheduler.nowMs,
      after: (ms, then) => scheduler.after(ms, () => life === this.life && then()),
      arrived: () => Promise.resolve(),
    };
  }

  protected readonly view = {
    get: (key: string): Uint8Array | undefined => this.state.get(key),
    changes: (): undefined => undefined,
  };
}

/** A writer: the real machine, loop and store. */
export class ConformanceWriter extends Machine {
  readonly author: Author;
  #host: WriterHost | undefined;
  #loop: HostLoop | undefined;

  constructor(net: ConformanceNet, author: Author) {
    super(net);
    this.author = author;
  }

  get host(): WriterHost | undefined {
    return this.#host;
  }

  async boot(): Promise<void> {
    const { network, signatures, random } = this.net;
    const life = ++this.life;
    await this.disk.mkdir(home);
    if (this.life === 1) await createGuard(`${home}/guard`, this.disk);
    const { store, isGuardWhole } = await this.open();
    const recovery = await store.recover(network, {
      isGuardWhole,
      self: this.author,
      genesisFile: "genesis.json",
    });
    if (life !== this.life) return;
    this.store = store;
    this.accepted.length = 0;
    this.#host = new WriterHost({
      network,
      author: this.author,
      blockSigner: signatures.signer(`w${this.author} block`),
      cosignSigner: signatures.signer(`w${this.author} cosign`),
      hostSigner: signatures.signer(`w${this.author} node`),
      verifier: signatures.verifier,
      view: this.view,
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      recovery,
      seed: random.next(),
    });
    this.#loop = new HostLoop({
      host: this.#host,
      store,
      clock: this.clock,
      perform: (effect) => life === this.life && this.#perform(effect),
      onFatal: async (error) => {
        if (life === this.life) this.net.failed.push(error);
      },
    });
    this.#loop.push({ type: "start" });
    this.net.connect(this);
  }

  /** The process dies. With the power goes what was not synced. */
  crash(how: "kill" | "power"): void {
    this.life++;
    void this.#loop?.stop();
    this.#loop = undefined;
    this.#host = undefined;
    this.net.disconnect(this);
    if (how === "kill") return this.disk.kill();
    this.disk.powerCut(this.net.random);
    this.state.powerCut(this.net.random);
  }

  get isUp(): boolean {
    return this.#loop !== undefined;
  }

  push(input: HostInput): void {
    this.#loop?.push(input);
  }

  submit(ticket: number, text: string): void {
    const segment = segmentOf(messageKinds.application, [Buffer.from(text)]);
    this.push({ type: "submit", ticket, segment });
  }

  #perform(effect: LaterEffect): void {
    switch (effect.type) {
      case "send":
        return this.net.carry(this.author, effect.link.peer, effect.frame);
      case "broadcast":
        for (const { peer } of effect.links) this.net.carry(this.author, peer, effect.frame);
        return;
      case "serve-records":
      case "serve-range":
        return void this.store
          ?.answer(effect, (name) => this.#host?.recent(name))
          .then((frame) => this.net.carry(this.author, effect.link.peer, frame));
      case "batches-needed":
        return void this.store?.batches
          .batches(effect.after, effect.until)
          .then((batches) => this.push({ type: "batches", batches }));
      case "accepted":
        return void this.accepted.push(effect.batch);
      case "certificate":
        return this.store?.batches.keepCertificate(effect.certificate);
      case "execution-paused":
        return this.push({ type: "changes-here" });
      default:
        return;
    }
  }
}

/** A reader: takes what it is given, verifies it, and executes it. */
export class ConformanceReader extends Machine {
  #loop: HostLoop<FollowerInput, FollowerEffect> | undefined;
  host: FollowerHost | undefined;
  /** Why the last answer was blamed upon whoever gave it. */
  readonly faults: (string | undefined)[] = [];

  async boot(): Promise<void> {
    const { network, signatures } = this.net;
    const { store } = await this.open();
    const recovery = await store.recover(network, {
      isGuardWhole: true,
      self: undefined,
      genesisFile: "genesis.json",
    });
    this.store = store;
    this.host = new FollowerHost({
      network,
      verifier: signatures.verifier,
      view: this.view,
      recovery,
    });
    this.#loop = new HostLoop({
      host: this.host,
      store,
      clock: this.clock,
      perform: (effect) => this.#perform(effect),
      onFatal: async (error) => void this.net.failed.push(error),
    });
    this.#loop.push({ type: "start" });
  }

  take(range: object): void {
    this.#loop?.push({ type: "news", source: "somebody", range, note: undefined });
  }

  #perform(effect: LaterEffect<FollowerEffect>): void {
    if (effect.type === "accepted") this.accepted.push(effect.batch);
    if (effect.type === "certificate") this.store?.batches.keepCertificate(effect.certificate);
    if (effect.type === "news-taken") this.faults.push(effect.fault?.code);
  }
}

/** Writers in virtual time, over links that lose nothing while both ends live, and delay everything by chance. */
export class ConformanceNet {
  readonly scheduler = new Scheduler();
  readonly signatures = signaturesOf(false);
  readonly random: Prng;
  readonly network: Network;
  readonly writers: readonly ConformanceWriter[];
  /** Errors that ended a host. */
  readonly failed: unknown[] = [];
  /** When the last frame from one to another arrives: links keep the order. */
  readonly #lastMs = new Map<string, number>();
  #session = 0;

  constructor({ algorithm, parameters, faults }: Candidate, seed: number) {
    this.random = new Prng(seed);
    const key = (name: string) => this.signatures.signer(name).publicKey;
    const made = networkOf(
      {
        name: `conformance ${seed}`,
        timeMs: startMs,
        faults,
        consensus: { algorithm: algorithm.name, parameters },
        writers: Array.from({ length: faults.n }, (_, i) => ({
          name: `w${i}`,
          nodeKey: key(`w${i} node`),
          blockKey: key(`w${i} block`),
          cosignKey: key(`w${i} cosign`),
          address: `w${i}:1`,
          http: `http://w${i}`,
        })),
        administrators: [key("administrator")],
        publishers: [],
      },
      [algorithm],
    );
    if (!made.ok) throw new Error(made.error.detail);
    this.network = made.value;
    this.writers = made.value.writers.map(({ index }) => new ConformanceWriter(this, index));
  }

  async boot(): Promise<void> {
    for (const writer of this.writers) void writer.boot();
    await this.run(200);
  }

  run(ms: number): Promise<void> {
    return this.scheduler.run(this.scheduler.nowMs + ms, () => this.failed.length === 0);
  }

  /** Time passes until something is done: disks take theirs. */
  async during<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    void work.then(() => {
      isDone = true;
    });
    for (let i = 0; i < 1000 && !isDone; i++) await this.run(10);
    return work;
  }

  connect(one: ConformanceWriter): void {
    for (const other of this.writers) {
      if (other === one || !other.isUp) continue;
      const session = ++this.#session;
      one.push({ type: "peer-up", peer: other.author, session });
      other.push({ type: "peer-up", peer: one.author, session });
    }
  }

  disconnect(one: ConformanceWriter): void {
    for (const other of this.writers)
      if (other !== one) other.push({ type: "peer-down", peer: one.author });
  }

  carry(from: Author, to: Author, frame: Uint8Array): void {
    const [source, target] = [this.writers[from], this.writers[to]];
    const lives = `${source?.life} ${target?.life}`;
    const link = `${from} ${to}`;
    const soonest = this.scheduler.nowMs + 1 + this.random.below(40);
    const atMs = Math.max(soonest, (this.#lastMs.get(link) ?? 0) + 0.001);
    this.#lastMs.set(link, atMs);
    this.scheduler.after(atMs - this.scheduler.nowMs, () => {
      if (`${source?.life} ${target?.life}` !== lives) return;
      target?.push({ type: "message", peer: from, frame });
    });
  }
}
