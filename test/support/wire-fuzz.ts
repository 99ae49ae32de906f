import assert from "node:assert/strict";
import { decodeMessage, encodeMessage, type PeerMessage } from "../../sim/index.ts";
import { encodeEvidence } from "../../src/core/accountability/index.ts";
import { Author, limits, Prng, Round } from "../../src/core/base/index.ts";
import { decode, encode, type Value } from "../../src/core/codec/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  blockParts,
  blockSigningBytes,
  dagConfigOf,
  genesisRef,
  headerDigest,
  type Ref,
  verifyBlock,
  wireOf,
} from "../../src/core/dag/index.ts";
import { signStatement } from "../../src/core/opinion/index.ts";
import { ownFirst } from "./dag-forge.ts";
import { Driven, drivenWorld, plainHello } from "./driven.ts";
import { blockOf, cosigned, halfOf, rootOfText } from "./evidence-cast.ts";

/** A structure-aware fuzzer of what a peer can say: real messages, bent in one place or more, to a running writer. */

const { network, signatures } = drivenWorld;
const cast = {
  network,
  signer: signatures.signer,
  verifier: signatures.verifier,
  court: { network, dag: dagConfigOf(network), verifier: signatures.verifier },
};
/** The cheater that says it all. */
const liar = 3;

const numbers = [
  0,
  1,
  2,
  23,
  24,
  255,
  256,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 48,
  Number.MAX_SAFE_INTEGER,
] as const;
const sizes = [0, 1, 31, 32, 33, 63, 64, 65, 1024, 65_536] as const;

/** One of each kind of message, as a correct writer says it. */
export function plainMessages(): PeerMessage[] {
  const block = blockOf(cast, { author: liar, round: 1 });
  const later = blockOf(cast, { author: liar, round: 7, text: "x", votes: 3 });
  const ref = { round: Round(1), author: Author(1), digest: sha256(Buffer.from("a block")) };
  const cosignature = cosigned(cast, { author: liar, size: 6, root: rootOfText("root") });
  const twins = {
    kind: "equivocation",
    author: Author(liar),
    epoch: 0,
    round: 3,
    first: halfOf(blockOf(cast, { author: liar, round: 3, text: "this" })),
    second: halfOf(blockOf(cast, { author: liar, round: 3, text: "that" })),
  } as const;
  const statement = signStatement(
    network,
    {
      by: Author(liar),
      about: Author(0),
      opinion: "suspected",
      reason: { code: "no-block", sinceMs: 5, rounds: 1, unanswered: 0 },
      serial: 9,
    },
    signatures.signer(`w${liar} node`),
  );
  const commit = { index: 1, prev: ref.digest, leader: ref, blocks: [ref], tsMs: 5 };
  return [
    { ...plainHello, newestOfMe: later.signed, newestOfYou: block.signed } as PeerMessage,
    { type: "block", wire: block.wire },
    { type: "block", wire: later.wire },
    { type: "fetch", refs: [ref, { ...ref, author: Author(2) }] },
    { type: "blocks", wires: [block.wire, later.wire] },
    { type: "sync", after: 3 },
    {
      type: "range",
      range: { commits: [{ commit, blocks: [block.wire] }], voters: [later.signed] },
    },
    { type: "cosignature", size: 6, ...cosignature },
    { type: "nudge" },
    { type: "probe" },
    { type: "probed" },
    { type: "opinion", wire: statement.wire },
    { type: "evidence", wire: encodeEvidence(network, { kind: "consensus", proof: twins }) },
    { type: "seen", refs: [ref] },
    { type: "inventory-wanted", fromRound: 1 },
    { type: "inventory", refs: [ref, { ...ref, round: Round(2) }] },
    { type: "split", wire: encode([new Uint8Array(40), true, null]) },
  ];
}

