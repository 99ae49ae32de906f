import type { Author, Digest } from "../base/index.ts";

/**
 * A batch of messages of one kind: `lengths` is one little-endian u32 a message, `data` their bytes
 * back to back. A message is a view into `data`, never a copy.
 */
export interface Segment {
  readonly kind: number;
  readonly lengths: Uint8Array;
  readonly data: Uint8Array;
}

/** What one writer put into the order at one place. */
export interface AcceptedPayload {
  readonly author: Author;
  readonly segments: readonly Segment[];
  /** Tickets of this host's own submissions, in segment order; empty for others' payloads. */
  readonly tickets: readonly number[];
}

/** The unit of the total order: everything that one decision added. */
export interface AcceptedBatch {
  /** 1, 2, 3, … without gaps, equal on all correct hosts. */
  readonly index: number;
  readonly digest: Digest;
  /** Order time, milliseconds: never goes back; no f liars can move it out of the honest range. */
  readonly tsMs: number;
  readonly payloads: readonly AcceptedPayload[];
}

/** A segment and the ticket by which its submitter will recognise it. */
export interface Submission {
  readonly ticket: number;
  readonly segment: Segment;
  /** It takes the place of an earlier one of its kind that still waits: that one has nothing to say any more. */
  readonly isNewest?: boolean;
}

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

/** What belongs to one algorithm and passes through its host unread. */
export interface Algorithm {
  /** An effect that must be durable before anything that follows it is done. */
  readonly record: { readonly type: string };
  /** A peer's question that is answered from the log. */
  readonly question: { readonly type: string };
  /** What proves that a writer cheated. */
  readonly misbehaviour: unknown;
  /** What convinces anybody of a range of batches. */
  readonly certificate: unknown;
}

/** What an algorithm asks of its host. */
export type ConsensusEffect<A extends Algorithm> =
  | A["record"]
  | (A["question"] & { readonly peer: Author })
  | { readonly type: "accept"; readonly batch: AcceptedBatch }
  | { readonly type: "certificate"; readonly certificate: A["certificate"] }
  | { readonly type: "misbehaviour"; readonly proof: A["misbehaviour"] }
  | { readonly type: "send"; readonly peer: Author; readonly frame: Uint8Array }
  /** To every peer that has greeted this host. */
  | { readonly type: "broadcast"; readonly frame: Uint8Array }
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

/**
 * What every consensus algorithm (in the source: message acceptance algorithm) offers its host: a synchronous machine
 * whose accepted batches at two correct hosts are prefixes of one another, whatever the network does. Its messages, its
 * records and its proofs are its own.
 */
export interface Consensus<A extends Algorithm> {
  step(input: ConsensusInput, nowMs: number): readonly ConsensusEffect<A>[];
  /** After every input of the host, whoever it was for: what is missing is asked for, what became safe is done. */
  look(nowMs: number): readonly ConsensusEffect<A>[];
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
}
