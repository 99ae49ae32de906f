import assert from "node:assert/strict";
import {
  type CommitRange,
  type DagConfig,
  refKey,
  type VerifiedBlock,
} from "../../src/core/dag/index.ts";
import { configOf, forge, genesisParents, ownFirst } from "./dag-forge.ts";
import { DagNet } from "./dag-net.ts";
import { ruleOf } from "./dag-world.ts";

const three = ruleOf("three", 4, 1);

/** A net that ran for a while under load, and the longest certified range of writer 0. */
export function ranNet(
  texts: (k: number) => string,
  rounds = 40,
): { net: DagNet; range: CommitRange } {
  const net = new DagNet({ config: configOf(three), seed: 7 });
  for (let k = 0; k < rounds; k++) {
    net.submit(k % 4, texts(k));
    net.run(net.now + 30);
  }
  net.run(net.now + 5000);
  const [face] = net.faces;
  const certificate = face?.machine.certified;
  assert.ok(
    face !== undefined && certificate !== undefined && certificate.index > 10,
    "commits were certified",
  );
  const commits = face.commits
    .filter(({ index }) => index <= certificate.index)
    .map((commit) => ({
      commit,
      blocks: commit.blocks.map((ref) => wireOf(face.blocks.get(refKey(ref)))),
    }));
  return { net, range: { commits, voters: certificate.voters } };
}

function wireOf(block: VerifiedBlock | undefined): Uint8Array {
  assert.ok(block !== undefined, "an ordered block is stored");
  return block.wire;
}

/** Honest rounds without writer 3, of which each tip of a cheater names a history of its own. */
export function cheaterWorld(rounds: number): { config: DagConfig; honest: VerifiedBlock[][] } {
  const config = configOf(three, { leadersPerRound: 1 });
  const honest: VerifiedBlock[][] = [];
  for (let round = 1; round <= rounds; round++) {
    const below = honest.at(-1)?.map((block) => block.ref);
    const parents = (author: number) =>
      below === undefined ? genesisParents(config, author) : ownFirst(below, author);
    honest.push(
      [0, 1, 2].map((author) => forge(config, { author, round, parents: parents(author) })),
    );
  }
  return { config, honest };
}

/** Blocks of writer 3 for the rounds 1 … `top`, different for each `flavour`. */
export function twinChain(
  world: ReturnType<typeof cheaterWorld>,
  top: number,
  flavour: number,
): VerifiedBlock[] {
  const chain: VerifiedBlock[] = [];
  for (let round = 1; round <= top; round++) {
    const own = chain.at(-1)?.ref;
    const below = world.honest[round - 2]?.map((block) => block.ref);
    const parents =
      own === undefined || below === undefined
        ? genesisParents(world.config, 3)
        : ownFirst([...below, own], 3);
    chain.push(forge(world.config, { author: 3, round, parents, tsMs: 5000 + flavour }));
  }
  return chain;
}
