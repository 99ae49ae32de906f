import {
  Author,
  assert,
  type Brand,
  compareText,
  type Digest,
  type Fault,
  fail,
  fromHex,
  limits,
  ok,
  type PublicKey,
  type Result,
  Round,
} from "../base/index.ts";
import {
  bytes,
  decode,
  digest,
  encode,
  exactBytes,
  fields,
  list,
  natural,
  read,
  readValue,
  type Shape,
  type Value,
} from "../codec/index.ts";
import { readPayload, type Segment } from "../consensus/index.ts";
import { sha256, signingBytes, taggedDigest, type Verifier } from "../crypto/index.ts";
import type { CommitRule } from "./rows.ts";

/** What the rule knows of its epoch; block validity is a function of (bytes, this) and nothing else. */
export interface DagConfig {
  readonly group: Digest;
  readonly epoch: number;
  /** Block keys in author order. */
  readonly keys: readonly PublicKey[];
  readonly rule: CommitRule;
  /** Leader slots of each round, 1 … n. */
  readonly leadersPerRound: number;
  /** Commits of the group that this one split from: its own first one has the next index. */
  readonly commitsBefore?: number;
  /** Order time before the first commit, milliseconds. */
  readonly genesisTimeMs: number;
  /** Rounds kept below the last committed leader. */
  readonly gcRounds: number;
}

/** Names one block. Ordered by (round, author, digest). */
export interface Ref {
  readonly round: Round;
  readonly author: Author;
  readonly digest: Digest;
}

/** What a writer signs each round (`dag.md` §2). `tsMs` is the author's clock, milliseconds. */
export interface Header {
  readonly group: Digest;
  readonly epoch: number;
  readonly author: Author;
  readonly round: Round;
  readonly tsMs: number;
  /** `parents[0]` is the author's own previous block; the others follow in author order. */
  readonly parents: readonly Ref[];
  readonly payload: { readonly digest: Digest; readonly bytes: number; readonly segments: number };
  readonly commitVotes: readonly CommitVote[];
}

/** "I made commit `index`, and it is `digest`": endorses the whole chain below it. */
export interface CommitVote {
  readonly index: number;
  readonly digest: Digest;
}

/** A header as its author released it: enough to vote, and enough to convict. */
export interface SignedHeader {
  readonly bytes: Uint8Array;
  readonly signature: Uint8Array;
}

/** A header with its signature and payload, read. */
export interface Block {
  readonly ref: Ref;
  readonly header: Header;
  readonly signed: SignedHeader;
  readonly payload: Uint8Array;
  readonly segments: readonly Segment[];
  /** Header, signature and payload as they travel and as they stand in the log. */
  readonly wire: Uint8Array;
}

/** A block that passed {@link verifyBlock}: the only kind the machine takes. */
export type VerifiedBlock = Brand<Block, "VerifiedBlock">;

/** The ref as one text, for maps. */
export function refKey(ref: Ref): string {
  return `${ref.round}:${ref.author}:${ref.digest}`;
}

export function sameRef(a: Ref, b: Ref): boolean {
  return a.round === b.round && a.author === b.author && a.digest === b.digest;
}

/** The total order of refs: round, author, digest; the digest keeps twins apart (pitfall 24). */
export function compareRefs(a: Ref, b: Ref): number {
  return a.round - b.round || a.author - b.author || compareText(a.digest, b.digest);
}

/** The block that `author` is taken to have at round 0. */
export function genesisRef(config: Pick<DagConfig, "group" | "epoch">, author: Author): Ref {
  const bytes = encode([fromHex(config.group), config.epoch, author]);
  return { round: Round(0), author, digest: taggedDigest("genesis-block", bytes) };
}

export function refValue(ref: Ref): Value {
  return [ref.round, ref.author, fromHex(ref.digest)];
}

export const refShape: Shape<Ref> = (value, what) => {
  const [round, author, hash] = fields(3)(value, what);
  return {
    round: Round(natural(2 ** 32 - 1)(round, `${what}.round`)),
    author: Author(natural(65535)(author, `${what}.author`)),
    digest: digest(hash, `${what}.digest`),
  };
};

const commitVoteShape: Shape<CommitVote> = (value, what) => {
  const [index, hash] = fields(2)(value, what);
  return { index: natural()(index, `${what}.index`), digest: digest(hash, `${what}.digest`) };
};

const headerShape: Shape<Header> = (value, what) => {
  const [group, epoch, author, round, tsMs, parents, payload, votes] = fields(8)(value, what);
  const [payloadDigest, payloadBytes, segments] = fields(3)(payload, `${what}.payload`);
  return {
    group: digest(group, `${what}.group`),
    epoch: natural(2 ** 32 - 1)(epoch, `${what}.epoch`),
    author: Author(natural(65535)(author, `${what}.author`)),
    round: Round(natural(2 ** 32 - 1)(round, `${what}.round`)),
    tsMs: natural(2 ** 48 - 1)(tsMs, `${what}.tsMs`),
    parents: list(refShape, limits.committeeWritersMax)(parents, `${what}.parents`),
    payload: {
      digest: digest(payloadDigest, `${what}.payload.digest`),
      bytes: natural(limits.payloadBytesMax)(payloadBytes, `${what}.payload.bytes`),
      segments: natural(limits.segmentsMax)(segments, `${what}.payload.segments`),
    },
    commitVotes: list(commitVoteShape, limits.commitVotesMax)(votes, `${what}.commitVotes`),
  };
};

