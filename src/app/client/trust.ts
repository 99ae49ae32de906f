import { type Digest, fail, fromBase64, ok, type Result } from "../../core/base/index.ts";
import {
  type CertifiedCheckpoint,
  leafHash,
  sha256,
  verifyInclusion,
} from "../../core/crypto/index.ts";
import {
  decodeLeaf,
  decodeStateBody,
  type LogLeaf,
  readPolicy,
  readUpdate,
  type StateBody,
  stateDigest,
} from "../../core/mirror/index.ts";
import { certifiedBy, type Trust } from "../../core/proof/index.ts";

/** Verification for clients: pure, no network. Whatever a server says is bytes until it has passed here. */

export type { Trust } from "../../core/proof/index.ts";

/** A state that a quorum vouched for. */
export interface VerifiedHead {
  readonly height: number;
  /** Directory of all trees. */
  readonly trees: Digest | undefined;
  readonly state: Digest;
  /** Order time, milliseconds. */
  readonly tsMs: number;
  readonly logSize: number;
  /** Root of the log, 32 bytes. */
  readonly logRoot: Uint8Array;
  /** When a quorum had said that this is the newest, POSIX seconds. */
  readonly leaseS: number;
  readonly signers: readonly string[];
  /** The checkpoint, as a signed note. */
  readonly note: string;
}

/** JSON of unknown origin. */
type Json = Readonly<Record<string, unknown>>;

function bytesOf(json: Json, field: string): Uint8Array | undefined {
  const value = json[field];
  return typeof value === "string" ? fromBase64(value) : undefined;
}

/** The leaf that `json` proves to stand in the certified log. Faults: MALFORMED_PROOF, WRONG_PROOF, and those of the note. */
function provenLeaf(
  trust: Trust,
  json: Json,
): Result<{ readonly leaf: LogLeaf; readonly certified: CertifiedCheckpoint }> {
  const leafBytes = bytesOf(json, "leaf");
  const { leafIndex, proof } = json;
  if (
    leafBytes === undefined ||
    typeof leafIndex !== "number" ||
    !Array.isArray(proof) ||
    proof.length > 64
  ) {
    return fail("MALFORMED_PROOF", "leaf, leafIndex or proof is missing");
  }
  const hashes = proof.map((item) => (typeof item === "string" ? fromBase64(item) : undefined));
  const path = hashes.filter((hash) => hash?.length === 32) as Uint8Array[];
  if (path.length !== proof.length)
    return fail("MALFORMED_PROOF", "a proof hash is not 32 bytes of base64");
  const note = json["checkpoint"];
  if (typeof note !== "string") return fail("MALFORMED_PROOF", "the proof has no checkpoint");
  const certified = certifiedBy(trust, note);
  if (!certified.ok) return certified;
  const { size, root } = certified.value.checkpoint;
  if (!verifyInclusion({ hash: leafHash(leafBytes), index: leafIndex }, { size, root }, path)) {
    return fail("WRONG_PROOF", "the leaf is not in the log that the writers cosigned");
  }
  const leaf = decodeLeaf(leafBytes);
  return leaf.ok ? ok({ leaf: leaf.value, certified: certified.value }) : leaf;
}

/**
 * Verifies a server's answer to "what is the state?" (and, if given, at which height). Without a height it must be the
 * newest under its checkpoint: every certified log ends with the leaf of its state.
 */
