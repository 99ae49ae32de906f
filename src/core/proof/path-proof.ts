import {
  fail,
  fromBase64,
  fromUtf8,
  limits,
  ok,
  type Result,
  toBase64,
  utf8,
} from "../base/index.ts";
import { bytes, encode, fields, list, read, type Shape, text } from "../codec/index.ts";
import { type Entry, parsePath } from "../mirror/index.ts";
import { certifiedBy, type Trust } from "./certified.ts";
import { entryIn, provenState, type StateProof } from "./state-proof.ts";

/**
 * What stands at a path at one height, down from the writers' cosignatures: a file with its digest, a link, a directory,
 * or nothing. Written as a C2SP `tlog-proof@v1`, whose extra data are the log leaf and what leads from it to the path.
 */
export interface PathProof extends StateProof {
  /** `TREE/path`; the tree alone is its root directory. */
  readonly path: string;
}

/** What a proof proved. */
export interface ProvenPath {
  readonly path: string;
  readonly height: number;
  /** Order time of that height, POSIX milliseconds. */
  readonly tsMs: number;
  /** `undefined`: nothing stands there, and that is what is proven. */
  readonly entry: Entry | undefined;
  readonly logSize: number;
  readonly signers: readonly string[];
  /** When a quorum had said that the checkpoint is the newest, POSIX seconds. */
  readonly leaseS: number;
}

const header = "c2sp.org/tlog-proof@v1";

interface Extra {
  readonly path: string;
  readonly leaf: Uint8Array;
  readonly body: Uint8Array;
  readonly nodes: readonly Uint8Array[];
}

const extraShape: Shape<Extra> = (value, what) => {
  const [path, leaf, body, nodes] = fields(4)(value, what);
  return {
    path: text(limits.pathBytesMax + limits.treeNameBytesMax)(path, `${what}.path`),
    leaf: bytes(4096)(leaf, `${what}.leaf`),
    body: bytes(4096)(body, `${what}.body`),
    nodes: list(bytes(limits.proofBytesMax), limits.pathDepthMax * 8)(nodes, `${what}.nodes`),
  };
};

/** The proof as text. */
export function writePathProof(proof: PathProof): string {
  const extra = encode([proof.path, proof.leaf, proof.body, proof.nodes]);
  const lines = [header, `extra ${toBase64(extra)}`, `index ${proof.leafIndex}`];
  return `${[...lines, ...proof.hashes.map(toBase64)].join("\n")}\n\n${proof.note}`;
}

/** Reads a proof of any origin; nothing is verified. Fault: MALFORMED_PROOF. */
export function readPathProof(written: string): Result<PathProof> {
  if (written.length > limits.proofBytesMax)
    return fail("MALFORMED_PROOF", `a proof is no longer than ${limits.proofBytesMax} bytes`);
  const gap = written.indexOf("\n\n");
  const [first, extraLine, indexLine, ...hashLines] = written
    .slice(0, Math.max(gap, 0))
    .split("\n");
  if (first !== header) return fail("MALFORMED_PROOF", `the first line is not ${header}`);
  const index = /^index (0|[1-9]\d{0,15})$/.exec(indexLine ?? "")?.[1];
  if (index === undefined) return fail("MALFORMED_PROOF", "the third line is not the leaf's index");
  const hashes = hashLines.map((line) => fromBase64(line));
  const sound = hashes.filter((hash) => hash?.length === 32) as Uint8Array[];
  if (sound.length !== hashes.length || sound.length > 64)
    return fail("MALFORMED_PROOF", "a hash is not 32 bytes of base64");
  const wire = extraLine?.startsWith("extra ") ? fromBase64(extraLine.slice(6)) : undefined;
  if (wire === undefined) return fail("MALFORMED_PROOF", "the second line has no extra data");
  const extra = read(wire, extraShape, "proof");
  if (!extra.ok) return fail("MALFORMED_PROOF", extra.error.detail);
  const note = written.slice(gap + 2);
  return ok({ ...extra.value, leafIndex: Number(index), hashes: sound, note });
}

/**
 * Checks a proof against the genesis alone: cosignatures, log, state, directories. It says nothing about a file's bytes
 * but their digest and size. Faults: MALFORMED_*, WRONG_ORIGIN, NO_QUORUM, WRONG_PROOF, INCOMPLETE_PROOF, BAD_PATH.
 */
export function checkPathProof(trust: Trust, written: string): Result<ProvenPath> {
  const proof = readPathProof(written);
  if (!proof.ok) return proof;
  const certified = certifiedBy(trust, proof.value.note);
  if (!certified.ok) return certified;
  const { checkpoint, signers, leaseS } = certified.value;
  const state = provenState(proof.value, checkpoint);
  if (!state.ok) return state;
  const { body, tsMs } = state.value;
  const { path } = proof.value;
  const names = parsePath(path);
  if (!names.ok) return names;
  const entry = entryIn(proof.value.nodes, body.trees, names.value);
  if (!entry.ok) return entry;
  const { height } = body;
  return ok({ path, height, tsMs, entry: entry.value, logSize: checkpoint.size, signers, leaseS });
}

/** Strict UTF-8 of a file with a proof. Fault: MALFORMED_PROOF. */
export function proofText(bytes: Uint8Array): Result<string> {
  const written = fromUtf8(bytes);
  return written === undefined || utf8(written).length > limits.proofBytesMax
    ? fail("MALFORMED_PROOF", "the file is not a proof")
    : ok(written);
}
