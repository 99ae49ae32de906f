import { type Digest, fromHex, limits } from "../base/index.ts";
import { digest, encode, fields, list, natural, type Shape, type Value } from "../codec/index.ts";
import { taggedDigest } from "../crypto/index.ts";
import { type Ref, refShape, refValue } from "./block.ts";

/** One decision: the leader's block and what it newly brings into the order (`dag.md` §2, §9). */
export interface Commit {
  /** 1, 2, 3, …; 0 stands for genesis. */
  readonly index: number;
  /** Digest of commit `index − 1`. */
  readonly prev: Digest;
  readonly leader: Ref;
  /** Newly ordered blocks, in their final order: those of lower rounds first, as many as one commit holds. */
  readonly blocks: readonly Ref[];
  /** Median clock of the leader's parents, never before the previous commit's; milliseconds. */
  readonly tsMs: number;
}

export function commitValue(commit: Commit): Value {
  return [
    commit.index,
    fromHex(commit.prev),
    refValue(commit.leader),
    commit.blocks.map(refValue),
    commit.tsMs,
  ];
}

export const commitShape: Shape<Commit> = (value, what) => {
  const [index, prev, leader, blocks, tsMs] = fields(5)(value, what);
  return {
    index: natural()(index, `${what}.index`),
    prev: digest(prev, `${what}.prev`),
    leader: refShape(leader, `${what}.leader`),
    blocks: list(refShape, limits.commitBlocksMax)(blocks, `${what}.blocks`),
    tsMs: natural(2 ** 48 - 1)(tsMs, `${what}.tsMs`),
  };
};

/** The bytes of a commit, as they are hashed and logged. */
export function encodeCommit(commit: Commit): Uint8Array {
  return encode(commitValue(commit));
}

/** Digest of a commit's bytes. */
export function commitDigest(bytes: Uint8Array): Digest {
  return taggedDigest("commit", bytes);
}

/** What commit 1 names as its predecessor. */
export function genesisCommitDigest(group: Digest, epoch: number): Digest {
  return taggedDigest("commit", encode([fromHex(group), epoch]));
}
