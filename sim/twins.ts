import { Author, type Digest, Digest as digestOf, type PublicKey } from "../src/core/base/index.ts";
import { segmentOf } from "../src/core/consensus/index.ts";
import {
  commitRule,
  type DagConfig,
  type DagEffect,
  type DagInput,
  DagMachine,
  type Ref,
  type VerifiedBlock,
} from "../src/core/dag/index.ts";

/** Four writers, of which one runs twice. */
const writers = 4;
const instances = writers + 1;
/** Ways to divide five into two sides: writer 1 stands on side 0. */
export const splitsPerRound = 2 ** (instances - 1);
const signature = new Uint8Array(64);
const impatienceMs = 300;
/** More than this never happens: a scenario that goes on is a failure of liveness. */
const roundsMax = 40;

/** How a scenario went. */
export interface TwinsOutcome {
  /** Undefined if the honest writers agree on everything, all is ordered, and the twins are proven. */
  readonly failure: string | undefined;
  readonly rounds: number;
}

interface Carried {
  readonly to: number;
  readonly from: number;
  readonly block: VerifiedBlock;
  readonly how: "pushed" | "fetched";
}

interface Instance {
  readonly author: Author;
  readonly machine: DagMachine;
  readonly digests: Digest[];
  readonly texts: string[];
  isWoken: boolean;
  isAccuser: boolean;
  violation: string | undefined;
}

export function twinsConfig(leadersPerRound: number): DagConfig {
  const made = commitRule("three", { n: writers, f: 1, c: 0, k: 0 });
  if (!made.ok) throw new Error(made.error.detail);
  return {
    group: digestOf("ab".repeat(32)),
    epoch: 0,
    keys: Array.from({ length: writers }, (_, i) => `${i}`.repeat(64) as PublicKey),
    rule: made.value,
    leadersPerRound,
    genesisTimeMs: 1000,
    gcRounds: 50,
  };
}

/** Where an instance stands in a split: a bit each, writer 1 always on side 0. */
function sideOf(split: number, instance: number): number {
  if (instance === 1) return 0;
  return (split >> (instance === 0 ? 0 : instance - 1)) & 1;
}

/** The same scenario with the two copies exchanged. */
export function mirrored(split: number): number {
  const [first, second] = [split & 1, (split >> 3) & 1];
  return (split & 0b0110) | second | (first << 3);
}

/**
 * One scenario of Twins (Bano et al. 2020) for this protocol: blocks of round r reach only the instances on the same
 * side of `splits[r − 1]`, at first; when nothing goes on any more, time-outs fire, and then the lowest round is
 * healed. The machines are the real ones, without signatures.
 */
export class TwinsScenario {
  readonly #config: DagConfig;
  readonly #splits: readonly number[];
  readonly #instances: Instance[] = [];
  readonly #queue: Carried[] = [];
  #held: Carried[] = [];
  #nowMs = 1000;
  /** Something was accepted or proven: it may be over. */
  #hasNews = false;

  /** `twin`: which author runs twice; authors are numbered from it on, so that leaders differ. */
  constructor(config: DagConfig, splits: readonly number[], twin: number) {
    this.#config = config;
    this.#splits = splits;
    for (let i = 0; i < instances; i++)
      this.#instances.push(this.#instance(Author((twin + (i % writers)) % writers)));
  }

