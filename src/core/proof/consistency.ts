import { equalBytes, fail, fromBase64, limits, ok, type Result, toBase64 } from "../base/index.ts";
import { type CertifiedCheckpoint, verifyConsistency } from "../crypto/index.ts";
import { certifiedBy, type Trust } from "./certified.ts";

/** That one certified log is the beginning of another (RFC 6962 §2.1.2). */
export interface ConsistencyProof {
  readonly older: string;
  readonly newer: string;
  readonly hashes: readonly Uint8Array[];
}

const header = "smalti/consistency@v1";

/** The proof as text: a header, the hashes in base64, and the two checkpoint notes. */
export function writeConsistency({ older, newer, hashes }: ConsistencyProof): string {
  return `${[header, ...hashes.map(toBase64)].join("\n")}\n\n${older}\n${newer}`;
}

/** Reads a proof of any origin; nothing is verified. Fault: MALFORMED_PROOF. */
export function readConsistency(written: string): Result<ConsistencyProof> {
  if (written.length > limits.proofBytesMax)
    return fail("MALFORMED_PROOF", `a proof is no longer than ${limits.proofBytesMax} bytes`);
  const [head = "", oldBody, oldLines, newBody, newLines, ...more] = written.split("\n\n");
  const [first, ...hashLines] = head.split("\n");
  if (first !== header) return fail("MALFORMED_PROOF", `the first line is not ${header}`);
  if (newLines === undefined || more.length > 0)
    return fail("MALFORMED_PROOF", "after the hashes stand two checkpoints");
  const hashes = hashLines.map((line) => fromBase64(line));
  const sound = hashes.filter((hash) => hash?.length === 32) as Uint8Array[];
  if (sound.length !== hashes.length || sound.length > 128)
    return fail("MALFORMED_PROOF", "a hash is not 32 bytes of base64");
  const [older, newer] = [`${oldBody}\n\n${oldLines}\n`, `${newBody}\n\n${newLines}`];
  return ok({ older, newer, hashes: sound });
}

/** Two checkpoints of one past, the first not longer than the second. */
export interface Consistent {
  readonly older: CertifiedCheckpoint;
  readonly newer: CertifiedCheckpoint;
}

/**
 * Checks that both checkpoints are certified, and that the older is the beginning of the newer. Faults:
 * MALFORMED_*, WRONG_ORIGIN, NO_QUORUM, INCONSISTENT.
 */
export function checkConsistency(trust: Trust, written: string): Result<Consistent> {
  const proof = readConsistency(written);
  if (!proof.ok) return proof;
  const older = certifiedBy(trust, proof.value.older);
  if (!older.ok) return older;
  const newer = certifiedBy(trust, proof.value.newer);
  if (!newer.ok) return newer;
  const [before, after] = [older.value.checkpoint, newer.value.checkpoint];
  if (!verifyConsistency(before, after, proof.value.hashes))
    return fail(
      "INCONSISTENT",
      before.size === after.size && !equalBytes(before.root, after.root)
        ? `two certified checkpoints of ${after.size} leaves contradict one another`
        : `nothing shows that the log of ${before.size} leaves is the beginning of that of ${after.size}`,
    );
  return ok({ older: older.value, newer: newer.value });
}
