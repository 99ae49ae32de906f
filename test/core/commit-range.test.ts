import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Digest, defined } from "../../src/core/base/index.ts";
import {
  type CommitRange,
  type SignedHeader,
  type VerifiedBlock,
  verifyCommitRange,
  verifySignedHeader,
} from "../../src/core/dag/index.ts";
import { forge } from "../support/dag-forge.ts";
import { ranNet } from "../support/dag-siege.ts";
import { fakeVerifier } from "../support/dag-world.ts";

const { net, range } = ranNet((k) => `m${k}`);
const { config } = net;
const genesis = defined(net.faces[1], "a writer").machine;
const start = { index: 0, digest: defined(range.commits[0], "a commit").commit.prev };

/** `valid`, or the fault that a follower finds. */
function saidOf(change: Partial<CommitRange>, after = start): string {
  const verified = verifyCommitRange({ ...range, ...change }, after, {
    config,
    verifier: fakeVerifier,
  });
  return verified.ok ? "valid" : verified.error.code;
}

function authorOf(signed: SignedHeader): number {
  const verified = verifySignedHeader(signed, config, fakeVerifier);
  assert.ok(verified.ok);
  return verified.value.header.author;
}

/** A header of an author that votes for something else. */
function votingFor(author: number, index: number, digest: Digest): SignedHeader {
  const newest = defined(genesis.blocks.newestOf(author as never), "a block") as VerifiedBlock;
  const { round, parents } = newest.header;
  return forge(config, { author, round, parents, commitVotes: [{ index, digest }] }).signed;
}

const [first, second, third] = range.commits;
const rest = range.commits.slice(1);
const bare = rest.map(({ commit }) => ({ commit, blocks: undefined }));
assert.ok(first !== undefined && second !== undefined && third !== undefined);
const last = defined(range.commits.at(-1), "a last commit").commit;
const other = Digest("cd".repeat(32));
const [one, two] = range.voters;
assert.ok(one !== undefined && two !== undefined);

describe("a range of certified commits (dag.md §11)", () => {
  const rows: Readonly<Record<string, readonly [string, () => string]>> = {
    "as it should be": ["valid", () => saidOf({})],
    "with f+1 voters": ["valid", () => saidOf({ voters: [one, two] })],
    "with a voter too few": ["NO_QUORUM", () => saidOf({ voters: [one] })],
    "with one voter twice": ["NO_QUORUM", () => saidOf({ voters: [one, one, one] })],
    "with a voter for another commit of that index": [
      "NO_QUORUM",
      () => saidOf({ voters: [one, votingFor(authorOf(two), last.index, other)] }),
    ],
    "with a voter for a commit before": [
      "NO_QUORUM",
      () => saidOf({ voters: [one, votingFor(authorOf(two), last.index - 1, last.prev)] }),
    ],
    "with a voter whose signature is not his": [
      "NO_QUORUM",
      () => saidOf({ voters: [one, { ...two, signature: one.signature }] }),
    ],
    "with the blocks of the first commits alone": [
      "valid",
      () => saidOf({ commits: [first, ...bare] }),
    ],
    "without any blocks": [
      "EMPTY_RANGE",
      () => saidOf({ commits: [{ ...first, blocks: undefined }, ...rest] }),
    ],
    "without commits": ["EMPTY_RANGE", () => saidOf({ commits: [] })],
    "with a gap": ["NOT_NEXT", () => saidOf({ commits: [first, third] })],
    "that does not begin here": ["NOT_NEXT", () => saidOf({ commits: range.commits.slice(1) })],
    "of another history": ["BROKEN_CHAIN", () => saidOf({}, { index: 0, digest: other })],
    "that lacks a block": [
      "WRONG_BLOCK",
      () => saidOf({ commits: [{ ...first, blocks: first.blocks?.slice(1) }, ...rest] }),
    ],
    "with other blocks than named": [
      "WRONG_BLOCK",
      () =>
        saidOf({
          commits: [{ ...first, blocks: second.blocks?.slice(0, first.blocks?.length) }, ...rest],
        }),
    ],
  };
  for (const [what, [expected, said]] of Object.entries(rows))
    test(what, () => assert.equal(said(), expected));
});
