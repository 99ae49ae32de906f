import type { Author, Digest, Round } from "../base/index.ts";
import type { AcceptedBatch, Submission } from "../consensus/index.ts";
import type { Ref, SignedHeader, VerifiedBlock } from "./block.ts";
import type { Commit } from "./commit.ts";
import type { CertifiedRange } from "./commit-range.ts";

/** Everything that can happen to the machine. */
export type DagInput =
  /** After construction, once: decides what the recovered blocks decide. */
  | { readonly type: "start" }
  /** A verified block: `pushed` by a peer's stream, or `fetched` because it was asked for by its ref. */
  | {
      readonly type: "block";
      readonly block: VerifiedBlock;
      readonly from: Author;
      readonly how: "pushed" | "fetched";
    }
  /** A verified range of certified commits (commit sync), and what certifies them. */
  | ({ readonly type: "certified" } & CertifiedRange)
  /** Payload of this host; `ticket` comes back with the batch that orders it. The segment fits a payload. */
  | ({ readonly type: "submit" } & Submission)
  /** The writers with which this host has links, itself not counted. */
  | { readonly type: "reachable"; readonly authors: ReadonlySet<Author> }
  /** Opinion: whom not to wait for, the likeliest failed first; and who is proven to cheat. Never of influence on the order. */
  | {
      readonly type: "standing";
      readonly shunned: readonly Author[];
      readonly corrupt: ReadonlySet<Author>;
    }
  /** Signing is safe from this round on (`dag.md` §12). */
  | { readonly type: "resume"; readonly minRound: number }
  /** Somebody has a newer block of this host than the host itself: it must not sign (`dag.md` §12). */
  | { readonly type: "suspend" }
  /**
   * This host does not know yet whether its disk is an old one, and peers say that the order is far beyond it: what it
   * signed since then they may have forgotten. It signs nothing until it has caught up, which shows it.
   */
  | { readonly type: "pause"; readonly isPaused: boolean }
  /** Blocks that a peer says it has: those that are not here are brought. */
  | { readonly type: "inventory"; readonly refs: readonly Ref[]; readonly from: Author }
  /** A returning writer has payload and asks for one round more, so that it may sign again. */
  | { readonly type: "nudge" }
  | { readonly type: "tick" };

/** Why an input had no effect; counted per code. */
export type DropCode =
  | "BELOW_HORIZON"
  | "DUPLICATE"
  | "FAR_FUTURE"
  | "TWIN_PUSHED"
  /** Of an author whose twin was refused, and upon that twin. */
  | "ON_REFUSED"
  | "COMMIT_LAG";

/** What the machine wants done, in order. */
export type DagEffect =
  /** To be durable before any later effect of another kind is performed. */
  | { readonly type: "persist-block"; readonly block: VerifiedBlock }
  | {
      readonly type: "persist-commit";
      readonly commit: Commit;
      readonly bytes: Uint8Array;
    }
  | { readonly type: "guard"; readonly round: Round; readonly digest: Digest }
  /** An own block, for every peer. */
  | { readonly type: "broadcast"; readonly block: VerifiedBlock }
  /** Blocks that others named and this host lacks; `from` named them. */
  | { readonly type: "missing"; readonly refs: readonly Ref[]; readonly from: Author }
  | { readonly type: "accept"; readonly batch: AcceptedBatch }
  /** Two blocks of one writer for one slot. */
  | {
      readonly type: "equivocation";
      readonly first: SignedHeader;
      readonly second: SignedHeader;
      readonly author: Author;
      readonly round: Round;
    }
  /** More than f writers cheat: stop, keep everything, tell the operator. */
  | { readonly type: "violation"; readonly detail: string }
  /** A block of this host turned up that it does not remember: it follows until it is told to resume. */
  | { readonly type: "amnesia"; readonly round: number }
  /** This host has payload and may not sign in the round that the network stands in: others should make another. */
  | { readonly type: "needs-round" }
  | { readonly type: "wake"; readonly atMs: number }
  | { readonly type: "dropped"; readonly code: DropCode; readonly from: Author };

/** Sizes of the bounded collections, for metrics and for the limits' tests; `fullness` of the waiting room: 1 is full. */
export interface DagSizes {
  readonly graph: number;
  readonly waiting: number;
  readonly fullness: number;
  readonly pendingBytes: number;
  readonly votes: number;
}
