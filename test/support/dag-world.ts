import { createHash, generateKeyPairSync } from "node:crypto";
import { Author, Digest, limits, Prng, type PublicKey } from "../../src/core/base/index.ts";
import { type AcceptedBatch, type Segment, segmentOf } from "../../src/core/consensus/index.ts";
import {
  Ed25519Verifier,
  ed25519Signer,
  type Signer,
  type Verifier,
} from "../../src/core/crypto/index.ts";
import {
  blockFromWire,
  type CommitRule,
  commitRule,
  type DagConfig,
  type DagEffect,
  type DagInput,
  DagMachine,
  type DagRecovery,
  type RuleName,
  type VerifiedBlock,
  verifyBlock,
} from "../../src/core/dag/index.ts";

/** A keyed-hash stand-in for Ed25519: as unforgeable as the tests need, and a hundred times faster. */
export function fakeSigner(name: string): Signer {
  const publicKey = createHash("sha256").update(name).digest("hex") as PublicKey;
  return { publicKey, sign: (message) => fakeSignature(publicKey, message) };
}

function fakeSignature(key: PublicKey, message: Uint8Array): Uint8Array {
  return createHash("sha512").update(key).update(message).digest();
}

export const fakeVerifier: Verifier = {
  verify: (key, message, signature) => Buffer.compare(fakeSignature(key, message), signature) === 0,
};

export function realSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { d, x } = privateKey.export({ format: "jwk" });
  const raw = (text: string | undefined) => Buffer.from(text ?? "", "base64url");
  return ed25519Signer(raw(d), raw(x).toString("hex") as PublicKey);
}

export const realVerifier: Verifier = new Ed25519Verifier();

export function ruleOf(name: RuleName, n: number, f: number, c = 0, k = 0): CommitRule {
  const rule = commitRule(name, { n, f, c, k });
  if (!rule.ok) throw new Error(rule.error.detail);
  return rule.value;
}

export interface WorldOptions {
  readonly rule: CommitRule;
  readonly seed: number;
  readonly leadersPerRound?: number;
  readonly gcRounds?: number;
  /** Chance that a message is lost; lost blocks are fetched when they are missed. */
  readonly loss?: number;
  /** Every message takes exactly so long, so that all writers go in step; without it, delays are drawn. */
  readonly delayMs?: number;
}

interface Host {
  machine: DagMachine;
  readonly signer: Signer;
  readonly batches: AcceptedBatch[];
  readonly log: {
    blocks: VerifiedBlock[];
    commits: Extract<DagEffect, { type: "persist-commit" }>["commit"][];
  };
  signedRound: number;
  up: boolean;
  wakeAt: number;
  readonly equivocations: Set<string>;
}

type Event = { readonly at: number; readonly seq: number; readonly run: () => void };

