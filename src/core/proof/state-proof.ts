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
import type { Network } from "../committee/index.ts";
import {
  type Checkpoint,
  leafHash,
  type Verifier,
  verifyInclusion,
  verifyNote,
} from "../crypto/index.ts";
import {
  DirectoryStore,
  decodeLeaf,
  decodeStateBody,
  type Entry,
  lookup,
  MissingNodeError,
  type NodeReader,
  nodeDigest,
  type StateBody,
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

/** The value that {@link stateProofShape} reads. */
export function stateProofValue(proof: StateProof): Value {
  return [proof.note, proof.leafIndex, proof.leaf, proof.hashes, proof.body, proof.nodes];
}

/** Reads a proof; nothing is verified. */
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

/** A state that stands in a certified log. */
export interface ProvenState {
  readonly body: StateBody;
  /** Order time, POSIX milliseconds. */
  readonly tsMs: number;
}

/** The state that the leaf of the proof names. Faults: MALFORMED_*, WRONG_PROOF. */
export function provenState(
  proof: Pick<StateProof, "leaf" | "leafIndex" | "hashes" | "body">,
  { size, root }: Pick<Checkpoint, "size" | "root">,
): Result<ProvenState> {
  const place = { hash: leafHash(proof.leaf), index: proof.leafIndex };
  if (!verifyInclusion(place, { size, root }, proof.hashes))
    return fail("WRONG_PROOF", "the leaf is not in the log that the writers cosigned");
  const leaf = decodeLeaf(proof.leaf);
  if (!leaf.ok) return leaf;
  const body = decodeStateBody(proof.body);
  if (!body.ok) return body;
  const isOfLeaf =
    leaf.value.kind === "state" &&
    leaf.value.state === stateDigest(body.value) &&
    leaf.value.height === body.value.height;
  if (!isOfLeaf || leaf.value.kind !== "state")
    return fail("WRONG_PROOF", "the state is not the one in the log");
  return ok({ body: body.value, tsMs: leaf.value.tsMs });
}

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
  const state = provenState(proof, certified.value.checkpoint);
  if (!state.ok) return state;
  if (state.value.body.height !== about.height)
    return fail("WRONG_PROOF", `the proof is not of the state at height ${about.height}`);
  return entryIn(proof.nodes, state.value.body.trees, about.path);
}

/** What stands at a path below a root, by the directory nodes on the way. Faults: MALFORMED_*, INCOMPLETE_PROOF. */
export function entryIn(
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

/** The directory nodes between a root and a path, as a {@link NodeReader} has them. Throws {@link MissingNodeError}. */
export function nodesOnTheWay(
  read: NodeReader,
  trees: Digest | undefined,
  path: readonly string[],
): readonly Uint8Array[] {
  const nodes = new Map<Digest, Uint8Array>();
  const recorded: NodeReader = (root) => {
    const node = read(root);
    if (node !== undefined) nodes.set(root, node);
    return node;
  };
  lookup(new DirectoryStore(recorded, () => undefined), trees, path);
  return [...nodes.values()];
}
