import type { Author, Digest, Height, PublicKey } from "../base/index.ts";
import type { Verifier } from "../crypto/index.ts";
import type { HostEvent, HostJudge } from "./about-hosts.ts";
import type { Appended } from "./append.ts";
import type { OutcomeCode } from "./leaves.ts";
import type { DueRecord, HeightRecord } from "./records.ts";
import type { MirrorState } from "./state.ts";
import type { SignedUpdate } from "./update.ts";

/** One ordered message, with the writer whose block carried it. The mirror does not know how it was ordered. */
export interface OrderedMessage {
  readonly author: Author;
  readonly kind: number;
  readonly bytes: Uint8Array;
}

/** One step of the order. `applications` are counted, not read. */
export interface OrderedBatch {
  readonly index: number;
  readonly digest: Digest;
  readonly tsMs: number;
  readonly applications: number;
  readonly messages: readonly OrderedMessage[];
}

/** What the mirror may read while it executes; all of it deterministic in the order so far. */
export interface MirrorView {
  readonly get: (key: string) => Uint8Array | undefined;
  /** Bytes of a change list, if they are here. They are checked by the reader of blobs. */
  readonly changes: (digest: Digest) => Uint8Array | undefined;
}

/** What execution knows of its network; the same at every host. */
export interface MirrorConfig {
  readonly group: Digest;
  /** Its own, and those it split from: whose publishers' records count. */
  readonly groups: ReadonlySet<Digest>;
  readonly verifier: Verifier;
  /** Writers that must hold an update before it is published. */
  readonly heldQuorum: number;
  /** How statements about hosts are read and judged. */
  readonly court: HostJudge;
  /** The writer whose host this is. */
  readonly authorOf: (key: PublicKey) => Author | undefined;
}

/** What happened in a batch, for those who act upon it. */
export type MirrorEvent =
  /** Accepted: its bytes should be fetched, and then `held` be said. */
  | { readonly type: "accepted"; readonly update: SignedUpdate; readonly author: Author }
  /** Published, refused or expired. */
  | {
      readonly type: "finished";
      readonly id: Digest;
      readonly outcome: OutcomeCode;
      readonly height: Height;
    }
  | { readonly type: "height"; readonly record: HeightRecord }
  | { readonly type: "checkpoint-due"; readonly due: DueRecord }
  | HostEvent
  | { readonly type: "ignored"; readonly code: string; readonly author: Author };

/** What is to be written to the store; `undefined` removes a key. */
export type Writes = ReadonlyMap<string, Uint8Array | undefined>;

/** What a batch did, or the change list that it waits for. */
export type Executed =
  | {
      readonly kind: "executed";
      readonly state: MirrorState;
      readonly writes: Writes;
      readonly events: readonly MirrorEvent[];
      /** Of the clients' records in this batch, in their order: where each stands; `undefined` for what is none. */
      readonly appends: readonly (Appended | undefined)[];
    }
  /** The batch needs a change list that is not here; nothing was changed. */
  | { readonly kind: "needs"; readonly changes: Digest; readonly update: Digest };
