import { type Digest, type Height, type PublicKey, toHex } from "../base/index.ts";
import { sha256Text } from "../crypto/index.ts";

/**
 * The names under which the mirror keeps its state in the ordered key–value store. Numbers are fixed-width
 * hexadecimal, so keys of one kind sort as their numbers do and arrive in order.
 */
export function padded(value: number): string {
  return value.toString(16).padStart(12, "0");
}

export const stateKeys = {
  /** The whole {@link MirrorState}. */
  mirror: "mirror",
  node: (root: Digest): string => `n/${root}`,
  /** What a height is: see {@link HeightRecord}. */
  height: (height: number): string => `h/${padded(height)}`,
  update: (id: Digest): string => `u/${id}`,
  leaf: (index: number): string => `l/${padded(index)}`,
  hash: (level: number, index: number): string =>
    `m/${level.toString(16).padStart(2, "0")}/${padded(index)}`,
  /** When a path last changed, as of each height that changed it; `path` as {@link hashedPath} gives it. */
  history: (path: string, height: Height | number): string => `p/${path}/${padded(height)}`,
  /** When a path last changed, at the newest height. */
  lastChange: (path: string): string => `q/${path}/`,
  /** Size and root at which a checkpoint is due. */
  due: (size: number): string => `s/${padded(size)}`,
  /** A certified checkpoint, as a note. */
  checkpoint: (size: number): string => `k/${padded(size)}`,
  /** A proof of misbehaviour that was ordered. */
  evidence: (id: Digest): string => `e/${id}`,
  /** A misdeed that is proven, by the hash of what names it. */
  offence: (hash: Digest): string => `o/${hash}`,
  /** Proofs that this host found and the order does not have yet. */
  found: "meta/found-evidence",
  /** The {@link MirrorState} at the newest certified checkpoint: where a split may begin. */
  certifiedState: "meta/certified-state",
  /** The newest height of which all content is here, and of all before it. */
  complete: "meta/complete",
  /** Which heights' content is kept here. */
  kept: "meta/kept",
  /** Groups of the same past that are known here. */
  splits: "meta/splits",
  /** What is proven against a host: see {@link ConvictionRecord}. */
  conviction: (culprit: PublicKey): string => `x/${culprit}`,
  /** Places for proofs against hosts that are no writers, by the writer that brought them: see {@link ReaderProof}. */
  readerProof: (reporter: number, place: number): string =>
    `y/${padded(reporter)}/${padded(place)}`,
  /** What is remembered of a client of the broadcast, and who was taken at which turn. */
  appender: (client: PublicKey): string => `z/${client}`,
  appenderTurn: (turn: number): string => `j/${padded(turn)}`,
  /** Which records of clients a commit ordered anew: for those that read it back. */
  appended: (commit: number): string => `d/${padded(commit)}`,
  /** First index of application messages → the commit that holds it. */
  messages: (index: number): string => `a/${padded(index)}`,
} as const;

/** Stands for a path of a tree in keys. */
export function hashedPath(tree: string, path: string): string {
  return toHex(sha256Text(`${tree}/${path}`).subarray(0, 20));
}
