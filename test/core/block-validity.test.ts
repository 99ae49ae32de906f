import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Author, Digest, Round } from "../../src/core/base/index.ts";
import { encodePayload, segmentOf } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  blockSigningBytes,
  type DagConfig,
  encodeHeader,
  genesisRef,
  type Header,
  headerDigest,
  type Ref,
  verifyBlock,
  wireOf,
} from "../../src/core/dag/index.ts";
import { configOf } from "../support/dag-forge.ts";
import { fakeSigner, fakeVerifier, ruleOf } from "../support/dag-world.ts";

const config: DagConfig = configOf(ruleOf("three", 4, 1));
const payload = encodePayload([segmentOf(0, [Buffer.from("hello")])]);
const other = Digest("cd".repeat(32));

function refOf(round: number, author: number): Ref {
  const digest = Digest(`${author}${round}`.padEnd(64, "0"));
  return { round: Round(round), author: Author(author), digest };
}

const parents = [refOf(59, 0), refOf(59, 1), refOf(59, 2)];

const valid: Header = {
  group: config.group,
  epoch: config.epoch,
  author: Author(0),
  round: Round(60),
  tsMs: 5,
  parents,
  payload: { digest: sha256(payload), bytes: payload.length, segments: 1 },
  commitVotes: [
    { index: 3, digest: other },
    { index: 4, digest: other },
  ],
};

/** What a host says of a block; `key` is the writer whose key signed it. */
function saidOf(
  header: Header,
  made: { readonly key?: number; readonly payload?: Uint8Array; readonly signs?: Digest } = {},
): string {
  const bytes = encodeHeader(header);
  const signer = fakeSigner(`writer ${made.key ?? header.author}`);
  const signature = signer.sign(blockSigningBytes(made.signs ?? headerDigest(header, bytes)));
  const wire = wireOf({ bytes, signature }, made.payload ?? payload);
  const verified = verifyBlock(wire, config, fakeVerifier);
  return verified.ok ? "valid" : `${verified.error.by}: ${verified.error.code}`;
}

const withParents = (...refs: readonly Ref[]): string => saidOf({ ...valid, parents: refs });

/** What the sender is to blame for proves nothing against the author; what he signed does. */
const relay = (code: string): string => `relay: ${code}`;
const author = (code: string): string => `author: ${code}`;

describe("the validity of a block (dag.md §3)", () => {
  const rows: Readonly<Record<string, readonly [string, () => string]>> = {
    "as it should be": ["valid", () => saidOf(valid)],
    "signed by another writer": [relay("BAD_SIGNATURE"), () => saidOf(valid, { key: 1 })],
    "signed for another header": [relay("BAD_SIGNATURE"), () => saidOf(valid, { signs: other })],
    "of another group": [relay("WRONG_GROUP"), () => saidOf({ ...valid, group: other })],
    "of another epoch": [relay("WRONG_GROUP"), () => saidOf({ ...valid, epoch: 1 })],
    "of nobody": [relay("UNKNOWN_AUTHOR"), () => saidOf({ ...valid, author: Author(4) })],
    "of round 0": [author("INVALID_HEADER"), () => saidOf({ ...valid, round: Round(0) })],
    "without parents": [author("INVALID_HEADER"), () => withParents()],
    "with a parent too few in the round before": [
      author("INVALID_HEADER"),
      () => withParents(refOf(59, 0), refOf(59, 1), refOf(58, 2)),
    ],
    "its own parent may be old": [
      "valid",
      () => withParents(refOf(2, 0), refOf(59, 1), refOf(59, 2), refOf(59, 3)),
    ],
    "another's parent may not": [
      author("INVALID_HEADER"),
      () => withParents(...parents, refOf(9, 3)),
    ],
    "a parent at the horizon": ["valid", () => withParents(...parents, refOf(10, 3))],
    "its own parent not first": [
      author("INVALID_HEADER"),
      () => withParents(refOf(59, 1), refOf(59, 0), refOf(59, 2)),
    ],
    "a second parent of its own": [
      author("INVALID_HEADER"),
      () => withParents(refOf(59, 0), refOf(58, 0), refOf(59, 1), refOf(59, 2)),
    ],
    "two parents of one author": [
      author("INVALID_HEADER"),
      () =>
        withParents(refOf(59, 0), refOf(59, 1), { ...refOf(59, 1), digest: other }, refOf(59, 2)),
    ],
    "parents in another order": [
      author("INVALID_HEADER"),
      () => withParents(refOf(59, 0), refOf(59, 2), refOf(59, 1)),
    ],
    "a parent of its own round": [
      author("INVALID_HEADER"),
      () => withParents(...parents, refOf(60, 3)),
    ],
    "a parent of nobody": [author("INVALID_HEADER"), () => withParents(...parents, refOf(59, 4))],
    "a genesis that is none": [
      author("INVALID_HEADER"),
      () => {
        const first = [0, 1, 2].map((i) => genesisRef(config, Author(i)));
        const strange = { ...genesisRef(config, Author(3)), digest: other };
        return saidOf({ ...valid, round: Round(1), parents: [...first, strange] });
      },
    ],
    "commit votes that do not rise": [
      author("INVALID_HEADER"),
      () => saidOf({ ...valid, commitVotes: valid.commitVotes.toReversed() }),
    ],
    "another payload": [
      relay("WRONG_PAYLOAD"),
      () => saidOf(valid, { payload: encodePayload([segmentOf(0, [Buffer.from("HELLO")])]) }),
    ],
    "a payload of another length": [
      relay("WRONG_PAYLOAD"),
      () => saidOf({ ...valid, payload: { ...valid.payload, bytes: payload.length + 1 } }),
    ],
    "a payload that does not read": [
      author("INVALID_PAYLOAD"),
      () => {
        const junk = Buffer.from("junk");
        const about = { digest: sha256(junk), bytes: junk.length, segments: 1 };
        return saidOf({ ...valid, payload: about }, { payload: junk });
      },
    ],
    "another number of segments": [
      author("INVALID_PAYLOAD"),
      () => saidOf({ ...valid, payload: { ...valid.payload, segments: 2 } }),
    ],
  };
  for (const [what, [expected, said]] of Object.entries(rows))
    test(what, () => assert.equal(said(), expected));
});
