import { Author, Digest, type Prng, Round } from "../../src/core/base/index.ts";
import { type Ref, refKey } from "../../src/core/dag/block.ts";
import type { Vertex } from "../../src/core/dag/graph.ts";
import type { CommitRule } from "../../src/core/dag/index.ts";
import { vertexOf } from "./dag-vertex.ts";

/** A block of a drawn DAG. Genesis blocks stand at round 0 and belong to no view. */
export interface DrawnBlock {
  readonly id: number;
  readonly round: number;
  readonly author: number;
  readonly digest: string;
  readonly parents: readonly DrawnBlock[];
  readonly vertex: Vertex;
}

/** What a trial draws from: the rule under test and how wild the world is. */
export interface DrawOptions {
  readonly rule: CommitRule;
  readonly leadersPerRound: number;
  readonly rounds: number;
  readonly views: number;
  readonly gcRounds: number;
  /** Blocks that one commit orders. */
  readonly blocksMax?: number | undefined;
}

export interface DrawnDag {
  /** In an order in which parents come before children. */
  readonly blocks: readonly DrawnBlock[];
  readonly cheaters: ReadonlySet<number>;
}

/** How the cheaters of one DAG behave, drawn once, so that single trials are consistently nasty. */
interface Mood {
  readonly cheaters: ReadonlySet<number>;
  /** Chance that a child picks among twins by its side and not at random. */
  readonly split: number;
  readonly withhold: number;
  readonly twins: number;
  /** Chance that a correct writer misses a round. */
  readonly miss: number;
}

interface Draft {
  readonly author: number;
  readonly parents: readonly DrawnBlock[];
}

/** Draws a DAG of valid blocks: a correct writer has one block a round at most, a cheater up to three. */
export function drawDag(options: DrawOptions, random: Prng): DrawnDag {
  const { rule, rounds } = options;
  const writers = Array.from({ length: rule.n }, (_, author) => author);
  const mood: Mood = {
    cheaters: new Set(random.shuffled(writers).slice(0, rule.f)),
    split: random.below(101) / 100,
    withhold: random.chance(0.5) ? 0.05 : 0.3,
    twins: random.chance(0.2) ? 3 : 2,
    miss: random.chance(0.7) ? 0 : 0.15,
  };
  const blocks: DrawnBlock[] = [];
  const add = (round: number, draft: Draft): DrawnBlock => {
    const block = drawnBlock({ id: blocks.length, round, draft }, random);
    blocks.push(block);
    return block;
  };
  const newest = new Map<number, DrawnBlock[]>();
  let below = writers.map((author) => add(0, { author, parents: [] }));
  for (const block of below) newest.set(block.author, [block]);
  for (let round = 1; round <= rounds; round++) {
    const drafts = writers.flatMap((author) =>
      draftsOf(author, { rule, mood, below, newest, random }),
    );
    below = drafts.map((draft) => add(round, draft));
    for (const author of new Set(below.map((block) => block.author))) {
      newest.set(
        author,
        below.filter((block) => block.author === author),
      );
    }
  }
  return { blocks: blocks.filter((block) => block.round > 0), cheaters: mood.cheaters };
}

function drawnBlock(place: { id: number; round: number; draft: Draft }, random: Prng): DrawnBlock {
  const { id, round, draft } = place;
  const word = random.next().toString(16).padStart(8, "0");
  const digest = `${word}${id.toString(16).padStart(8, "0")}`.repeat(4);
  const ref: Ref = { round: Round(round), author: Author(draft.author), digest: Digest(digest) };
  const vertex = vertexOf(
    ref,
    draft.parents.map((parent) => parent.vertex.ref),
    0,
  );
  return { id, round, author: draft.author, digest, parents: draft.parents, vertex };
}

interface Scene {
  readonly rule: CommitRule;
  readonly mood: Mood;
  readonly below: readonly DrawnBlock[];
  readonly newest: ReadonlyMap<number, readonly DrawnBlock[]>;
  readonly random: Prng;
}

function draftsOf(author: number, scene: Scene): Draft[] {
  const { mood, random } = scene;
  const cheats = mood.cheaters.has(author);
  if (random.chance(cheats ? mood.withhold : mood.miss)) return [];
  const copies = cheats && random.chance(0.8) ? mood.twins : 1;
  const drafts: Draft[] = [];
  for (let copy = 0; copy < copies; copy++) {
    const draft = draftOf(author, cheats ? copy : author % 2, scene);
    if (draft !== undefined) drafts.push(draft);
  }
  return drafts;
}

/** Own block first, then a parent quorum of the round below, sometimes more, sometimes a straggler's old block. */
function draftOf(
  author: number,
  side: number,
  { rule, mood, below, newest, random }: Scene,
): Draft | undefined {
  const pick = (blocks: readonly DrawnBlock[]): DrawnBlock | undefined =>
    blocks[random.chance(mood.split) ? side % blocks.length : random.below(blocks.length)];
  const present = new Set(below.map((block) => block.author));
  const others = random.shuffled([...present].filter((other) => other !== author));
  const need = rule.parentQuorum - (present.has(author) ? 1 : 0);
  if (others.length < need) return undefined;
  const extra = random.chance(0.5) ? 0 : random.below(others.length - need + 1);
  const chosen = [author, ...others.slice(0, need + extra)];
  const parents = chosen.map((parent) => pick(newest.get(parent) ?? []));
  for (const [straggler, blocks] of newest) {
    if (!present.has(straggler) && straggler !== author && random.chance(0.3))
      parents.push(pick(blocks));
  }
  return { author, parents: parents.filter((parent) => parent !== undefined) };
}

/** The blocks and all that they stand on, genesis left out. */
export function closureOf(tips: Iterable<DrawnBlock>): Set<DrawnBlock> {
  const seen = new Set<DrawnBlock>(tips);
  for (const block of seen)
    for (const parent of block.parents) if (parent.round > 0) seen.add(parent);
  return seen;
}

/** Causally closed views: the whole DAG, then pairs of which the second is a part of the first. */
export function drawViews(dag: DrawnDag, options: DrawOptions, random: Prng): Set<DrawnBlock>[] {
  const views = [new Set(dag.blocks)];
  while (views.length <= options.views) {
    const top = 3 + random.below(Math.max(1, options.rounds - 2));
    const share = random.below(101) / 100;
    const near = dag.blocks.filter((block) => block.round <= top && block.round > top - 3);
    const larger = closureOf(near.filter(() => random.chance(share)));
    views.push(larger);
    const part = random.below(101) / 100;
    views.push(
      closureOf([...larger].filter((block) => block.round > top - 4 && random.chance(part))),
    );
  }
  return views.slice(0, options.views + 1);
}

export function keyOf(block: DrawnBlock): string {
  return refKey(block.vertex.ref);
}
