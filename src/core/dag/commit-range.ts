import { type Digest, defined, fail, limits, ok, type Result } from "../base/index.ts";
import { bytes, fields, list, optional, type Shape, type Value } from "../codec/index.ts";
import type { Verifier } from "../crypto/index.ts";
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
import type { CommitCertificate } from "./commit-votes.ts";

/**
 * Commits in a row, and the signed headers that vote for the last of them (`dag.md` §11). The first ones come with their
 * blocks, as many as an answer holds; the others, without, are the chain to the one that is voted for.
 */
export interface CommitRange {
  readonly commits: readonly RangeCommit[];
  readonly voters: readonly SignedHeader[];
}

export interface RangeCommit {
  readonly commit: Commit;
  readonly blocks: readonly Uint8Array[] | undefined;
}

/** Commits with their blocks, and what certifies them: a vote for a commit endorses the whole chain below it. */
export interface CertifiedRange {
  readonly commits: readonly CertifiedCommit[];
  readonly certificate: CommitCertificate;
}

/** A commit that f+1 writers endorsed, with the blocks it orders. */
export interface CertifiedCommit {
  readonly commit: Commit;
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly blocks: readonly VerifiedBlock[];
}

export function commitRangeValue(range: CommitRange): Value {
  return [
    range.commits.map(({ commit, blocks }) => [commitValue(commit), blocks ?? null]),
    range.voters.map(signedHeaderValue),
  ];
}

const blockWire: Shape<Uint8Array> = bytes(limits.payloadBytesMax + limits.headerBytesMax + 256);

/** Reads a range of any origin; nothing is verified. */
export const commitRangeShape: Shape<CommitRange> = (value, what) => {
  const [commits, voters] = fields(2)(value, what);
  return {
    commits: list((item, name) => {
      const [commit, blocks] = fields(2)(item, name);
      return {
        commit: commitShape(commit, `${name}.commit`),
        blocks:
          optional(list(blockWire, limits.commitBlocksMax))(blocks, `${name}.blocks`) ?? undefined,
      };
    }, limits.syncCommitsMax)(commits, `${what}.commits`),
    voters: list(signedHeaderShape, limits.committeeWritersMax)(voters, `${what}.voters`),
  };
};

/**
 * Verifies a range that shall follow commit (`after.index`, `after.digest`): an unbroken chain, every block
 * the one its commit names, and the last commit endorsed by f+1 distinct writers. Signatures are
 * checked too: identity does not cover them, and what is kept here will be served to others. The votes are counted
 * first: a range without them costs no more than they do.
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
): Result<CertifiedRange> {
  const chain = chainOf(range, after);
  if (!chain.ok) return chain;
  const last = chain.value.at(-1);
  if (last === undefined) return fail("EMPTY_RANGE", "no commit in the answer");
  const end = { index: last.commit.index, digest: last.digest };
  const isKnown = end.index === by.known?.index && end.digest === by.known.digest;
  const votes = isKnown ? 0 : countVoters(range.voters, end, by);
  const needed = isKnown ? 0 : by.config.rule.f + 1;
  if (votes < needed)
    return fail("NO_QUORUM", `${votes} of the ${needed} commit votes needed are valid`);
  const commits: CertifiedCommit[] = [];
  for (const [i, { blocks: wires }] of range.commits.entries()) {
    if (wires === undefined) break;
    const one = defined(chain.value[i], "a commit of the chain");
    const blocks = blocksOf(one.commit, wires, by);
    if (!blocks.ok) return blocks;
    commits.push({ ...one, blocks: blocks.value });
  }
  if (commits.length === 0) return fail("EMPTY_RANGE", "no commit in the answer has its blocks");
  return ok({ commits, certificate: { ...end, voters: range.voters } });
}

/** The commits, each the one that follows. Faults: NOT_NEXT, BROKEN_CHAIN. */
function chainOf(
  { commits }: CommitRange,
  after: { readonly index: number; readonly digest: Digest },
): Result<readonly Omit<CertifiedCommit, "blocks">[]> {
  const chain: Omit<CertifiedCommit, "blocks">[] = [];
  let last = after;
  for (const { commit } of commits) {
    if (commit.index !== last.index + 1)
      return fail("NOT_NEXT", `commit ${commit.index} does not follow ${last.index}`);
    if (commit.prev !== last.digest)
      return fail("BROKEN_CHAIN", `commit ${commit.index} continues another history`);
    const bytes = encodeCommit(commit);
    last = { index: commit.index, digest: commitDigest(bytes) };
    chain.push({ commit, bytes, digest: last.digest });
  }
  return ok(chain);
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
