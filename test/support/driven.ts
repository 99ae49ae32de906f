import assert from "node:assert/strict";
import { decodeMessage, encodeMessage, type PeerMessage, planOf, World } from "../../sim/index.ts";
import { Author } from "../../src/core/base/index.ts";
import { type Block, blockFromWire } from "../../src/core/dag/index.ts";
import {
  type HostEffect,
  type HostInput,
  type HostRecord,
  type HostRecovery,
  initialState,
  WriterHost,
} from "../../src/core/replica/index.ts";

export const drivenWorld = new World(planOf(1, { n: 4 }));
const { network, signatures } = drivenWorld;

export const emptyRecovery: HostRecovery = {
  records: [],
  state: initialState(network),
  due: undefined,
  guard: { place: 0, checkpoint: { size: 0, root: new Uint8Array(32) } },
  maySign: true,
};

export const plainHello: PeerMessage = {
  type: "hello",
  group: network.group,
  epoch: network.epoch,
  fromRound: 0,
  lastCommit: 0,
  newestOfYou: undefined,
  newestOfMe: undefined,
};

/** A writer with links to all others, driven by hand: what it did stands in `effects`. */
export class Driven {
  readonly host: WriterHost;
  readonly author: number;
  readonly others: readonly number[];
  readonly records: HostRecord[] = [];
  readonly effects: HostEffect[] = [];
  nowMs = 1000;

  constructor(author: number, recovery: Partial<HostRecovery> = {}) {
    this.author = author;
    this.others = [0, 1, 2, 3].filter((other) => other !== author);
    this.host = new WriterHost({
      network,
      author: Author(author),
      blockSigner: signatures.signer(`w${author} block`),
      cosignSigner: signatures.signer(`w${author} cosign`),
      hostSigner: signatures.signer(`w${author} node`),
      verifier: signatures.verifier,
      view: { get: () => undefined, changes: () => undefined },
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      recovery: { ...emptyRecovery, ...recovery },
      seed: 1,
    });
  }

  step(input: HostInput): readonly HostEffect[] {
    const { records, effects } = this.host.step(input, this.nowMs);
    this.records.push(...records);
    this.effects.push(...effects);
    return effects;
  }

  meet(hello: PeerMessage = plainHello): this {
    for (const peer of this.others) {
      this.step({ type: "peer-up", peer: Author(peer), session: 1 });
      this.hear(peer, hello);
    }
    return this;
  }

  hear(peer: number, message: PeerMessage): readonly HostEffect[] {
    return this.step({
      type: "message",
      peer: Author(peer),
      frame: encodeMessage(message),
    });
  }

  /** Time passes, with a tick every so often. */
  wait(ms: number, everyMs = 100): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += everyMs;
      this.step({ type: "tick" });
    }
  }

  get said(): PeerMessage[] {
    return this.effects.flatMap((effect) => {
      if (effect.type !== "send" && effect.type !== "broadcast") return [];
      const message = decodeMessage(effect.frame);
      assert.ok(message.ok, "an honest host says what reads");
      return [message.value];
    });
  }

  get ownBlocks(): Block[] {
    return this.said.flatMap((message) => {
      const block = message.type === "block" ? blockFromWire(message.wire) : undefined;
      return block?.ok && block.value.ref.author === this.author ? [block.value] : [];
    });
  }

  get drops(): string[] {
    return this.effects.flatMap((effect) => (effect.type === "dropped" ? [effect.code] : []));
  }
}