export function verifyHead(trust: Trust, json: unknown, height?: number): Result<VerifiedHead> {
  if (typeof json !== "object" || json === null)
    return fail("MALFORMED_PROOF", "the proof is not an object");
  const proven = provenLeaf(trust, json as Json);
  if (!proven.ok) return proven;
  const { leaf, certified } = proven.value;
  const bodyBytes = bytesOf(json as Json, "body");
  const body: Result<StateBody> =
    bodyBytes === undefined
      ? fail("MALFORMED_PROOF", "the state is missing")
      : decodeStateBody(bodyBytes);
  if (!body.ok) return body;
  if (
    leaf.kind !== "state" ||
    leaf.state !== stateDigest(body.value) ||
    leaf.height !== body.value.height
  ) {
    return fail("WRONG_PROOF", "the state is not the one in the log");
  }
  if (height === undefined && (json as Json)["leafIndex"] !== certified.checkpoint.size - 1)
    return fail("NOT_NEWEST", `height ${leaf.height} is not the newest under its checkpoint`);
  if (height !== undefined && leaf.height !== height)
    return fail("WRONG_PROOF", `the proof is of height ${leaf.height}, not ${height}`);
  return ok({
    height: leaf.height,
    trees: body.value.trees,
    state: leaf.state,
    tsMs: leaf.tsMs,
    logSize: certified.checkpoint.size,
    logRoot: certified.checkpoint.root,
    leaseS: certified.leaseS,
    signers: certified.signers,
    note: certified.note,
  });
}

/** What a receipt proves. */
export interface VerifiedReceipt {
  readonly id: Digest;
  readonly outcome: string;
  readonly height: number;
  readonly tree: string;
  readonly publisher: string;
  readonly conflicts: readonly string[];
  /** Kind and address of where a quorum of writers saw the bytes; "" where they are the publisher's word. */
  readonly source: string;
  readonly state: VerifiedHead | undefined;
  readonly signers: readonly string[];
}

/** Verifies a receipt offline: record, leaf, log, cosignatures, and the state it made. */
export function verifyReceipt(trust: Trust, json: unknown): Result<VerifiedReceipt> {
  if (typeof json !== "object" || json === null)
    return fail("MALFORMED_PROOF", "the receipt is not an object");
  const receipt = json as Json;
  const wire = bytesOf(receipt, "record");
  if (wire === undefined) return fail("MALFORMED_PROOF", "the record is missing");
  const proven = provenLeaf(trust, receipt);
  if (!proven.ok) return proven;
  const { leaf, certified } = proven.value;
  if (leaf.kind === "policy") return verifyPolicyReceipt(trust, { receipt, wire, leaf, certified });
  const update = readUpdate(wire, undefined, trust.verifier);
  if (!update.ok) return update;
  const { id, record } = update.value;
  if (leaf.kind !== "update" || leaf.id !== id || leaf.changes !== record.changes.digest) {
    return fail("WRONG_PROOF", "the leaf is not of this record");
  }
  const state = leaf.height > 0 ? verifyHead(trust, receipt["state"], leaf.height) : undefined;
  if (state !== undefined && !state.ok) return state;
  const { outcome, height, tree, publisher, conflicts, source } = leaf;
  return ok({
    id,
    outcome,
    height,
    tree,
    publisher,
    conflicts,
    source,
    state: state?.value,
    signers: certified.signers,
  });
}

function verifyPolicyReceipt(
  trust: Trust,
  {
    receipt,
    wire,
    leaf,
    certified,
  }: {
    readonly receipt: Json;
    readonly wire: Uint8Array;
    readonly leaf: Extract<LogLeaf, { kind: "policy" }>;
    readonly certified: CertifiedCheckpoint;
  },
): Result<VerifiedReceipt> {
  const change = readPolicy(wire, trust.network.group, trust.verifier);
  if (!change.ok) return change;
  if (leaf.id !== change.value.id) return fail("WRONG_PROOF", "the leaf is not of this record");
  const state = leaf.height > 0 ? verifyHead(trust, receipt["state"], leaf.height) : undefined;
  if (state !== undefined && !state.ok) return state;
  const { outcome, height } = leaf;
  const { publisher } = change.value.record;
  return ok({
    id: leaf.id,
    outcome,
    height,
    tree: "",
    publisher,
    conflicts: [],
    source: "",
    state: state?.value,
    signers: certified.signers,
  });
}

export function isBlob(bytes: Uint8Array, digest: Digest): boolean {
  return sha256(bytes) === digest;
}
