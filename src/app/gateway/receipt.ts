import { type Digest, toBase64 } from "../../core/base/index.ts";
import type { OutcomeCode } from "../../core/mirror/index.ts";
import type { HeadProof } from "../store/index.ts";
import type { GatewayHost, WitnessReport } from "./host-api.ts";

/**
 * What became of an update, with the proof: the publisher's record, its leaf, the leaf's place under a checkpoint
 * that a quorum cosigned, and (if published) the state it made. Checkable with the genesis alone.
 */
interface Receipt {
  readonly version: 1;
  readonly id: Digest;
  readonly outcome: OutcomeCode;
  readonly height: number;
  readonly conflicts: readonly string[];
  /** The record as its publisher signed it, base64. */
  readonly record: string;
  readonly leafIndex: number;
  readonly leaf: string;
  readonly proof: readonly string[];
  readonly checkpoint: string;
  readonly state: HeadProof | undefined;
}

export type UpdateStatus =
  | {
      readonly state: "unknown" | "pending" | "finished";
      readonly id: Digest;
      readonly outcome?: OutcomeCode;
      /** While it is pending. */
      readonly heldBy?: readonly string[];
      readonly witness?: WitnessReport;
    }
  | { readonly state: "settled"; readonly id: Digest; readonly receipt: Receipt };

/** The receipt if the outcome is certified, else how far it is. */
export function receiptOf(host: GatewayHost, id: Digest): UpdateStatus {
  const outcome = host.archive.outcome(id);
  if (outcome === undefined) {
    const pending = host.pending(id);
    return pending === undefined ? { state: "unknown", id } : { state: "pending", id, ...pending };
  }
  const head = host.archive.certified();
  const leaf = host.archive.leaf(outcome.leaf);
  if (head === undefined || leaf === undefined || outcome.leaf >= head.due.size) {
    return { state: "finished", id, outcome: outcome.outcome };
  }
  const state = outcome.height > 0 ? host.archive.proof(outcome.height, head) : undefined;
  const receipt: Receipt = {
    version: 1,
    id,
    outcome: outcome.outcome,
    height: outcome.height,
    conflicts: outcome.conflicts,
    record: toBase64(outcome.wire),
    leafIndex: outcome.leaf,
    leaf: toBase64(leaf),
    proof: host.archive.inclusion(outcome.leaf, head.due.size),
    checkpoint: head.note,
    state,
  };
  return { state: "settled", id, receipt };
}
