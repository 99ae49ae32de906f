import { Prng } from "../../src/core/base/index.ts";
import { type Decision, decideFrom } from "../../src/core/dag/decide.ts";
import { Graph, type SlotPlace, type Vertex } from "../../src/core/dag/graph.ts";
import type { CommitRule } from "../../src/core/dag/index.ts";
import { horizonAfter, linearize } from "../../src/core/dag/linearize.ts";
import {
  closureOf,
  type DrawnBlock,
  type DrawOptions,
  drawDag,
  drawViews,
  keyOf,
} from "./dag-random.ts";
import { type TwinSlot, twinDecisions, twinOrder } from "./dag-twin.ts";

/** The real rule run the way the machine runs it: cursor, pruning, one commit after the other. */
export class LiveOrder {
  readonly slots: string[] = [];
  readonly commits: string[] = [];
  readonly #options: DrawOptions;
  readonly #graph = new Graph<Vertex>();
  readonly #ordered = new Set<string>();
  #cursor: SlotPlace = { round: 1, rank: -1 };
  #horizon = 0;

  constructor(options: DrawOptions) {
    this.#options = options;
  }

  /** `blocks` with parents before children. */
  push(blocks: readonly DrawnBlock[]): void {
    for (const block of blocks) if (block.round > this.#horizon) this.#graph.add(block.vertex);
    const { rule, leadersPerRound } = this.#options;
    for (const decision of decideFrom(
      { graph: this.#graph, rule, leadersPerRound },
      this.#cursor,
    )) {
      this.#cursor = decision.slot;
      this.slots.push(slotText(decision));
      if (decision.kind === "commit") this.#commit(decision.block);
    }
  }

  #commit(leader: Vertex): void {
    const isOrdered = (key: string): boolean => this.#ordered.has(key);
    const { blocksMax = Number.POSITIVE_INFINITY } = this.#options;
    const limit = { horizon: this.#horizon, isOrdered, blocksMax, bytesMax: blocksMax };
    const fresh = linearize(this.#graph, leader, { ...limit, bytesOf: () => 1 }).map(
      (vertex) => vertex.key,
    );
    for (const key of fresh) this.#ordered.add(key);
    this.commits.push(fresh.join(" "));
    this.#horizon = horizonAfter(leader.ref.round, this.#options.gcRounds);
    this.#graph.prune(this.#horizon);
  }
}

function slotText(decision: Decision): string {
  const block = decision.kind === "commit" ? decision.block.key : "";
  return `${decision.slot.round}/${decision.slot.author} ${decision.kind} ${block}`;
}

function twinText(slot: TwinSlot): string {
  return `${slot.round}/${slot.author} ${slot.kind} ${slot.block === undefined ? "" : keyOf(slot.block)}`;
}

export interface Outcome {
  readonly commits: number;
  /** What is wrong, if anything. */
  readonly fault: string | undefined;
}

const isPrefix = (short: readonly string[], long: readonly string[]): boolean =>
  short.every((line, i) => i >= long.length || line === long[i]);

/** Real orders only: no two views of one DAG may disagree. The sharp edge that mutants must cut themselves on. */
export function disagreement(options: DrawOptions, seed: number): Outcome {
  const random = new Prng(seed);
  const dag = drawDag(options, random);
  const orders: LiveOrder[] = [];
  for (const view of drawViews(dag, options, random)) {
    const order = new LiveOrder(options);
    order.push(dag.blocks.filter((block) => view.has(block)));
    orders.push(order);
  }
  const commits = Math.max(...orders.map((order) => order.commits.length));
  for (const [i, a] of orders.entries()) {
    if (a.slots.some((slot) => slot.includes("violation")))
      return { commits, fault: `view ${i}: violation` };
    for (const b of orders.slice(0, i)) {
      if (!isPrefix(a.slots, b.slots)) return { commits, fault: `view ${i}: slots differ` };
      if (!isPrefix(a.commits, b.commits)) return { commits, fault: `view ${i}: order differs` };
    }
  }
  return { commits, fault: undefined };
}

/** {@link disagreement}, and every view against the dumb twin, whole and in instalments. */
export function trial(options: DrawOptions, seed: number): Outcome {
  const outcome = disagreement(options, seed);
  if (outcome.fault !== undefined) return outcome;
  const random = new Prng(seed);
  const dag = drawDag(options, random);
  for (const [i, view] of drawViews(dag, options, random).entries()) {
    const decisions = twinDecisions(view, options.rule, options.leadersPerRound);
    const slots = decisions.map(twinText).join("\n");
    const commits = twinOrder(decisions, options.gcRounds, options.blocksMax).map((blocks) =>
      blocks.map(keyOf).join(" "),
    );
    const whole = new LiveOrder(options);
    whole.push(dag.blocks.filter((block) => view.has(block)));
    const parts = inParts(dag.blocks, view, { options, random });
    for (const [name, real] of Object.entries({ whole, parts })) {
      if (real.slots.join("\n") !== slots)
        return { ...outcome, fault: `view ${i} ${name}: slots differ from the twin's` };
      if (real.commits.join("\n") !== commits.join("\n")) {
        return { ...outcome, fault: `view ${i} ${name}: order differs from the twin's` };
      }
    }
  }
  return outcome;
}

/** The same view, arriving as several closed parts. */
function inParts(
  blocks: readonly DrawnBlock[],
  view: ReadonlySet<DrawnBlock>,
  by: { readonly options: DrawOptions; readonly random: Prng },
): LiveOrder {
  const order = new LiveOrder(by.options);
  const here = new Set<DrawnBlock>();
  for (let part = 0; part < 4; part++) {
    const tips = [...view].filter(() => part === 3 || by.random.chance(0.2));
    const closed = closureOf(tips);
    order.push(blocks.filter((block) => closed.has(block) && !here.has(block)));
    for (const block of closed) here.add(block);
  }
  return order;
}

/** One line of the table: a rule, how many leaders, and a name for messages. */
export interface Row {
  readonly name: string;
  readonly rule: CommitRule;
  readonly leaders: number;
}

export function optionsOf(row: Row, over: Partial<DrawOptions> = {}): DrawOptions {
  return {
    rule: row.rule,
    leadersPerRound: row.leaders,
    rounds: 8,
    views: 3,
    gcRounds: 3,
    ...over,
  };
}
