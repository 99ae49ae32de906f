/**
 * Verification for web pages (`smalti/client`): from a file's bytes to the genesis, with no server trusted and nothing of
 * Node. A page brings the genesis along, or has it built in.
 *
 * @packageDocumentation
 */
import { fail, type Result } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { Ed25519Verifier, sha256 } from "../../core/crypto/index.ts";
import { dagForVerifiers } from "../../core/dag/index.ts";
import {
  type Consistent,
  checkConsistency,
  checkPathProof,
  type ProvenPath,
} from "../../core/proof/index.ts";
import { readGenesis } from "../genesis/index.ts";

export type { Entry, Leaf } from "../../core/mirror/index.ts";
export type { Consistent, Network, ProvenPath, Result };

/** Reads and checks a genesis from its JSON text. Throws GENESIS_*, RULE_*. */
export function genesisOf(text: string): Network {
  return readGenesis(text, "genesis", [dagForVerifiers]);
}

/** What a `tlog-proof` proves about a path. Faults: MALFORMED_*, NO_QUORUM, WRONG_PROOF, INCOMPLETE_PROOF. */
export function checkProof(network: Network, proof: string): Result<ProvenPath> {
  return checkPathProof({ network, verifier: new Ed25519Verifier() }, proof);
}

/** That one checkpoint is the beginning of another. Faults: those of the proof, INCONSISTENT. */
export function checkGrowth(network: Network, proof: string): Result<Consistent> {
  return checkConsistency({ network, verifier: new Ed25519Verifier() }, proof);
}

/** That these bytes are the file that a proof is about, and that it is about `path`. Faults also: OTHER_PATH, OTHER_BYTES. */
export function checkFile(
  network: Network,
  proof: string,
  file: { readonly path: string; readonly bytes: Uint8Array },
): Result<ProvenPath> {
  const proven = checkProof(network, proof);
  if (!proven.ok) return proven;
  const { path, entry } = proven.value;
  if (path !== file.path) return fail("OTHER_PATH", `the proof is about ${path}, not ${file.path}`);
  if (entry?.kind !== "file") return fail("OTHER_BYTES", `no file stands at ${path}`);
  return sha256(file.bytes) === entry.digest
    ? proven
    : fail("OTHER_BYTES", `these bytes are not what stands at ${path}`);
}

/** Fetches a file and its proof from a reader, and checks the one by the other; what it returns is right. */
export async function fetchVerified(
  network: Network,
  server: string,
  path: string,
): Promise<Result<{ readonly bytes: Uint8Array; readonly proven: ProvenPath }>> {
  const url = path.split("/").map(encodeURIComponent).join("/");
  const text = await (await fetch(`${server}/.smalti/proof/latest/${url}`)).text();
  const claimed = checkProof(network, text);
  if (!claimed.ok) return claimed;
  const answer = await fetch(`${server}/@${claimed.value.height}/${url}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const proven = checkFile(network, text, { path, bytes });
  return proven.ok ? { ok: true, value: { bytes, proven: proven.value } } : proven;
}
