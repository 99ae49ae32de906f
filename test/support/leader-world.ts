import assert from "node:assert/strict";
import { decideFrom } from "../../src/core/dag/decide.ts";
import { Graph, type Vertex } from "../../src/core/dag/graph.ts";
import { type CommitRule, type Ref, refKey, type VerifiedBlock } from "../../src/core/dag/index.ts";
import { forge, genesisParents, ownFirst } from "./dag-forge.ts";
import { vertexOf } from "./dag-vertex.ts";
import { DagWorld } from "./dag-world.ts";

/** The writer that leads round 1, and is in the hands of the test. */
export const leader = 1;

/** The real machines in virtual time, and a leader that shows one or more faces of its block to whom it likes. */
export class LeaderWorld extends DagWorld {
  readonly rule: CommitRule;
  readonly leaders: number;
  readonly faces: readonly VerifiedBlock[];

  /** `delayMs`: all go in step; otherwise delays are drawn from the seed. */
  constructor(options: {
    readonly rule: CommitRule;
    readonly faces: number;
    readonly seed?: number;
    readonly leaders?: number;
    readonly delayMs?: number;
  }) {
    const { rule, leaders = 1, seed = 1, delayMs } = options;
    super({ rule, seed, leadersPerRound: leaders, ...(delayMs === undefined ? {} : { delayMs }) });
    this.rule = rule;
    this.leaders = leaders;
    this.faces = Array.from({ length: options.faces }, (_, face) =>
      forge(this.config, {
        author: leader,
        round: 1,
        parents: genesisParents(this.config, leader),
        texts: [`face ${face}`],
      }),
    );
  }

  get correct(): number[] {
    return [...this.hosts.keys()].filter((i) => i !== leader);
  }

  get correctHosts(): DagWorld["hosts"] {
    return this.hosts.filter((_, i) => i !== leader);
  }

  /** The leader says nothing of its own: its links are gone, or (`isAwaited`) they stand and are silent. */
  silence(isAwaited: boolean): void {
    const host = this.hosts[leader];
    assert.ok(host !== undefined);
    if (!isAwaited) return this.kill(leader);
    host.up = false;
  }

  submitAll(name: string): void {
    for (const i of this.correct) this.submit(i, [`${name} of ${i}`]);
  }

  show(face: number, to: readonly number[]): void {
    for (const i of to) this.deliver(leader, i, this.#face(face));
  }

  #face(face: number): VerifiedBlock {
    const block = this.faces[face];
    assert.ok(block !== undefined, "the leader has this face");
    return block;
  }

  /** The leader's block of round 2, which votes for its first face. */
  vote(to: readonly number[]): void {
    const block = this.second(this.#face(0));
    for (const i of to) this.deliver(leader, i, block);
  }

  /** A block of round 2 upon an own one and the first blocks of all that run. */
  second({ ref: own }: VerifiedBlock, texts: readonly string[] = []): VerifiedBlock {
    const firsts = this.hosts.flatMap(({ log }, i): Ref[] =>
      log.blocks.flatMap(({ ref }) => (ref.round === 1 && ref.author === i ? [ref] : [])),
    );
    const parents = ownFirst([own, ...firsts], own.author);
    return forge(this.config, { author: own.author, round: 2, parents, texts });
  }

  /** What the rule says of the leader's slot to somebody who has what host `i` has. */
  decision(i: number): string {
    const graph = new Graph<Vertex>();
    for (const { ref, header } of this.hosts[i]?.log.blocks ?? [])
      graph.add(vertexOf(ref, header.parents, header.tsMs));
    const view = { graph, rule: this.rule, leadersPerRound: this.leaders };
    const found = decideFrom(view, { round: 1, rank: -1 }).find(
      ({ slot }) => slot.round === 1 && slot.author === leader,
    );
    if (found?.kind === "skip") return `skip ${found.by}`;
    if (found?.kind !== "commit") return found?.kind ?? "undecided";
    const face = this.faces.findIndex(({ ref }) => refKey(ref) === found.block.key);
    return `face ${face} commit ${found.by}`;
  }

  /** The face that a host's commits made the leader of round 1, if any. */
  committedFace(i: number): number {
    const leaders = new Set(this.hosts[i]?.log.commits.map((commit) => refKey(commit.leader)));
    return this.faces.findIndex(({ ref }) => leaders.has(refKey(ref)));
  }

  /** Correct writers whose blocks of round 2 vote for a face. */
  votersOf(face: number): number[] {
    const key = refKey(this.#face(face).ref);
    const votes = ({ ref, header }: VerifiedBlock): boolean =>
      ref.round === 2 && header.parents.some((parent) => refKey(parent) === key);
    return this.correct.filter((i) =>
      this.hosts[i]?.log.blocks.some((block) => block.ref.author === i && votes(block)),
    );
  }

  /** No correct host differs from another, and each correct host's payload is in the order once. */
  check(waves: readonly string[], name: string): void {
    assert.equal(this.halted, undefined, name);
    const [first = [], ...rest] = this.correct.map((i) => this.messages(i));
    for (const order of rest) assert.deepEqual(order, first, `${name}: one order`);
    const own = first.filter((text) => !text.startsWith("face"));
    const sent = waves.flatMap((wave) => this.correct.map((i) => `${wave} of ${i}`));
    assert.deepEqual(own.toSorted(), sent.toSorted(), `${name}: all of it, once`);
    const decisions = this.correct.map((i) => this.decision(i));
    const faces = this.correct.map((i) => this.committedFace(i));
    for (const [i, decision] of decisions.entries()) {
      const face = /^face (\d+) commit/.exec(decision)?.[1];
      assert.equal(faces[i], Number(face ?? -1), `${name}: the machine does what the rule says`);
      assert.equal(faces[i], faces[0], `${name}: one decision`);
    }
  }

  /** What the leader got into the order. */
  get facesOrdered(): string[] {
    return this.messages(0).filter((text) => text.startsWith("face"));
  }
}
