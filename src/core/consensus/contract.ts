import type { Author, Step } from "../base/index.ts";
import type { AcceptedBatch, Submission } from "./batch.ts";
import type { Misbehaviour } from "./misbehaviour.ts";
import type { Certificate, LogRecord, RecordName } from "./record.ts";

/** What a host tells its consensus algorithm. */
export type ConsensusInput =
  /** After construction, once: what the recovered records decide is decided. */
  | { readonly type: "start" }
  /** There is a link to another writer; what is said first on it follows. */
  | { readonly type: "peer-up"; readonly peer: Author }
  | { readonly type: "peer-down"; readonly peer: Author }
  /** The link is being closed: too much that came over it was wrong. */
  | { readonly type: "peer-refused"; readonly peer: Author }
  /** A frame for which {@link Consensus.isMessage} holds. */
  | { readonly type: "message"; readonly peer: Author; readonly frame: Uint8Array }
  /** The writers that have greeted this host over a link that is up, itself not counted. */
  | { readonly type: "reachable"; readonly authors: ReadonlySet<Author> }
  /** Payload of this host; `ticket` comes back with the batch that orders it. */
  | ({ readonly type: "submit" } & Submission)
  /** Opinion: whom not to wait for, the likeliest failed first; and who is proven to cheat. Never of influence on the order. */
  | {
      readonly type: "standing";
      readonly shunned: readonly Author[];
      readonly corrupt: ReadonlySet<Author>;
    }
  /** This host has joined a group that splits off: of this one it signs nothing any more, ever. */
  | { readonly type: "leave" }
  | { readonly type: "tick" };

/** What must be durable before any effect is performed. */
export type ConsensusRecord =
  | { readonly type: "log"; readonly record: LogRecord }
  /** A number that only grows: where it signs for the first time. It never signs below it again, whatever it forgets. */
  | { readonly type: "guard"; readonly place: number };

/** What an algorithm asks of its host. */
export type ConsensusEffect =
  | { readonly type: "accept"; readonly batch: AcceptedBatch }
  | { readonly type: "certificate"; readonly certificate: Certificate }
  | { readonly type: "misbehaviour"; readonly proof: Misbehaviour }
  | { readonly type: "send"; readonly peer: Author; readonly frame: Uint8Array }
  /** To every peer that has greeted this host. */
  | { readonly type: "broadcast"; readonly frame: Uint8Array }
  /** The peer is answered from the log with those records that are there ({@link Protocol.recordsFrame}). */
  | {
      readonly type: "serve-records";
      readonly peer: Author;
      readonly names: readonly RecordName[];
    }
  /** The peer is answered from the log with certified batches after `after` ({@link Protocol.rangeFrame}). */
  | { readonly type: "serve-range"; readonly peer: Author; readonly after: number }
  /** The peer has greeted this host: from now on it hears what is broadcast. */
  | { readonly type: "greeted"; readonly peer: Author }
  /** A sign of life. */
  | { readonly type: "heard"; readonly peer: Author }
  /** A writer took part in a round, provably. */
  | { readonly type: "took-part"; readonly author: Author; readonly round: number }
  /** The peer broke the protocol; so many faults are borne. */
  | {
      readonly type: "fault";
      readonly peer: Author;
      readonly code: string;
      readonly detail: string;
    }
  | { readonly type: "disconnect"; readonly peer: Author; readonly code: string }
  | { readonly type: "dropped"; readonly code: string; readonly peer: Author }
  /** More than f writers cheat: stop, keep everything, tell the operator. */
  | { readonly type: "violation"; readonly detail: string }
  | { readonly type: "wake"; readonly atMs: number };

/** What an algorithm wants after one input. */
export type ConsensusStep = Step<ConsensusRecord, ConsensusEffect>;

/** How a writer's part in the order is, for status pages and metrics. */
export interface ConsensusVitals {
  readonly round: number;
  readonly lastCommit: number;
  /** How far an honest writer is at least, as far as is known here. */
  readonly quorumCommit: number;
  readonly isSigning: boolean;
  /** Just started, and peers say that the order is far beyond: it signs nothing until it has caught up. */
  readonly isPaused: boolean;
  /** It lost what it had signed, and waits for what others know of it. */
  readonly returning: { readonly answers: number; readonly needed: number } | undefined;
  readonly pendingBytes: number;
  /** What only this algorithm counts, by its metric's name. */
  readonly own: Readonly<Record<string, number>>;
  /** What each collection holds that others can fill, and the most that it may. */
  readonly bounds: Readonly<Record<string, { readonly size: number; readonly most: number }>>;
}

/**
 * A writer's part in the order: a synchronous machine whose accepted batches at two correct hosts are prefixes of one
 * another, whatever the network does. Its messages, its records and its proofs are its own.
 */
export interface Consensus {
  step(input: ConsensusInput, nowMs: number): ConsensusStep;
  /** After every input of the host, whoever it was for: what is missing is asked for, what became safe is done. */
  look(nowMs: number): ConsensusStep;
  /** Whether a frame from a peer is this algorithm's. */
  isMessage(frame: Uint8Array): boolean;
  readonly progress: {
    /** Writers owe their part of the rounds before this one. */
    readonly round: number;
    /** Index of the last batch. */
    readonly lastCommit: number;
    /** Something waits to be ordered. */
    readonly isWanted: boolean;
  };
  /** False while the disk may be an older copy: then what this host has is not the newest that it saw. */
  readonly isCurrent: boolean;
  /** Records of places at or below are needed no more after a restart. */
  readonly horizon: number;
  /** A record that is still in memory: it need not be read from the log. */
  recent(name: RecordName): Uint8Array | undefined;
  readonly vitals: ConsensusVitals;
}
