import { type Author, limits, type Prng } from "../base/index.ts";
import { AntiEntropy } from "./anti-entropy.ts";
import { BlockSynchronizer } from "./block-synchronizer.ts";
import type { DagMachine } from "./machine.ts";
import type { DagMessage } from "./messages.ts";
import { StateTransfer } from "./state-transfer.ts";

interface Question {
  readonly peer: Author;
  readonly message: DagMessage;
}

/** What a writer asks of whom: missing blocks by name, commits that it lags behind, and what the others have at all. */
export class Asking {
  readonly gaps: BlockSynchronizer;
  readonly stateTransfer: StateTransfer;
  readonly antiEntropy: AntiEntropy = new AntiEntropy();

  constructor(random: Prng) {
    this.gaps = new BlockSynchronizer(random);
    this.stateTransfer = new StateTransfer(random);
  }

  /** The link to a peer is gone. */
  forget(peer: Author): void {
    this.gaps.forget(peer);
    this.stateTransfer.forget(peer);
    this.antiEntropy.forget(peer);
  }

  /** After every input: the questions that are due, and when to look again. */
  look(
    dag: DagMachine,
    reachable: ReadonlySet<Author>,
    paceMs: number,
  ): { readonly questions: readonly Question[]; readonly wakesAtMs: readonly number[] } {
    const questions = [
      ...this.#gaps(dag, reachable, paceMs),
      ...this.#commits(dag, reachable, paceMs),
      ...this.#inventory(dag, reachable, paceMs),
    ];
    // Named at every step: the loop keeps the earliest wake-up only, and what it keeps may be another's.
    const wakes = [this.gaps, this.stateTransfer, this.antiEntropy].map((part) =>
      part.wakeAtMs(paceMs),
    );
    return { questions, wakesAtMs: wakes.filter((atMs) => atMs !== undefined) };
  }

  #gaps(dag: DagMachine, reachable: ReadonlySet<Author>, paceMs: number): Question[] {
    if (!this.gaps.isDue(paceMs)) return [];
    return this.gaps
      .requests(dag.admission.missing(), reachable, paceMs)
      .map(({ peer, refs }) => ({ peer, message: { type: "fetch", refs } }));
  }

  #commits(dag: DagMachine, reachable: ReadonlySet<Author>, paceMs: number): Question[] {
    const lastIndex = dag.lastCommit.index;
    const { endorsedIndex } = dag;
    const peer = this.stateTransfer.next({ lastIndex, endorsedIndex, reachable }, paceMs);
    return peer === undefined ? [] : [{ peer, message: { type: "sync", after: lastIndex } }];
  }

  /** Where nothing goes on, the others may have what is missing here by no name. */
  #inventory(dag: DagMachine, reachable: ReadonlySet<Author>, paceMs: number): Question[] {
    const { lastCommit, wantsRound, sizes } = dag;
    const isWanted = wantsRound || sizes.waiting > 0;
    const state = { lastCommit: lastCommit.index, isWanted, reachable };
    const peer = this.antiEntropy.next(state, paceMs);
    if (peer === undefined) return [];
    const fromRound = inventoryFrom(dag, reachable.size + 1);
    return [{ peer, message: { type: "inventory-wanted", fromRound } }];
  }
}

/**
 * What is not decided is asked for. But whom others refused for long, and one honest host builds upon, has a chain of its own
 * that reaches below: by the names in its blocks alone it would be fetched one block a round trip.
 */
function inventoryFrom(dag: DagMachine, writers: number): number {
  const rounds = Math.floor(limits.inventoryRefsMax / writers);
  const deepest = Math.max(0, dag.decidedRound - limits.gcRounds);
  if (dag.round - deepest <= rounds) return deepest;
  // An answer does not hold all of it: as far down as it still reaches up to what is missing.
  const lowest = dag.admission
    .missing()
    .reduce((least, { round }) => Math.min(least, round), Infinity);
  return lowest > dag.decidedRound ? dag.decidedRound : Math.max(0, lowest - rounds);
}