/** The bytes of a header, as they are signed and hashed. */
export function encodeHeader(header: Header): Uint8Array {
  const { payload } = header;
  return encode([
    fromHex(header.group),
    header.epoch,
    header.author,
    header.round,
    header.tsMs,
    header.parents.map(refValue),
    [fromHex(payload.digest), payload.bytes, payload.segments],
    header.commitVotes.map((vote) => [vote.index, fromHex(vote.digest)]),
  ]);
}

/** The place that a writer fills once in a round: two blocks of one slot convict their author. */
export type SlotName = Pick<Header, "group" | "epoch" | "author" | "round">;

/** Hash of a header's bytes, whatever they say. */
export function headerBodyDigest(headerBytes: Uint8Array): Digest {
  return sha256(headerBytes);
}

/**
 * Identity of a block: hash of its slot and of its header, without the signature (pitfall 23). The slot stands in it
 * by itself, so that who signs two identities of one slot is convicted by two hashes, however long the headers are.
 */
export function slotIdentity(slot: SlotName, body: Digest): Digest {
  return taggedDigest(
    "header",
    encode([fromHex(slot.group), slot.epoch, slot.author, slot.round, fromHex(body)]),
  );
}

/** {@link slotIdentity} of a header from its bytes. */
export function headerDigest(slot: SlotName, headerBytes: Uint8Array): Digest {
  return slotIdentity(slot, headerBodyDigest(headerBytes));
}

/** What the author of a block signs. */
export function blockSigningBytes(identity: Digest): Uint8Array {
  return signingBytes("block", identity);
}

export function signedHeaderValue(signed: SignedHeader): Value {
  return [signed.bytes, signed.signature];
}

