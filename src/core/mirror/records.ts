import { type Digest, fromHex, Height, limits, PublicKey, toHex } from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  exactBytes,
  fields,
  list,
  natural,
  optional,
  read,
  require,
  type Shape,
  text,
} from "../codec/index.ts";
import { type OutcomeCode, outcomeCodes } from "./leaves.ts";

/** What a height is, as kept in the state store. */
export interface HeightRecord {
  readonly height: Height;
  readonly trees: Digest | undefined;
  readonly policy: Digest;
  readonly tsMs: number;
  /** Place of its state leaf in the log. */
  readonly leaf: number;
  /** The update or policy change that made it. */
  readonly by: Digest;
  /** The tree it changed, or "" for a policy change. */
  readonly tree: string;
  /** The change list, for updates. */
  readonly changes: Digest | undefined;
  /** Bytes of the change list. */
  readonly changesBytes: number;
}

export function encodeHeightRecord(record: HeightRecord): Uint8Array {
  return encode([
    record.height,
    record.trees === undefined ? null : fromHex(record.trees),
    fromHex(record.policy),
    record.tsMs,
    record.leaf,
    fromHex(record.by),
    record.tree,
    record.changes === undefined ? null : fromHex(record.changes),
    record.changesBytes,
  ]);
}

const heightShape: Shape<HeightRecord> = (value, what) => {
  const [height, trees, policy, tsMs, leaf, by, tree, changes, changesBytes] = fields(9)(
    value,
    what,
  );
  return {
    height: Height(natural()(height, `${what}.height`)),
    trees: optional(digest)(trees, `${what}.trees`) ?? undefined,
    policy: digest(policy, `${what}.policy`),
    tsMs: natural()(tsMs, `${what}.tsMs`),
    leaf: natural()(leaf, `${what}.leaf`),
    by: digest(by, `${what}.by`),
    tree: text(64)(tree, `${what}.tree`),
    changes: optional(digest)(changes, `${what}.changes`) ?? undefined,
    changesBytes: natural()(changesBytes, `${what}.changesBytes`),
  };
};

/** Reads what a height is. */
export function decodeHeightRecord(encoded: Uint8Array): ReturnType<typeof read<HeightRecord>> {
  return read(encoded, heightShape, "height record");
}

/** What became of an update, as kept in the state store; also what makes resubmission harmless. */
export interface OutcomeRecord {
  readonly outcome: OutcomeCode;
  readonly height: Height;
  /** Place of its update leaf in the log. */
  readonly leaf: number;
  readonly conflicts: readonly string[];
  /** The record as its publisher signed it. */
  readonly wire: Uint8Array;
}

export function encodeOutcome(record: OutcomeRecord): Uint8Array {
  return encode([
    outcomeCodes.indexOf(record.outcome),
    record.height,
    record.leaf,
    record.conflicts,
    record.wire,
  ]);
}

const outcomeShape: Shape<OutcomeRecord> = (value, what) => {
  const [code, height, leaf, conflicts, wire] = fields(5)(value, what);
  const outcome = outcomeCodes[natural()(code, `${what}.outcome`)];
  require(outcome !== undefined, `${what}.outcome is known`);
  return {
    outcome,
    height: Height(natural()(height, `${what}.height`)),
    leaf: natural()(leaf, `${what}.leaf`),
    conflicts: list(text(4096), 100)(conflicts, `${what}.conflicts`),
    wire: bytes(65536)(wire, `${what}.wire`),
  };
};

/** Reads how an update ended. */
export function decodeOutcome(encoded: Uint8Array): ReturnType<typeof read<OutcomeRecord>> {
  return read(encoded, outcomeShape, "outcome");
}

/** Where a checkpoint was due: what the log was, and which height was newest. */
export interface DueRecord {
  readonly size: number;
  readonly root: Uint8Array;
  readonly height: Height;
  readonly commit: number;
}

export function encodeDue(due: DueRecord): Uint8Array {
  return encode([due.size, due.root, due.height, due.commit]);
}

const dueShape: Shape<DueRecord> = (value, what) => {
  const [size, root, height, commit] = fields(4)(value, what);
  return {
    size: natural()(size, `${what}.size`),
    root: bytes(32)(root, `${what}.root`),
    height: Height(natural()(height, `${what}.height`)),
    commit: natural()(commit, `${what}.commit`),
  };
};

/** Reads a checkpoint that is due. */
export function decodeDue(encoded: Uint8Array): ReturnType<typeof read<DueRecord>> {
  return read(encoded, dueShape, "due checkpoint");
}

/** What is proven against a host, as kept in the state store. */
export interface ConvictionRecord {
  /** Misdeeds proven so far. */
  readonly count: number;
  /** The last proof, and its place in the log. */
  readonly evidence: Digest;
  readonly leaf: number;
  /** Number of the kind of misdeed. */
  readonly of: number;
  /** Order time, milliseconds. */
  readonly tsMs: number;
  /** Why an administrator lets it take part again; empty while none does. */
  readonly pardon: string;
}

export function encodeConviction(record: ConvictionRecord): Uint8Array {
  const { count, evidence, leaf, of, tsMs, pardon } = record;
  return encode([count, fromHex(evidence), leaf, of, tsMs, pardon]);
}

const convictionShape: Shape<ConvictionRecord> = (value, what) => {
  const [count, evidence, leaf, of, tsMs, pardon] = fields(6)(value, what);
  return {
    count: natural()(count, `${what}.count`),
    evidence: digest(evidence, `${what}.evidence`),
    leaf: natural()(leaf, `${what}.leaf`),
    of: natural(255)(of, `${what}.of`),
    tsMs: natural()(tsMs, `${what}.tsMs`),
    pardon: text(limits.reasonBytesMax)(pardon, `${what}.pardon`),
  };
};

/** Reads what is kept of a convicted host. */
export function decodeConviction(encoded: Uint8Array): ReturnType<typeof read<ConvictionRecord>> {
  return read(encoded, convictionShape, "conviction");
}

/** A proof against a host that is no writer, as its reporter's place for it has it. */
export interface ReaderProof {
  readonly culprit: PublicKey;
  /** Of the evidence. */
  readonly id: Digest;
  /** The key under which the store says that the misdeed is proven. */
  readonly offence: string;
}

export function encodeReaderProof({ culprit, id, offence }: ReaderProof): Uint8Array {
  return encode([fromHex(culprit), fromHex(id), offence]);
}

const readerProofShape: Shape<ReaderProof> = (value, what) => {
  const [culprit, id, offence] = fields(3)(value, what);
  return {
    culprit: PublicKey(toHex(exactBytes(32)(culprit, `${what}.culprit`))),
    id: digest(id, `${what}.id`),
    offence: text(128)(offence, `${what}.offence`),
  };
};

export function decodeReaderProof(encoded: Uint8Array): ReturnType<typeof read<ReaderProof>> {
  return read(encoded, readerProofShape, "proof against a reader");
}
