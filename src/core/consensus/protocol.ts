import type { Author, Digest, PublicKey, Result } from "../base/index.ts";
import type { Shape, Value } from "../codec/index.ts";
import type { Verifier } from "../crypto/index.ts";
import type { AcceptedBatch, BatchPoint } from "./batch.ts";
import type { Consensus } from "./contract.ts";
import type { FaultBudget } from "./faults.ts";
import type { Finding, Misbehaviour, MisbehaviourKind } from "./misbehaviour.ts";
import type { Certificate, LoggedBatch, LogRecord } from "./record.ts";

/** What an algorithm knows of the committee that runs it. */
export interface Configuration {
  readonly group: Digest;
  readonly epoch: number;
  /** With which each writer signs for the algorithm, by author. */
  readonly keys: readonly PublicKey[];
  /** Order time before the first batch, milliseconds. */
  readonly startMs: number;
  /** Batches of the group that this one split from: its own first one has the next index. */
  readonly batchesBefore: number;
}

/** A consensus algorithm (in the source: a message acceptance algorithm), as a genesis names it. */
export interface Algorithm {
  readonly name: string;
  /** Every kind of misbehaviour that its writers can be convicted of. */
  readonly misbehaviours: readonly MisbehaviourKind[];
  /** Checks what a genesis says of it. Faults: its own. */
  configure(parameters: unknown, budget: FaultBudget): Result<Configured>;
  /**
   * What is left of a committee after a split goes on so. Two or three writers cannot bear a traitor, and need not: they
   * stop when one fails, and stay safe as long as none cheats.
   */
  configureFraction(budget: FaultBudget): Result<Configured>;
}

/** An algorithm with parameters that were checked. */
export interface Configured {
  readonly algorithm: Algorithm;
  /** As a genesis says them. */
  readonly parameters: unknown;
  /** What of it is part of a network's identity. */
  readonly identity: readonly Value[];
  protocolOf(configuration: Configuration): Protocol;
}

/** What a host's own settings say; never of influence on the order. */
export interface Pacing {
  /** How long an awaited leader may hold up the others, milliseconds. */
  readonly leaderTimeoutMs: number;
  /** Least time between two own proposals, milliseconds. */
  readonly minRoundMs: number;
}

/** What a writer starts with. */
export interface ParticipantParts {
  readonly author: Author;
  /** Signs with the writer's key of this configuration. */
  readonly sign: (message: Uint8Array) => Uint8Array;
  readonly verifier: Verifier;
  readonly pacing: Pacing;
  /** Read back from its log, in the order in which they were written. */
  readonly records: readonly LogRecord[];
  /** The last `guard` that it asked for; 0 at first. */
  readonly guard: number;
  /** False where guard and log cannot vouch for what was signed. */
  readonly maySign: boolean;
  /** It has joined a group that splits off. */
  readonly hasLeft: boolean;
  /** For choosing whom to ask; of no influence on safety. */
  readonly seed: number;
}

/** Batches in a row that somebody answered, and what certifies them; nothing is verified yet. Opaque. */
export type BatchRange = object;

/** A batch that is certified, with the records by which it is kept. */
export interface CertifiedBatch {
  readonly batch: AcceptedBatch;
  readonly records: readonly LogRecord[];
}

/**
 * An algorithm among the writers of one configuration: everything about it that is the same on every host and at any
 * time. Whoever keeps, serves, follows or judges what writers accepted needs no more of the algorithm than this.
 */
export interface Protocol<Range = BatchRange, Proof extends Misbehaviour = Misbehaviour> {
  readonly configured: Configured;
  /** With which the order begins: what the first batch names as the one before it. */
  readonly genesisDigest: Digest;
  participant(parts: ParticipantParts): Consensus;

  // ── the log ──

  /** Faults: those of a damaged log. */
  readRecord(type: number, bytes: Uint8Array): Result<LogRecord>;
  /** What a record that completes a batch orders, from its parts in their order; without tickets. */
  batchOf(record: LogRecord, parts: readonly LogRecord[]): AcceptedBatch;
  /** False where the guard remembers more than the log: then it lost what was signed. */
  isVouchedFor(records: readonly LogRecord[], by: { guard: number; self: Author }): boolean;

  // ── certified ranges: what followers and hosts that are behind are answered ──

  /** `certificate`: undefined where the last batch needs none (see {@link verifyRange}). Faults: unreadable records. */
  rangeOf(batches: readonly LoggedBatch[], certificate: Uint8Array | undefined): Result<Range>;
  rangeValue(range: Range): Value;
  readonly rangeShape: Shape<Range>;
  isEmptyRange(range: Range): boolean;
  /**
   * Verifies what of a range follows a batch: an unbroken chain, and its end endorsed so that an honest writer is among
   * those who say so. `until`: a batch that is known to be certified; nothing beyond it counts, and a range that ends with
   * it needs no endorsement. Empty if the range brings nothing new. Faults: of whoever answered it.
   */
  verifyRange(
    range: Range,
    after: BatchPoint,
    by: { readonly verifier: Verifier; readonly until?: BatchPoint },
  ): Result<{
    readonly batches: readonly CertifiedBatch[];
    readonly certificate: Certificate | undefined;
  }>;

  // ── answers to peers' questions ──

  recordsFrame(records: readonly Uint8Array[]): Uint8Array;
  rangeFrame(range: Range): Uint8Array;

  // ── misbehaviour ──

  /** Pure: the same answer on every host, offline. Faults: NOT_PROVEN. */
  judge(proof: Proof, verifier: Verifier): Result<Finding>;
}