/** One place of a value, changed. */
function bend(value: Value, random: Prng): Value {
  if (typeof value === "number") return numbers[random.below(numbers.length)] ?? 0;
  if (value instanceof Uint8Array) return bendBytes(value, random);
  if (typeof value === "string") return value.repeat(1 + random.below(3));
  if (typeof value === "boolean") return !value;
  if (!Array.isArray(value)) return random.chance(0.5) ? 0 : [];
  const items = [...value] as Value[];
  const at = random.below(Math.max(1, items.length));
  const item = items[at];
  if (item === undefined || random.chance(0.25)) return bendList(items, at, random);
  items[at] = bend(item, random);
  return items;
}

function bendList(items: Value[], at: number, random: Prng): Value {
  const item = items[at] ?? 0;
  switch (random.below(5)) {
    case 0:
      return items.toSpliced(at, 1);
    case 1:
      return items.toSpliced(at, 0, item);
    case 2:
      return items.toReversed();
    case 3:
      // As many as a list may have, and one more.
      return Array.from({ length: [64, 65, 1024, 1025][random.below(4)] ?? 1 }, () => item);
    default:
      return [items];
  }
}

function bendBytes(bytes: Uint8Array, random: Prng): Value {
  // What is encoded inside is bent inside, now and then.
  const inner = random.chance(0.6) ? decode(bytes) : undefined;
  if (inner?.ok && Array.isArray(inner.value)) return encode(bend(inner.value, random));
  const copy = Uint8Array.from(bytes);
  const at = random.below(Math.max(1, copy.length));
  switch (random.below(4)) {
    case 0:
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      return copy;
    case 1:
      return copy.subarray(0, at);
    case 2:
      return new Uint8Array(sizes[random.below(sizes.length)] ?? 0);
    default:
      return random.below(256);
  }
}

/** A block whose header is bent and signed again by its author: what no honest writer makes. */
function resigned(wire: Uint8Array, random: Prng): Uint8Array {
  const parts = blockParts(wire);
  const header = parts && decode(parts.signed.bytes);
  if (parts === undefined || !header?.ok || !Array.isArray(header.value)) return wire;
  const bent = bend(header.value, random);
  if (!Array.isArray(bent)) return wire;
  const bytes = encode(bent);
  const [, , , round] = bent;
  const slot = {
    group: network.group,
    epoch: network.epoch,
    author: Author(liar),
    round: Round(typeof round === "number" && round < 2 ** 32 ? round : 1),
  };
  const signer = signatures.signer(`w${liar} block`);
  const signature = signer.sign(blockSigningBytes(headerDigest(slot, bytes)));
  const payload = random.chance(0.3) ? bendBytes(parts.payload, random) : parts.payload;
  return wireOf({ bytes, signature }, payload instanceof Uint8Array ? payload : parts.payload);
}

/** A frame that comes from a real one by one change or a few. */
export function bentFrame(frame: Uint8Array, random: Prng): Uint8Array {
  const message = decodeMessage(frame);
  if (message.ok && message.value.type === "block" && random.chance(0.7))
    return encodeMessage({ type: "block", wire: resigned(message.value.wire, random) });
  const value = frame[0] === 0xff ? undefined : decode(frame);
  if (value?.ok && random.chance(0.9)) {
    let bent = value.value;
    for (let i = 0; i <= random.below(3); i++) bent = bend(bent, random);
    return encode(bent);
  }
  const bytes = bendBytes(frame, random);
  return bytes instanceof Uint8Array && bytes.length > 0 ? bytes : frame;
}

/** A writer, two honest peers that go on, and the cheater; what it does is checked after each frame. */
export class FuzzedHost {
  readonly #driven = new Driven(0).meet();
  #parents: Ref[] = [0, 1, 2, 3].map((author) => genesisRef(cast.court.dag, Author(author)));
  readonly #own = new Map<number, Ref>();
  #round = 1;
  #session = 1;

