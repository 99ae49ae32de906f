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

/** A place in the total order, by the digest of the batch that stands there. */
export type BatchPoint = Pick<AcceptedBatch, "index" | "digest">;

/** A segment and the ticket by which its submitter will recognise it. */
export interface Submission {
  readonly ticket: number;
  readonly segment: Segment;
  /** It takes the place of an earlier one of its kind that still waits: that one has nothing to say any more. */
  readonly isNewest?: boolean;
}
