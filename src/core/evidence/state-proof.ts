import { type Digest, fail, ok, type Result } from "../base/index.ts";
import {
  bytes,
  exactBytes,
  fields,
  list,
  natural,
  type Shape,
  text,
  type Value,
} from "../codec/index.ts";
import { leafHash, type Verifier, verifyInclusion, verifyNote } from "../crypto/index.ts";
import type { Network } from "../membership/index.ts";
import {
  DirectoryStore,
  decodeLeaf,
  decodeStateBody,
  type Entry,
  lookup,
  MissingNodeError,
  nodeDigest,
  stateDigest,
} from "../mirror/index.ts";

/** What stood at a path at one height, from directory nodes up to a checkpoint that a quorum cosigned. */
export interface StateProof {
  /** Checkpoint note (C2SP), with its cosignatures. */
  readonly note: string;
  readonly leafIndex: number;
  readonly leaf: Uint8Array;
  /** From the leaf to the root of the log. */
  readonly hashes: readonly Uint8Array[];
  /** Canonical state body: height, trees, policy. */
  readonly body: Uint8Array;
  /** Directory nodes on the way from the root of all trees to the path. */
  readonly nodes: readonly Uint8Array[];
}

export function stateProofValue(proof: StateProof): Value {
  return [proof.note, proof.leafIndex, proof.leaf, proof.hashes, proof.body, proof.nodes];
}

export const stateProofShape: Shape<StateProof> = (value, what) => {
  const [note, leafIndex, leaf, hashes, body, nodes] = fields(6)(value, what);
  return {
    note: text(32_768)(note, `${what}.note`),
    leafIndex: natural()(leafIndex, `${what}.leafIndex`),
    leaf: bytes(4096)(leaf, `${what}.leaf`),
    hashes: list(exactBytes(32), 64)(hashes, `${what}.hashes`),
    body: bytes(4096)(body, `${what}.body`),
    nodes: list(bytes(32_768), 512)(nodes, `${what}.nodes`),
  };
};

/**
 * The entry that really stood at `path` at `height`; `undefined` if none did. Faults: MALFORMED_*, NO_QUORUM,
 * WRONG_PROOF, INCOMPLETE_PROOF.
 */
export function provenEntry(
  proof: StateProof,
  about: { readonly height: number; readonly path: readonly string[] },
  by: { readonly network: Network; readonly verifier: Verifier },
): Result<Entry | undefined> {
  const { origin, cosigners, quorum } = by.network;
  const certified = verifyNote(proof.note, { origin, cosigners, quorum, verifier: by.verifier });
  if (!certified.ok) return certified;
  const place = { hash: leafHash(proof.leaf), index: proof.leafIndex };
  if (!verifyInclusion(place, certified.value.checkpoint, proof.hashes))
    return fail("WRONG_PROOF", "the leaf is not in the log that the writers cosigned");
  const leaf = decodeLeaf(proof.leaf);
  if (!leaf.ok) return leaf;
  const body = decodeStateBody(proof.body);
  if (!body.ok) return body;
  const isState = leaf.value.kind === "state" && leaf.value.state === stateDigest(body.value);
  if (!isState || body.value.height !== about.height)
    return fail("WRONG_PROOF", `the proof is not of the state at height ${about.height}`);
  return entryIn(proof.nodes, body.value.trees, about.path);
}

function entryIn(
  nodes: readonly Uint8Array[],
  trees: Digest | undefined,
  path: readonly string[],
): Result<Entry | undefined> {
  const known = new Map(nodes.map((node) => [nodeDigest(node), node]));
  const store = new DirectoryStore(
    (root) => known.get(root),
    () => undefined,
  );
  try {
    return ok(lookup(store, trees, path));
  } catch (error) {
    if (!(error instanceof MissingNodeError)) throw error;
    return fail("INCOMPLETE_PROOF", `the proof lacks directory node ${error.root}`);
  }
}