  /** What a frame from the cheater came to: a word for each kind of thing that followed. */
  take(frame: Uint8Array): string {
    const read = decodeMessage(frame);
    // What reads is said again in the same bytes: there is one form of everything.
    if (read.ok && read.value.type !== "block")
      assert.ok(Buffer.compare(encodeMessage(read.value), frame) === 0, "one form");
    const driven = this.#driven;
    this.#remember();
    driven.nowMs += 10;
    driven.step({ type: "message", peer: Author(liar), frame });
    const kinds = new Set<string>();
    for (const effect of driven.effects) {
      if (effect.type === "dropped") kinds.add(effect.code);
      else if (effect.type !== "wake") kinds.add(effect.type);
      assert.notEqual(effect.type, "violation", "one cheater makes nobody halt");
      if (effect.type !== "disconnect") continue;
      assert.equal(effect.peer, liar, "only the cheater is banned");
      driven.step({ type: "peer-down", peer: Author(liar) });
      driven.step({ type: "peer-up", peer: Author(liar), session: ++this.#session });
      driven.hear(liar, plainHello);
    }
    assert.ok(driven.said.length >= 0);
    for (const [name, { size, most }] of Object.entries(driven.host.vitals.bounds))
      assert.ok(size <= most, `${name} holds ${size}, not ${most}`);
    assert.ok(driven.host.vitals.pendingBytes <= 3 * limits.payloadBytesMax, "queued payload");
    return `${read.ok ? read.value.type : read.error.code} ${[...kinds].sort()}`;
  }

  /** The honest ones make a round; the host has to take part. */
  goOn(): void {
    const driven = this.#driven;
    this.#remember();
    const segment = segmentOf(0, [Buffer.from(`round ${this.#round}`)]);
    driven.step({ type: "submit", ticket: this.#round, segment });
    driven.wait(800, 50);
    this.#remember();
    const own = this.#own.get(this.#round);
    assert.ok(own !== undefined, `it makes no block of round ${this.#round}`);
    const refs = [1, 2].map((author) => this.#honest(author));
    this.#parents = [own, ...refs];
    this.#round++;
  }

  /** It may make a block at any time: a round that is begun is joined. */
  #remember(): void {
    for (const { ref } of this.#driven.ownBlocks) this.#own.set(ref.round, ref);
    this.#driven.effects.length = 0;
  }

  #honest(author: number): Ref {
    const change = { parents: ownFirst(this.#parents, author) };
    const made = blockOf(cast, { author, round: this.#round, change });
    this.#driven.hear(author, { type: "block", wire: made.wire });
    const block = verifyBlock(made.wire, cast.court.dag, cast.verifier);
    assert.ok(block.ok);
    return block.value.ref;
  }

  get lastCommit(): number {
    return this.#driven.host.vitals.lastCommit;
  }
}

/** Frames a host is given before it is replaced by a new one, and between two rounds of the honest ones. */
const episode = { frames: 400, perRound: 20 };

export interface Found {
  readonly frame: Uint8Array;
  readonly why: string;
}

/** Gives so many frames to writers; what reaches something new joins the corpus. Ends at the first fault. */
export function fuzz(options: {
  readonly seed: number;
  readonly corpus: readonly Uint8Array[];
  readonly isOver: (frames: number) => boolean;
}): {
  readonly frames: number;
  readonly corpus: readonly Uint8Array[];
  readonly found: Found | undefined;
} {
  const random = new Prng(options.seed);
  const corpus = [...plainMessages().map(encodeMessage), ...options.corpus];
  const reached = new Set<string>();
  let host = new FuzzedHost();
  let frames = 0;
  for (; !options.isOver(frames); frames++) {
    const frame = bentFrame(corpus[random.below(corpus.length)] ?? new Uint8Array(1), random);
    try {
      if (frames % episode.frames === 0) host = new FuzzedHost();
      const outcome = host.take(frame);
      if (!reached.has(outcome) && corpus.length < 2000 && frame.length < 100_000)
        corpus.push(frame);
      reached.add(outcome);
      if (frames % episode.perRound === 0) host.goOn();
    } catch (error) {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { frames, corpus, found: { frame, why } };
    }
  }
  return { frames, corpus, found: undefined };
}
