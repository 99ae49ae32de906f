import { type Digest, fail, limits, ok, type Result } from "../../base/index.ts";
import { bytes, fields, list, type Shape, type Value } from "../../codec/index.ts";
import type { Verifier } from "../../crypto/index.ts";
import {
  type DagConfig,
  type SignedHeader,
  sameRef,
  signedHeaderShape,
  signedHeaderValue,
  type VerifiedBlock,
  verifyBlock,
  verifySignedHeader,
} from "./block.ts";
import { type Commit, commitDigest, commitShape, commitValue, encodeCommit } from "./commit.ts";

/** Commits in a row with their blocks, and the signed headers that vote for the last of them (`dag.md` §11). */
export interface CommitRange {
  readonly commits: readonly { readonly commit: Commit; readonly blocks: readonly Uint8Array[] }[];
  readonly voters: readonly SignedHeader[];
}

/** A commit that a quorum endorsed, with the blocks it orders. */
export interface CertifiedCommit {
  readonly commit: Commit;
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly blocks: readonly VerifiedBlock[];
}

export function commitRangeValue(range: CommitRange): Value {
  return [
    range.commits.map(({ commit, blocks }) => [commitValue(commit), blocks]),
    range.voters.map(signedHeaderValue),
  ];
}

const blockWire: Shape<Uint8Array> = bytes(limits.payloadBytesMax + limits.headerBytesMax + 256);

export const commitRangeShape: Shape<CommitRange> = (value, what) => {
  const [commits, voters] = fields(2)(value, what);
  return {
    commits: list((item, name) => {
      const [commit, blocks] = fields(2)(item, name);
      return {
        commit: commitShape(commit, `${name}.commit`),
        blocks: list(blockWire, limits.frameBytesMax)(blocks, `${name}.blocks`),
      };
    }, limits.syncCommitsMax)(commits, `${what}.commits`),
    voters: list(signedHeaderShape, limits.committeeWritersMax)(voters, `${what}.voters`),
  };
};

/**
 * Verifies a range that shall follow commit (`after.index`, `after.digest`): an unbroken chain, every block
 * the one its commit names, and the last commit endorsed by a quorum of distinct writers. Signatures are
 * checked too: identity does not cover them, and what is kept here will be served to others.
 * Faults: NOT_NEXT, BROKEN_CHAIN, WRONG_BLOCK, NO_QUORUM, EMPTY_RANGE.
 */
export function verifyCommitRange(
  range: CommitRange,
  after: { readonly index: number; readonly digest: Digest },
  by: {
    readonly config: DagConfig;
    readonly verifier: Verifier;
    /** A commit that is known to be certified: a range that ends with it needs no votes. */
    readonly known?: { readonly index: number; readonly digest: Digest };
  },
): Result<readonly CertifiedCommit[]> {
  const certified: CertifiedCommit[] = [];
  let last = after;
  for (const { commit, blocks } of range.commits) {
    if (commit.index !== last.index + 1)
      return fail("NOT_NEXT", `commit ${commit.index} does not follow ${last.index}`);
    if (commit.prev !== last.digest)
      return fail("BROKEN_CHAIN", `commit ${commit.index} continues another history`);
    const decoded = blocksOf(commit, blocks, by);
    if (!decoded.ok) return decoded;
    const bytes = encodeCommit(commit);
    last = { index: commit.index, digest: commitDigest(bytes) };
    certified.push({ commit, bytes, digest: last.digest, blocks: decoded.value });
  }
  if (certified.length === 0) return fail("EMPTY_RANGE", "no commit in the answer");
  if (last.index === by.known?.index && last.digest === by.known.digest) return ok(certified);
  const votes = countVoters(range.voters, last, by);
  const quorum = by.config.rule.parentQuorum;
  if (votes < quorum)
    return fail("NO_QUORUM", `${votes} of the ${quorum} commit votes needed are valid`);
  return ok(certified);
}

function blocksOf(
  commit: Commit,
  wires: readonly Uint8Array[],
  by: { readonly config: DagConfig; readonly verifier: Verifier },
): Result<VerifiedBlock[]> {
  const blocks: VerifiedBlock[] = [];
  if (wires.length !== commit.blocks.length)
    return fail("WRONG_BLOCK", `commit ${commit.index} lacks blocks`);
  for (const [i, ref] of commit.blocks.entries()) {
    const block = verifyBlock(wires[i] ?? new Uint8Array(0), by.config, by.verifier);
    if (!block.ok) return block;
    if (!sameRef(block.value.ref, ref))
      return fail("WRONG_BLOCK", `commit ${commit.index} names another block`);
    blocks.push(block.value);
  }
  return ok(blocks);
}

function countVoters(
  voters: readonly SignedHeader[],
  last: { readonly index: number; readonly digest: Digest },
  by: { readonly config: DagConfig; readonly verifier: Verifier },
): number {
  const authors = new Set<number>();
  for (const signed of voters) {
    const verified = verifySignedHeader(signed, by.config, by.verifier);
    if (!verified.ok) continue;
    const { header } = verified.value;
    const endorses = header.commitVotes.some(
      (vote) => vote.index === last.index && vote.digest === last.digest,
    );
    if (endorses) authors.add(header.author);
  }
  return authors.size;
}
