import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMessage, encodeMessage, type PeerMessage, planOf, World } from "../../sim/index.ts";
import { Author, Round } from "../../src/core/base/index.ts";
import { encodePayload, segmentOf } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  type Block,
  blockFromWire,
  blockSigningBytes,
  dagConfigOf,
  encodeHeader,
  genesisRef,
  headerDigest,
  type Ref,
  wireOf,
} from "../../src/core/dag/index.ts";
import { type HostStep, initialState, WriterHost } from "../../src/core/replica/index.ts";

const { network, signatures } = new World(planOf(1, { n: 4 }));
const config = dagConfigOf(network);
const payload = encodePayload([]);

/** A block as its author signs it, upon these parents; `tsMs` makes twins. */
function blockOf(author: number, round: number, parents: readonly Ref[], tsMs = 1): Block {
  const header = {
    group: config.group,
    epoch: config.epoch,
    author: Author(author),
    round: Round(round),
    tsMs,
    parents,
    payload: { digest: sha256(payload), bytes: payload.length, segments: 0 },
    commitVotes: [],
  };
  const bytes = encodeHeader(header);
  const digest = headerDigest(header, bytes);
  const signer = signatures.signer(`w${author} block`);
  const signed = { bytes, signature: signer.sign(blockSigningBytes(digest)) };
  const block = blockFromWire(wireOf(signed, payload));
  assert.ok(block.ok);
  return block.value;
}

const genesis = (author: number): Ref => genesisRef(config, Author(author));
const firstOf = (author: number, tsMs = 1): Block =>
  blockOf(
    author,
    1,
    [author, ...[0, 1, 2, 3].filter((other) => other !== author)].map(genesis),
    tsMs,
  );

/** A writer with links to all others, driven by hand. */
class Driven {
  readonly #host: WriterHost;
  readonly said: PeerMessage[] = [];
  readonly proofs: string[] = [];
  readonly own: Block[] = [];

  constructor(author: number) {
    this.#host = new WriterHost({
      network,
      author: Author(author),
      blockSigner: signatures.signer(`w${author} block`),
      cosignSigner: signatures.signer(`w${author} cosign`),
      hostSigner: signatures.signer(`w${author} node`),
      verifier: signatures.verifier,
      view: { get: () => undefined, changes: () => undefined },
      pacing: { leaderTimeoutMs: 0, minRoundMs: 0 },
      recovery: {
        records: [],
        state: initialState(network),
        due: undefined,
        guard: { place: 0, checkpoint: { size: 0, root: new Uint8Array(32) } },
        maySign: true,
      },
      seed: 1,
    });
    for (const peer of [0, 1, 2, 3].filter((other) => other !== author)) {
      this.#take(this.#host.step({ type: "peer-up", peer: Author(peer), session: 1 }, 1000));
      this.hear(peer, {
        type: "hello",
        group: network.group,
        epoch: network.epoch,
        fromRound: 0,
        lastCommit: 0,
        newestOfYou: undefined,
        newestOfMe: undefined,
      });
    }
  }

  hear(peer: number, message: PeerMessage): void {
    const frame = encodeMessage(message);
    this.#take(this.#host.step({ type: "message", peer: Author(peer), frame }, 1000));
  }

  submit(): void {
    const segment = segmentOf(0, [Buffer.from("something")]);
    this.#take(this.#host.step({ type: "submit", ticket: 1, segment }, 1000));
  }

  #take({ effects }: HostStep): void {
    for (const effect of effects) {
      if (effect.type === "evidence") this.proofs.push(effect.verdict.detail);
      if (effect.type !== "send" && effect.type !== "broadcast") continue;
      const message = decodeMessage(effect.frame);
      if (!message.ok) continue;
      this.said.push(message.value);
      const block = message.value.type === "block" ? blockFromWire(message.value.wire) : undefined;
      if (block?.ok) this.own.push(block.value);
    }
  }
}

test("two blocks that their author itself passes over are found, once those who have them talk", () => {
  const [shownToA, shownToB] = [firstOf(3, 1), firstOf(3, 2)];
  const a = new Driven(0);
  a.submit();
  const [own] = a.own;
  assert.ok(own !== undefined, "A has made its block of round 1");
  const others = [firstOf(1), firstOf(2)];
  for (const block of others) a.hear(block.ref.author, { type: "block", wire: block.wire });
  a.hear(3, { type: "block", wire: shownToA.wire });
  // The cheater goes on as if it had made neither.
  const refs = [genesis(3), own.ref, ...others.map(({ ref }) => ref)];
  a.hear(3, { type: "block", wire: blockOf(3, 2, refs).wire });
  const seen = a.said.find((message) => message.type === "seen");
  assert.deepEqual(seen?.type === "seen" && seen.refs, [shownToA.ref], "A says what it has");
  assert.deepEqual(a.proofs, [], "which proves nothing by itself");

  const b = new Driven(1);
  b.hear(3, { type: "block", wire: shownToB.wire });
  b.said.length = 0;
  b.hear(0, { type: "seen", refs: [shownToA.ref] });
  const [reply] = b.said;
  assert.deepEqual(reply?.type === "blocks" && reply.wires.length, 1, "B shows what it has");
  b.said.length = 0;
  b.hear(0, { type: "seen", refs: [shownToB.ref] });
  assert.deepEqual(b.said, [], "of a block that is the same there is nothing to show");

  a.hear(1, { type: "blocks", wires: [shownToB.wire] });
  assert.deepEqual(a.proofs, ["w3 signed two blocks of round 1"]);
});