/** Writers in virtual time over a lossy network: the machine is the real one, the world is drawn from a seed. */
export class DagWorld {
  readonly hosts: Host[];
  readonly config: DagConfig;
  readonly #random: Prng;
  readonly #options: WorldOptions;
  #events: Event[] = [];
  #seq = 0;
  now = 1000;
  halted: string | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = new Prng(options.seed);
    const { n } = options.rule;
    const signers = Array.from({ length: n }, (_, i) => fakeSigner(`writer ${i}`));
    this.config = {
      group: Digest("ab".repeat(32)),
      epoch: 0,
      keys: signers.map((signer) => signer.publicKey),
      rule: options.rule,
      leadersPerRound: options.leadersPerRound ?? Math.min(n, 3),
      genesisTimeMs: 1000,
      gcRounds: options.gcRounds ?? limits.gcRounds,
    };
    this.hosts = signers.map((signer, i) => ({
      machine: this.#machine(i, signer, { blocks: [], commits: [], signedRound: 0, maySign: true }),
      signer,
      batches: [],
      log: { blocks: [], commits: [] },
      signedRound: 0,
      up: true,
      wakeAt: Number.POSITIVE_INFINITY,
      equivocations: new Set(),
    }));
    for (const i of this.hosts.keys()) this.step(i, { type: "start" });
    this.#reach();
  }

  #machine(i: number, signer: Signer, recovery: DagRecovery): DagMachine {
    return new DagMachine({
      config: this.config,
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      signer: { author: Author(i), sign: (message) => signer.sign(message) },
      recovery,
    });
  }

  #reach(): void {
    for (const i of this.hosts.keys()) {
      const authors = new Set(
        [...this.hosts.keys()].filter((j) => j !== i && this.hosts[j]?.up).map(Author),
      );
      if (this.hosts[i]?.up) this.step(i, { type: "reachable", authors });
    }
  }

  submit(i: number, texts: readonly string[]): void {
    const segment: Segment = segmentOf(
      0,
      texts.map((text) => Buffer.from(text)),
    );
    this.step(i, { type: "submit", ticket: 1, segment });
  }

  kill(i: number): void {
    const host = this.hosts[i];
    if (host) host.up = false;
    this.#reach();
  }

  /** Restarts from what was persisted. */
  restart(i: number): void {
    const host = this.hosts[i];
    if (!host) return;
    host.machine = this.#machine(i, host.signer, {
      blocks: host.log.blocks,
      commits: host.log.commits,
      signedRound: host.signedRound,
      maySign: true,
    });
    host.up = true;
    this.step(i, { type: "start" });
    this.#reach();
    for (const [j, peer] of this.hosts.entries()) {
      if (j === i || !peer.up) continue;
      for (const block of peer.machine.blocks.ownAbove(0)) this.#send(j, i, block);
      for (const block of host.machine.blocks.ownAbove(0)) this.#send(i, j, block);
    }
  }

  /** Runs until nothing is left to happen or `untilMs` is reached. */
  run(untilMs: number): void {
    while (this.now < untilMs) {
      const next = this.#pop();
      const wake = Math.min(...this.hosts.filter((host) => host.up).map((host) => host.wakeAt));
      if (next === undefined && !Number.isFinite(wake)) return;
      if (next === undefined || wake < next.at) {
        if (next !== undefined) this.#events.push(next);
        if (wake > untilMs) break;
        this.now = Math.max(this.now, wake);
        for (const [i, host] of this.hosts.entries()) {
          if (!host.up || host.wakeAt > this.now) continue;
          host.wakeAt = Number.POSITIVE_INFINITY;
          this.step(i, { type: "tick" });
        }
        continue;
      }
      this.now = next.at;
      next.run();
    }
    this.now = Math.max(this.now, untilMs);
  }

  #pop(): Event | undefined {
    let best: Event | undefined;
    for (const event of this.#events) {
      if (!best || event.at < best.at || (event.at === best.at && event.seq < best.seq))
        best = event;
    }
    if (best) this.#events = this.#events.filter((event) => event !== best);
    return best;
  }

  step(i: number, input: DagInput): void {
    const host = this.hosts[i];
    if (!host?.up) return;
    for (const effect of host.machine.step(input, this.now)) this.#perform(i, host, effect);
  }

  #perform(i: number, host: Host, effect: DagEffect): void {
    switch (effect.type) {
      case "persist-block":
        host.log.blocks.push(effect.block);
        return;
      case "persist-commit":
        host.log.commits.push(effect.commit);
        return;
      case "guard":
        if (effect.round <= host.signedRound) throw new Error("a round was signed twice");
        host.signedRound = effect.round;
        return;
      case "broadcast":
        for (const j of this.hosts.keys()) if (j !== i) this.#send(i, j, effect.block);
        return;
      case "missing":
        this.#fetch(i, effect.refs);
        return;
      case "accept":
        host.batches.push(effect.batch);
        return;
      case "wake":
        host.wakeAt = Math.min(host.wakeAt, effect.atMs);
        return;
      case "equivocation":
        host.equivocations.add(`${effect.author}`);
        return;
      case "violation":
        this.halted = `host ${i}: ${effect.detail}`;
        return;
    }
  }

  #at(delay: number, run: () => void): void {
    this.#events.push({ at: this.now + delay, seq: this.#seq++, run });
  }

  #delay(): number {
    const { delayMs } = this.#options;
    if (delayMs !== undefined) return delayMs;
    return this.#random.chance(0.02) ? 50 + this.#random.below(300) : 1 + this.#random.below(10);
  }

  #send(from: number, to: number, block: VerifiedBlock): void {
    if (this.#random.chance(this.#options.loss ?? 0)) return;
    this.#at(this.#delay(), () => this.deliver(from, to, block));
  }

  /** Hands a block to a host as if it had come over the wire. */
  deliver(
    from: number,
    to: number,
    block: VerifiedBlock,
    how: "pushed" | "fetched" = "pushed",
  ): void {
    const verified = verifyBlock(block.wire, this.config, fakeVerifier);
    if (verified.ok)
      this.step(to, { type: "block", block: verified.value, from: Author(from), how });
  }

  #fetch(i: number, refs: readonly { readonly digest: Digest }[]): void {
    for (const ref of refs) {
      this.#at(this.#delay(), () => {
        for (const [j, host] of this.hosts.entries()) {
          const found = host.log.blocks.find((block) => block.ref.digest === ref.digest);
          if (found !== undefined && j !== i) return this.deliver(j, i, found, "fetched");
        }
      });
    }
  }

  /** All accepted messages of a host, in order. */
  messages(i: number): string[] {
    const texts: string[] = [];
    for (const batch of this.hosts[i]?.batches ?? []) {
      for (const payload of batch.payloads) {
        for (const segment of payload.segments) texts.push(Buffer.from(segment.data).toString());
      }
    }
    return texts;
  }
}

export { blockFromWire };
