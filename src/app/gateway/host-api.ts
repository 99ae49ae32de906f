import type { ServedClaim, ServedReceipt } from "../../core/accountability/index.ts";
import type { Digest, PublicKey, Result } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import type { Segment } from "../../core/consensus/index.ts";
import type { Policy } from "../../core/mirror/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import type { Archive, CertifiedHead } from "../store/index.ts";
import type { EvidenceRow, MirrorRow, OpinionsReport } from "./accountability-report.ts";
import type { HostSplits } from "./split-report.ts";
import type { TreeHost } from "./tree-host.ts";
import type { Wait } from "./waiters.ts";

/** What a host tells about itself; the public copy and the admin one are the same. */
export interface HostStatus {
  readonly moniker: string;
  readonly role: "writer" | "reader";
  readonly nodeKey: string;
  readonly group: string;
  readonly epoch: number;
  /** Newest height that is certified and whose content is all here. */
  readonly height: number;
  /** Root of the certified log, base64. */
  readonly root: string;
  readonly logSize: number;
  readonly stateDigest: string;
  readonly commit: number;
  readonly messages: number;
  readonly pendingUpdates: number;
  readonly round: number | undefined;
  readonly peers: readonly string[];
  readonly isSigning: boolean | undefined;
  /** What a writer thinks of the others, by name: its row of the matrix. Convicted hosts are `corrupt`. */
  readonly opinions: Readonly<Record<string, string>> | undefined;
  /** Why a writer does not sign, or what a reader waits for. */
  readonly note: string | undefined;
  readonly upstream: string | undefined;
  readonly version: string;
}

/** A blob that is here, of which another one has the first and the last bytes too. */
export interface BlobBase {
  readonly digest: Digest;
  readonly prefix: number;
  readonly suffix: number;
}

/** What a writer offers to publishers. Faults carry stable codes (docs/reference/errors.md). */
export interface PublishDesk {
  /** Opens (or finds again) a publisher's signed update. */
  open(
    wire: Uint8Array,
  ): Promise<Result<{ readonly id: Digest; readonly state: "needs-changes" | "open" | "ordered" }>>;
  putChanges(
    id: Digest,
    content: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly blobs: number }>>;
  /** Blobs of the update that are not here, at most `limit`. */
  missing(
    id: Digest,
    limit: number,
  ): Promise<Result<readonly { readonly digest: Digest; readonly size: number }[]>>;
  putBlobs(
    id: Digest,
    content: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly stored: number }>>;
  /** With `base`, what comes stands between the first and last bytes of that blob. */
  putLarge(
    id: Digest,
    blob: { digest: Digest; offset: number; base?: BlobBase },
    content: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly complete: boolean }>>;
  offset(id: Digest, digest: Digest): Promise<Result<number>>;
  submit(id: Digest): Promise<Result<{ readonly state: "ordered" }>>;
  policy(wire: Uint8Array): Promise<Result<{ readonly id: Digest }>>;
}

/** What a host shows of its opinions and proofs, and signs for. Faults carry stable codes. */
export interface HostAccountability {
  /** The host's own key. */
  readonly key: PublicKey;
  report(): Promise<OpinionsReport>;
  /** Hosts whose convictions count, with the last proof against each. */
  convicted(): readonly { readonly key: PublicKey; readonly evidence: Digest }[];
  /** Proofs that are here: those that the order has first. */
  evidence(): readonly EvidenceRow[];
  proof(id: Digest): Uint8Array | undefined;
  submit(wire: Uint8Array): Result<{ readonly id: Digest; readonly detail: string }>;
  pardon(wire: Uint8Array): Result<{ readonly id: Digest }>;
  receipt(claim: Omit<ServedClaim, "group" | "key">): ServedReceipt | Promise<ServedReceipt>;
  possession(
    content: Digest,
    nonce: Digest,
  ): Promise<
    Result<{ readonly key: PublicKey; readonly answer: Digest; readonly signature: string }>
  >;
}

/** How far somebody has followed. */
export interface FollowedSoFar {
  readonly commit: number;
  /** Leaves of the newest certified checkpoint that it has, and when a quorum vouched for it. */
  readonly size: number;
  readonly leaseS: number;
  /** The group that it follows; `undefined` for the one that is asked. */
  readonly group: string | undefined;
}

/** What a writer that was asked to look for itself says of an update. */
export interface WitnessReport {
  readonly state: "looking" | "seen" | "refused" | "not-asked";
  readonly detail: string;
}

/** How far an update is that is accepted and not finished. */
export interface PendingReport {
  /** Writers that said in the order that they have all of it, and saw it at its source if it has one. */
  readonly heldBy: readonly string[];
  readonly witness?: WitnessReport;
}

/** A host as its HTTP service sees it. */
export interface GatewayHost extends TreeHost {
  readonly network: Network;
  readonly genesisText: string;
  readonly archive: Archive;
  readonly blobs: BlobStore;
  readonly desk: PublishDesk | undefined;
  readonly accountability: HostAccountability;
  readonly splits: HostSplits;
  readonly mirrors: { rows(): readonly MirrorRow[] };
  /** Who may append to the broadcast. */
  readonly appendBy: "loopback" | "anybody" | "nobody";
  /** The newest certified checkpoint. */
  readonly head: CertifiedHead | undefined;
  /** The newest one of which all content is here: what clients are shown as the newest. */
  readonly served: CertifiedHead | undefined;
  readonly policy: Policy;
  status(): HostStatus;
  /** Of an update that is accepted and neither published nor refused: how far it is. */
  pending(id: Digest): PendingReport | undefined;
  /**
   * Encoded commits after `after` and the newest note, if it is longer or vouched for later; waits up to `waitMs` for
   * news. OTHER_GROUP where the asker's group ends before.
   */
  follow(after: FollowedSoFar, wait: Wait): Promise<Result<Uint8Array>>;
  /** Resolves when an update is finished and certified, or after `waitMs`. */
  settled(id: Digest, wait: Wait): Promise<void>;
  /** Resolves when another head is served, or after `waitMs`. */
  nextHead(height: number, wait: Wait): Promise<void>;
  /** Orders application messages; resolves with the index of the first once they are accepted. */
  append(segment: Segment): Promise<Result<{ readonly index: number; readonly count: number }>>;
  /** A client's numbered record, which is ordered once. Faults: those of the record, OLD_SEQUENCE. */
  appendOnce(wire: Uint8Array): Promise<Result<{ readonly index: number; readonly count: number }>>;
  /** Accepted application messages from an index on, batch by batch, live at the end. */
  tail(
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<{ readonly first: number; readonly segments: readonly Segment[] }>;
}
