import { type Digest, type Height, type PublicKey, toHex } from "../base/index.ts";
import { sha256Text } from "../crypto/index.ts";

/**
 * The names under which the mirror keeps its state in the ordered key–value store. Numbers are fixed-width
 * hexadecimal, so keys of one kind sort as their numbers do and arrive in order.
 */
export function padded(value: number): string {
  return value.toString(16).padStart(12, "0");
}

/** With which the keys of each kind begin; the store's own are beside them (`app/host/keys.ts`). */
export const keySpaces = {
  node: "n",
  height: "h",
  update: "u",
  leaf: "l",
  hash: "m",
  history: "p",
  lastChange: "q",
  due: "s",
  checkpoint: "k",
  evidence: "e",
  offence: "o",
  conviction: "x",
  readerProof: "y",
  appender: "z",
  appenderTurn: "j",
  appended: "d",
  messages: "a",
} as const;

/** Keys of the store, by what stands there. */
export const stateKeys = {
  /** The whole {@link MirrorState}. */
  mirror: "mirror",
  node: (root: Digest): string => `${keySpaces.node}/${root}`,
  /** What a height is: see {@link HeightRecord}. */
  height: (height: number): string => `${keySpaces.height}/${padded(height)}`,
  update: (id: Digest): string => `${keySpaces.update}/${id}`,
  leaf: (index: number): string => `${keySpaces.leaf}/${padded(index)}`,
  hash: (level: number, index: number): string =>
    `${keySpaces.hash}/${level.toString(16).padStart(2, "0")}/${padded(index)}`,
  /** When a path last changed, as of each height that changed it; `path` as {@link hashedPath} gives it. */
  history: (path: string, height: Height | number): string =>
    `${keySpaces.history}/${path}/${padded(height)}`,
  /** When a path last changed, at the newest height. */
  lastChange: (path: string): string => `${keySpaces.lastChange}/${path}/`,
  /** Size and root at which a checkpoint is due. */
  due: (size: number): string => `${keySpaces.due}/${padded(size)}`,
  /** A certified checkpoint, as a note. */
  checkpoint: (size: number): string => `${keySpaces.checkpoint}/${padded(size)}`,
  /** A proof of misbehaviour that was ordered. */
  evidence: (id: Digest): string => `${keySpaces.evidence}/${id}`,
  /** A misdeed that is proven, by the hash of what names it. */
  offence: (hash: Digest): string => `${keySpaces.offence}/${hash}`,
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
  conviction: (culprit: PublicKey): string => `${keySpaces.conviction}/${culprit}`,
  /** Places for proofs against hosts that are no writers, by the writer that brought them: see {@link ReaderProof}. */
  readerProof: (reporter: number, place: number): string =>
    `${keySpaces.readerProof}/${padded(reporter)}/${padded(place)}`,
  /** What is remembered of a client of the broadcast, and who was taken at which turn. */
  appender: (client: PublicKey): string => `${keySpaces.appender}/${client}`,
  appenderTurn: (turn: number): string => `${keySpaces.appenderTurn}/${padded(turn)}`,
  /** Which records of clients a commit ordered anew: for those that read it back. */
  appended: (commit: number): string => `${keySpaces.appended}/${padded(commit)}`,
  /** First index of application messages → the commit that holds it. */
  messages: (index: number): string => `${keySpaces.messages}/${padded(index)}`,
} as const;

/** Stands for a path of a tree in keys. */
export function hashedPath(tree: string, path: string): string {
  return toHex(sha256Text(`${tree}/${path}`).subarray(0, 20));
}