export const signedHeaderShape: Shape<SignedHeader> = (value, what) => {
  const [header, signature] = fields(2)(value, what);
  return {
    bytes: bytes(limits.headerBytesMax)(header, `${what}.header`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

/** The `wire` of a {@link Block}. */
export function wireOf(signed: SignedHeader, payload: Uint8Array): Uint8Array {
  return encode([signed.bytes, signed.signature, payload]);
}

/**
 * Why a block is refused. `by: "relay"`: whoever sent it is at fault (nothing is proven about an author).
 * `by: "author"`: the signature is good and the content is not: portable proof against the author.
 */
export type InvalidBlock =
  | (Fault & { readonly by: "relay" })
  | (Fault & { readonly by: "author"; readonly author: Author });

type Checked<T> = Result<T, InvalidBlock>;

function relayFault(fault: Fault): Checked<never> {
  return { ok: false, error: { ...fault, by: "relay" } };
}

function authorFault(author: Author, code: string, detail: string): Checked<never> {
  return { ok: false, error: { code, detail, by: "author", author } };
}

/** Decodes and verifies a header alone: enough for commit votes and evidence. */
export function verifySignedHeader(
  signed: SignedHeader,
  config: DagConfig,
  verifier: Verifier,
): Checked<{ readonly ref: Ref; readonly header: Header }> {
  const decoded = read(signed.bytes, headerShape, "header");
  if (!decoded.ok) return relayFault(decoded.error);
  const header = decoded.value;
  const key = config.keys[header.author];
  if (header.group !== config.group || header.epoch !== config.epoch) {
    return relayFault({
      code: "WRONG_GROUP",
      detail: "the block belongs to another group or epoch",
    });
  }
  if (key === undefined)
    return relayFault({ code: "UNKNOWN_AUTHOR", detail: `no writer ${header.author}` });
  const identity = headerDigest(header, signed.bytes);
  if (!verifier.verify(key, blockSigningBytes(identity), signed.signature)) {
    return relayFault({ code: "BAD_SIGNATURE", detail: `not signed by writer ${header.author}` });
  }
  return {
    ok: true,
    value: { ref: { round: header.round, author: header.author, digest: identity }, header },
  };
}

/** Stateless validity (`dag.md` §3): the same answer on every correct host, for ever. */
export function verifyBlock(
  wire: Uint8Array,
  config: DagConfig,
  verifier: Verifier,
): Checked<VerifiedBlock> {
  const parts = splitWire(wire);
  if (!parts.ok) return relayFault(parts.error);
  const { signed, payload } = parts.value;
  const verified = verifySignedHeader(signed, config, verifier);
  if (!verified.ok) return verified;
  const { ref, header } = verified.value;
  const fault = parentsFault(header, config) ?? votesFault(header);
  if (fault !== undefined) return authorFault(header.author, "INVALID_HEADER", fault);
  if (payload.length !== header.payload.bytes || sha256(payload) !== header.payload.digest) {
    return relayFault({
      code: "WRONG_PAYLOAD",
      detail: "the payload is not the one the header names",
    });
  }
  const segments = readPayload(payload);
  if (!segments.ok) return authorFault(header.author, "INVALID_PAYLOAD", segments.error.detail);
  if (segments.value.length !== header.payload.segments)
    return authorFault(header.author, "INVALID_PAYLOAD", "wrong segment count");
  const block: Block = { ref, header, signed, payload, segments: segments.value, wire };
  return { ok: true, value: block as VerifiedBlock };
}

const wireShape: Shape<{ signed: SignedHeader; payload: Uint8Array }> = (value, what) => {
  const [header, signature, payload] = fields(3)(value, what);
  return {
    signed: signedHeaderShape([header ?? null, signature ?? null], what),
    payload: bytes(limits.payloadBytesMax)(payload, `${what}.payload`),
  };
};

function splitWire(wire: Uint8Array): Result<{ signed: SignedHeader; payload: Uint8Array }> {
  const decoded = decode(wire);
  const parts = decoded.ok ? readValue(decoded.value, wireShape, "block") : decoded;
  if (!parts.ok) return parts;
  // The payload is what the wire ends with: it need not be kept twice.
  const { signed, payload } = parts.value;
  return ok({ signed, payload: wire.subarray(wire.length - payload.length) });
}

/** Which block the bytes claim to be; nothing is verified but the form of the header. */
export function claimedRef(wire: Uint8Array): Ref | undefined {
  const parts = splitWire(wire);
  if (!parts.ok) return undefined;
  const { signed } = parts.value;
  const header = read(signed.bytes, headerShape, "header");
  if (!header.ok) return undefined;
  const { round, author } = header.value;
  return { round, author, digest: headerDigest(header.value, signed.bytes) };
}

/** Signed header and payload of a block of any origin; nothing is verified. */
export function blockParts(
  wire: Uint8Array,
): { readonly signed: SignedHeader; readonly payload: Uint8Array } | undefined {
  const parts = splitWire(wire);
  return parts.ok ? parts.value : undefined;
}

/**
 * A block whose identity the caller knows already (from its own checksummed log, or from a certified commit):
 * decoded and its payload checked against the header; the signature is not checked again.
 */
export function blockFromWire(wire: Uint8Array): Result<VerifiedBlock> {
  const parts = splitWire(wire);
  if (!parts.ok) return parts;
  const { signed, payload } = parts.value;
  const header = read(signed.bytes, headerShape, "header");
  if (!header.ok) return header;
  if (sha256(payload) !== header.value.payload.digest)
    return fail("WRONG_PAYLOAD", "the payload is not the named one");
  const segments = readPayload(payload);
  if (!segments.ok) return segments;
  const { round, author } = header.value;
  const ref = { round, author, digest: headerDigest(header.value, signed.bytes) };
  const block: Block = {
    ref,
    header: header.value,
    signed,
    payload,
    segments: segments.value,
    wire,
  };
  return { ok: true, value: block as VerifiedBlock };
}

function parentsFault(header: Header, config: DagConfig): string | undefined {
  const n = config.keys.length;
  if (header.round < 1) return "the round is at least 1";
  if (header.parents.length < 1 || header.parents.length > n) return "between one and n parents";
  if (header.parents[0]?.author !== header.author) return "the first parent is the author's own";
  let direct = 0;
  for (const [i, parent] of header.parents.entries()) {
    const fault = parentFault(header, i, config);
    if (fault !== undefined) return fault;
    if (parent.round === header.round - 1) direct++;
  }
  return direct >= config.rule.parentQuorum ? undefined : "too few parents in the round before";
}

function parentFault(header: Header, i: number, config: DagConfig): string | undefined {
  const parent = header.parents[i];
  assert(parent !== undefined, "the parent exists");
  if (parent.author >= config.keys.length) return "a parent of an unknown author";
  if (i > 0 && parent.author === header.author) return "a second parent of the author";
  if (i > 1 && parent.author <= (header.parents[i - 1]?.author ?? -1))
    return "parents stand in author order, one an author";
  if (parent.round >= header.round) return "a parent from the same round or later";
  if (parent.round === 0 && parent.digest !== genesisRef(config, parent.author).digest)
    return "an unknown genesis";
  // The own parent is exempt, so that a writer can return after a long absence (pitfall 17).
  if (i > 0 && header.round - parent.round > config.gcRounds) return "a parent beyond the horizon";
  return undefined;
}

function votesFault(header: Header): string | undefined {
  let last = 0;
  for (const vote of header.commitVotes) {
    if (vote.index <= last) return "commit votes have rising indexes";
    last = vote.index;
  }
  return undefined;
}
