import { Author, Digest, Round } from "../../src/core/base/index.ts";
import { encodePayload, segmentOf } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  blockSigningBytes,
  type CommitVote,
  type DagConfig,
  encodeHeader,
  genesisRef,
  headerDigest,
  type Ref,
  type VerifiedBlock,
  verifyBlock,
} from "../../src/core/dag/block.ts";
import {
  type CommitRule,
  type DagEffect,
  type DagInput,
  DagMachine,
  type DagRecovery,
  wireOf,
} from "../../src/core/dag/index.ts";
import { fakeSigner, fakeVerifier } from "./dag-world.ts";

export function configOf(rule: CommitRule, over: Partial<DagConfig> = {}): DagConfig {
  return {
    group: Digest("ab".repeat(32)),
    epoch: 0,
    keys: Array.from({ length: rule.n }, (_, i) => fakeSigner(`writer ${i}`).publicKey),
    rule,
    leadersPerRound: Math.min(rule.n, 3),
    genesisTimeMs: 1000,
    gcRounds: 50,
    ...over,
  };
}

export const freshRecovery: DagRecovery = {
  blocks: [],
  commits: [],
  signedRound: 0,
  maySign: true,
};

/** The real machine of one writer. */
export function machineOf(
  config: DagConfig,
  author: number,
  recovery: DagRecovery = freshRecovery,
): DagMachine {
  const signer = fakeSigner(`writer ${author}`);
  return new DagMachine({
    config,
    pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
    signer: { author: Author(author), sign: (message) => signer.sign(message) },
    recovery,
  });
}

export interface Recipe {
  readonly author: number;
  readonly round: number;
  /** Without `parents[0]` being the author's own the block is invalid: that is checked here. */
  readonly parents: readonly Ref[];
  readonly texts?: readonly string[];
  readonly commitVotes?: readonly CommitVote[];
  readonly tsMs?: number;
}

/** A valid block of any content, signed with the author's key: what a cheating writer can make. */
export function forge(config: DagConfig, recipe: Recipe): VerifiedBlock {
  const { author, round, parents, texts = [] } = recipe;
  const segments =
    texts.length === 0
      ? []
      : [
          segmentOf(
            0,
            texts.map((text) => Buffer.from(text)),
          ),
        ];
  const payload = encodePayload(segments);
  const header = {
    group: config.group,
    epoch: config.epoch,
    author: Author(author),
    round: Round(round),
    tsMs: recipe.tsMs ?? 1000,
    parents,
    payload: { digest: sha256(payload), bytes: payload.length, segments: segments.length },
    commitVotes: recipe.commitVotes ?? [],
  };
  const bytes = encodeHeader(header);
  const signature = fakeSigner(`writer ${author}`).sign(
    blockSigningBytes(headerDigest(header, bytes)),
  );
  const wire = wireOf({ bytes, signature }, payload);
  const verified = verifyBlock(wire, config, fakeVerifier);
  if (!verified.ok) throw new Error(`the forgery is no valid block: ${verified.error.detail}`);
  return verified.value;
}

/** Genesis refs in the order a header wants them: `own` first. */
export function genesisParents(config: DagConfig, own: number): Ref[] {
  return ownFirst(
    config.keys.map((_, i) => genesisRef(config, Author(i))),
    own,
  );
}

export function ownFirst(refs: readonly Ref[], own: number): Ref[] {
  const others = refs.filter((ref) => ref.author !== own).sort((a, b) => a.author - b.author);
  return [...refs.filter((ref) => ref.author === own), ...others];
}

/** Full rounds 1 … `rounds` of all writers, each block naming all of the round before. */
export function fullRounds(config: DagConfig, rounds: number): VerifiedBlock[][] {
  const all: VerifiedBlock[][] = [];
  for (let round = 1; round <= rounds; round++) {
    const below = all.at(-1)?.map((block) => block.ref);
    all.push(
      config.keys.map((_, author) => {
        const parents =
          below === undefined ? genesisParents(config, author) : ownFirst(below, author);
        return forge(config, { author, round, parents });
      }),
    );
  }
  return all;
}

export const authorsOf = (authors: readonly number[]): ReadonlySet<Author> =>
  new Set(authors.map(Author));

/** A block as its author pushes it. */
export const pushed = (block: VerifiedBlock): Extract<DagInput, { type: "block" }> => ({
  type: "block",
  block,
  from: block.ref.author,
  how: "pushed",
});

/** A block as another writer answers with it. */
export const fetched = (
  block: VerifiedBlock,
  from: number,
): Extract<DagInput, { type: "block" }> => ({
  type: "block",
  block,
  from: Author(from),
  how: "fetched",
});

/** The own blocks that a machine releases. */
export const released = (effects: readonly DagEffect[]): VerifiedBlock[] =>
  effects.flatMap((effect) => (effect.type === "broadcast" ? [effect.block] : []));
