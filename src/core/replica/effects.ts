import type { Verdict } from "../accountability/index.ts";
import type { Author, Digest, Fault, LinkName, Result, Step } from "../base/index.ts";
import type {
  AcceptedBatch,
  BatchRange,
  Certificate,
  ConsensusRecord,
  ConsensusVitals,
  RecordName,
  Segment,
} from "../consensus/index.ts";
import type { Appended, DueRecord, MirrorEvent, Writes } from "../mirror/index.ts";
import type { Opinion, SignedStatement } from "../opinion/index.ts";
import type { SplitPlan } from "../split/index.ts";
import type { SplitWish } from "./accountability.ts";
import type { CosignGuard } from "./cosigning.ts";
import type { OpinionView } from "./opinions.ts";
import type { JoinRecord } from "./splitting.ts";

/** What reaches a host from the world. */
export type HostInput =
  | { readonly type: "start" }
  | { readonly type: "peer-up"; readonly peer: Author; readonly session: number }
  | { readonly type: "peer-down"; readonly peer: Author }
  | { readonly type: "message"; readonly peer: Author; readonly frame: Uint8Array }
  | { readonly type: "submit"; readonly ticket: number; readonly segment: Segment }
  /** Every byte of these accepted updates is here and durable. */
  | { readonly type: "held"; readonly updates: readonly Digest[] }
  /** Batches that execution had left in the log, read back. */
  | { readonly type: "batches"; readonly batches: readonly AcceptedBatch[] }
  /** A change list arrived for which execution waited. */
  | { readonly type: "changes-here" }
  /** The operator's opinion on another writer; `undefined` leaves it to the detector again. */
  | {
      readonly type: "operator-says";
      readonly about: Author;
      readonly opinion: Opinion | undefined;
    }
  /** A proof of misbehaviour that somebody brought; it was judged before. */
  | { readonly type: "evidence"; readonly wire: Uint8Array }
  /** A plan to split, which was verified before; and the operator's consent to it. */
  | { readonly type: "split-plan"; readonly wire: Uint8Array }
  | { readonly type: "split-join"; readonly plan: Digest }
  /** Somebody wants to see this host's opinions with its signature: `opinions-signed` answers. */
  | { readonly type: "sign-opinions" }
  /** The operator wants a split at this checkpoint, with what convicted whom: `split-proposed` answers. */
  | ({ readonly type: "propose-split" } & SplitWish)
  | { readonly type: "tick" };

/** What reaches a follower from the world. */
export type FollowerInput =
  | { readonly type: "start" }
  /** What a source that nobody trusts answered: certified batches, and perhaps a checkpoint note. */
  | {
      readonly type: "news";
      readonly source: string;
      readonly range: BatchRange;
      readonly note: string | undefined;
    }
  /** As a writer's. */
  | Extract<HostInput, { type: "batches" | "changes-here" | "tick" }>;

/** What must be durable before any effect is performed. */
export type HostRecord =
  | ConsensusRecord
  | { readonly type: "guard-checkpoint"; readonly guard: CosignGuard }
  | { readonly type: "guard-split"; readonly record: JoinRecord };

/** What a host asks of the world, in order. */
export type HostEffect =
  | { readonly type: "state"; readonly writes: Writes }
  | { readonly type: "accepted"; readonly batch: AcceptedBatch }
  /** These batches are to be read back from the log: what waits for a change list has no room in memory. */
  | { readonly type: "batches-needed"; readonly after: number; readonly until: number }
  | {
      readonly type: "executed";
      readonly commit: number;
      readonly firstMessage: number;
      readonly appends: readonly (Appended | undefined)[];
    }
  | { readonly type: "mirror"; readonly event: MirrorEvent }
  | { readonly type: "changes-needed"; readonly changes: Digest; readonly update: Digest }
  /** A follower has taken in what a source answered, as far as it verifies: the fault is the source's. */
  | { readonly type: "news-taken"; readonly source: string; readonly fault: Fault | undefined }
  /** A long execution goes on with the input `changes-here`, once others have had their turn. */
  | { readonly type: "execution-paused" }
  | { readonly type: "certified"; readonly due: DueRecord; readonly note: string }
  | { readonly type: "certificate"; readonly certificate: Certificate }
  | { readonly type: "send"; readonly link: LinkName; readonly frame: Uint8Array }
  /** The same to all writers that have said hello. */
  | { readonly type: "broadcast"; readonly links: readonly LinkName[]; readonly frame: Uint8Array }
  /** Answer from disk with the records that are there. */
  | {
      readonly type: "serve-records";
      readonly link: LinkName;
      readonly names: readonly RecordName[];
    }
  /** Answer from disk with certified batches after `after`. */
  | { readonly type: "serve-range"; readonly link: LinkName; readonly after: number }
  /** A misdeed is proven, and not ordered yet: found here, or told by a peer. */
  | { readonly type: "evidence"; readonly verdict: Verdict }
  /** This host thinks otherwise of another one than before. */
  | { readonly type: "opinion"; readonly view: OpinionView }
  /** What this host thinks of everybody else now. */
  | { readonly type: "opinions-signed"; readonly statements: readonly SignedStatement[] }
  | { readonly type: "split-proposed"; readonly plan: Result<SplitPlan> }
  /** A group of the same past is founded: this host's own, or the other one. */
  | { readonly type: "split"; readonly wire: Uint8Array; readonly isMine: boolean }
  /** The peer misbehaved: close its link and avoid it for a while. */
  | { readonly type: "disconnect"; readonly peer: Author; readonly code: string }
  | { readonly type: "dropped"; readonly code: string; readonly peer: Author | undefined }
  | { readonly type: "violation"; readonly detail: string }
  /** "Step me again then." Every step names all times that it waits for; only the earliest need be kept. */
  | { readonly type: "wake"; readonly atMs: number };

/** What a writer wants after one input. */
export type HostStep = Step<HostRecord, HostEffect>;

/** What only writers ask for: followers say nothing to anybody. */
type SaidByWriters =
  | "send"
  | "broadcast"
  | "serve-records"
  | "serve-range"
  | "disconnect"
  | "evidence"
  | "opinion"
  | "opinions-signed"
  | "split-proposed"
  | "split";

/** What a follower asks of the world. */
export type FollowerEffect = Exclude<HostEffect, { type: SaidByWriters }>;
export type FollowerStep = Step<HostRecord, FollowerEffect>;

/** How a writer is, for status pages and metrics. */
export interface WriterVitals extends ConsensusVitals {
  readonly backlog: number;
  readonly peers: readonly Author[];
  /** What this host thinks of the others now. */
  readonly opinions: readonly OpinionView[];
}