  #instance(author: Author): Instance {
    const machine = new DagMachine({
      config: this.#config,
      pacing: { leaderTimeoutMs: impatienceMs - 50, minRoundMs: 0 },
      signer: { author, sign: () => signature },
      recovery: { blocks: [], commits: [], signedRound: 0, maySign: true },
    });
    return {
      author,
      machine,
      digests: [],
      texts: [],
      isWoken: false,
      isAccuser: false,
      violation: undefined,
    };
  }

  run(): TwinsOutcome {
    for (const [i, { author }] of this.#instances.entries()) {
      const others = this.#config.keys.map((_, other) => Author(other));
      const authors = new Set(others.filter((other) => other !== author));
      this.#step(i, { type: "start" });
      this.#step(i, { type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from(`by ${i}`)]) });
      this.#step(i, { type: "reachable", authors });
    }
    while (this.#goOn());
    return this.#outcome();
  }

  /** All rounds are healed and the honest have all: the copies alone would go on for ever, as nothing takes time here. */
  get #isOver(): boolean {
    if (this.#instances.some(({ machine }) => machine.round > roundsMax)) return true;
    return this.#held.length === 0 && failureOf(this.#honest) === undefined;
  }

  get #honest(): readonly Instance[] {
    return this.#instances.slice(1, writers);
  }

  /** Delivers, then lets time-outs fire, then heals the lowest divided round; false when nothing is left. */
  #goOn(): boolean {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      this.#hasNews = false;
      this.#deliver(next);
      if (this.#hasNews && this.#isOver) return false;
    }
    const woken = this.#instances.flatMap((instance, i) => (instance.isWoken ? [i] : []));
    if (woken.length > 0) {
      this.#nowMs += impatienceMs;
      for (const i of woken) {
        (this.#instances[i] as Instance).isWoken = false;
        this.#step(i, { type: "tick" });
      }
      if (this.#queue.length > 0) return true;
    }
    const lowest = Math.min(...this.#held.map(({ block }) => block.ref.round));
    this.#queue.push(...this.#held.filter(({ block }) => block.ref.round === lowest));
    this.#held = this.#held.filter(({ block }) => block.ref.round > lowest);
    return this.#queue.length > 0;
  }

  #deliver({ to, from, block, how }: Carried): void {
    const sender = this.#instances[from]?.author ?? Author(0);
    this.#step(to, { type: "block", block, from: sender, how }, from);
  }

  #step(i: number, input: DagInput, from = i): void {
    const instance = this.#instances[i] as Instance;
    for (const effect of instance.machine.step(input, this.#nowMs)) this.#perform(i, effect, from);
  }

  #perform(i: number, effect: DagEffect, from: number): void {
    const instance = this.#instances[i] as Instance;
    switch (effect.type) {
      case "broadcast":
        return this.#broadcast(i, effect.block);
      case "missing":
        for (const ref of effect.refs) this.#fetch(i, ref, from);
        return;
      case "wake":
        instance.isWoken = true;
        return;
      case "accept":
        this.#hasNews = true;
        instance.digests.push(effect.batch.digest);
        for (const { segments } of effect.batch.payloads)
          for (const { data } of segments) instance.texts.push(Buffer.from(data).toString());
        return;
      case "equivocation":
        this.#hasNews = true;
        instance.isAccuser = true;
        return;
      case "violation":
        instance.violation = effect.detail;
        return;
      default:
        return;
    }
  }

  #broadcast(from: number, block: VerifiedBlock): void {
    const split = this.#splits[block.ref.round - 1];
    for (const [to, { author }] of this.#instances.entries()) {
      if (author === block.ref.author) continue;
      const carried: Carried = { to, from, block, how: "pushed" };
      const isApart = split !== undefined && sideOf(split, from) !== sideOf(split, to);
      if (isApart) this.#held.push(carried);
      else this.#queue.push(carried);
    }
  }

  /** Whoever named it has it, or somebody does. */
  #fetch(to: number, ref: Ref, namedBy: number): void {
    for (const from of [namedBy, ...this.#instances.keys()]) {
      const block = this.#instances[from]?.machine.block(ref);
      if (block === undefined) continue;
      return void this.#queue.push({ to, from, block, how: "fetched" });
    }
  }

  #outcome(): TwinsOutcome {
    const rounds = Math.max(...this.#honest.map(({ machine }) => machine.round));
    return { failure: failureOf(this.#honest), rounds };
  }
}

/** I1, I2 among the honest; then, since all is healed, every honest payload at every one, and the twins proven. */
function failureOf(honest: readonly Instance[]): string | undefined {
  const longest = honest.reduce((a, b) => (b.digests.length > a.digests.length ? b : a));
  for (const { author, digests, texts, isAccuser, violation } of honest) {
    if (violation !== undefined) return `writer ${author}: ${violation}`;
    const fork = digests.findIndex((digest, i) => digest !== longest.digests[i]);
    if (fork >= 0) return `writers ${author} and ${longest.author} differ at commit ${fork + 1}`;
    const lost = [1, 2, 3].filter((i) => !texts.includes(`by ${i}`));
    if (lost.length > 0) return `writer ${author} lacks the payload of ${lost.join(", ")}`;
    if (!isAccuser) return `writer ${author} has no proof against the twins`;
  }
  return undefined;
}
