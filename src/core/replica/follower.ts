import { assert, equalBytes, fail, ok, type Result, StepBuilder } from "../base/index.ts";
import type { Network, NetworkParent } from "../committee/index.ts";
import type { AcceptedBatch, BatchPoint, BatchRange, CertifiedBatch } from "../consensus/index.ts";
import { type CertifiedCheckpoint, type Verifier, verifyNote } from "../crypto/index.ts";
import type { DueRecord, MirrorState, MirrorView } from "../mirror/index.ts";
import type { FollowerEffect, FollowerInput, FollowerStep, HostRecord } from "./effects.ts";
import { certifiedWrites, Executor, type ExecutorEffect } from "./executor.ts";
import { mirrorConfigOf } from "./network-config.ts";
import { batchesToReplay, type HostRecovery } from "./recovery.ts";

export interface FollowerOptions {
  readonly network: Network;
  readonly verifier: Verifier;
  readonly view: MirrorView;
  readonly recovery: HostRecovery;
  /** Where this group ends for the host: it goes on with one that split from it there. */
  readonly until?: NetworkParent["at"];
}

/** Due checkpoints whose roots are kept for comparison. */
const dueKept = 256;

/**
 * A reader: takes certified batches from anybody, executes them itself, and compares the roots with what
 * the writers cosigned. It never signs and needs to trust nobody.
 */
export class FollowerHost {
  readonly #network: Network;
  readonly #verifier: Verifier;
  readonly #executor: Executor;
  /** In the log, and not executed yet. */
  readonly #replayed: readonly AcceptedBatch[];
  readonly #until: NetworkParent["at"] | undefined;
  readonly #due = new Map<number, DueRecord>();
  #last: BatchPoint;
  #certified: { readonly due: DueRecord; readonly leaseS: number } | undefined;
  /**
   * Certified checkpoints of sizes that execution has not reached: the nearest, and the newest. Were a newer one to take
   * the place of the nearest, a reader that executes more slowly than others publish would never compare any.
   */
  #waiting: readonly CertifiedCheckpoint[] = [];
  #made = new StepBuilder<HostRecord, FollowerEffect>();

  constructor(options: FollowerOptions) {
    const { network, recovery, verifier } = options;
    this.#network = network;
    this.#verifier = verifier;
    this.#until = options.until;
    this.#executor = new Executor(recovery.state, mirrorConfigOf(network, verifier), options.view);
    this.#replayed = batchesToReplay(recovery, network.consensus);
    this.#last = this.#replayed.at(-1) ?? recovery.state.commit;
    if (recovery.due === undefined) return;
    this.#due.set(recovery.due.size, recovery.due);
    this.#executor.rememberDue(recovery.due);
  }

  get state(): MirrorState {
    return this.#executor.state;
  }

  /** All `state` effects of the last steps are in the store. */
  stateWritten(): void {
    this.#executor.written();
  }

  get backlog(): number {
    return this.#executor.backlog;
  }

  /** It is where its group ends for it, and has what was certified there. */
  get isAtEnd(): boolean {
    return this.#until !== undefined && (this.#certified?.due.size ?? 0) >= this.#until.size;
  }

  /** The last commit taken: where to follow on. */
  get lastCommit(): BatchPoint {
    return this.#last;
  }

  /** It needs no records of what it has executed. */
  get horizon(): number {
    return Number.MAX_SAFE_INTEGER;
  }

  /** Where it diverged from what a quorum certified, nothing of the step is kept. */
  step(input: FollowerInput): FollowerStep {
    this.#made = new StepBuilder();
    const effects = this.#take(input);
    const violation = effects.find(({ type }) => type === "violation");
    if (violation !== undefined) return { records: [], effects: [violation] };
    return { records: this.#made.records, effects };
  }

  #take(input: FollowerInput): readonly FollowerEffect[] {
    switch (input.type) {
      case "start":
        return this.#start();
      case "news":
        return this.#onNews(input);
      case "batches":
        return this.#run(this.#executor.acceptAgain(input.batches));
      case "changes-here":
        return this.#run(this.#executor.run());
      case "tick":
        return [];
    }
  }

  #start(): readonly FollowerEffect[] {
    const effects: FollowerEffect[] = [];
    for (const batch of this.#replayed) {
      effects.push(...this.#run(this.#executor.accept(batch)));
    }
    return effects;
  }

  #onNews({ source, range, note }: Extract<FollowerInput, { type: "news" }>): FollowerEffect[] {
    const taken = this.#onRange(range);
    if (!taken.ok) return [{ type: "news-taken", source, fault: taken.error }];
    const noted = note === undefined ? ok([]) : this.#onCheckpoint(note);
    const effects = [...taken.value, ...(noted.ok ? noted.value : [])];
    const fault = noted.ok ? undefined : noted.error;
    if (fault?.code === "STATE_DIVERGED")
      return [{ type: "violation", detail: `${source}: ${fault.detail}` }];
    return [...effects, { type: "news-taken", source, fault }];
  }

  /** Batches from an untrusted source; a fault blames that source. Faults: of {@link Protocol.verifyRange}. */
  #onRange(range: BatchRange): Result<readonly FollowerEffect[]> {
    const end = this.#until?.commit;
    const verified = this.#network.consensus.verifyRange(range, this.#last, {
      verifier: this.#verifier,
      ...(end === undefined ? {} : { until: end }),
    });
    if (!verified.ok) return verified;
    const effects: FollowerEffect[] = [];
    const { batches, certificate } = verified.value;
    for (const one of batches) effects.push(...this.#execute(one));
    if (this.#until !== undefined && batches.length > 0 && this.#last.index === end?.index) {
      const noted = this.#onCheckpoint(this.#until.note);
      if (noted.ok) effects.push(...noted.value);
      return ok(effects);
    }
    if (certificate !== undefined) effects.push({ type: "certificate", certificate });
    return ok(effects);
  }

  #execute({ batch, records }: CertifiedBatch): readonly FollowerEffect[] {
    assert(batch.index === this.#last.index + 1, "a verified range has no gaps");
    this.#last = { index: batch.index, digest: batch.digest };
    for (const record of records) this.#made.records.push({ type: "log", record });
    return this.#run(this.#executor.accept(batch));
  }

  /**
   * A checkpoint note from an untrusted source. Faults: of {@link verifyNote}; STATE_DIVERGED if a quorum
   * cosigned another root than this host computed: then either this program is wrong or more than f writers lie.
   */
  #onCheckpoint(note: string): Result<readonly FollowerEffect[]> {
    const { origin, cosigners, quorum } = this.#network;
    const verified = verifyNote(note, { origin, cosigners, quorum, verifier: this.#verifier });
    if (!verified.ok) return verified;
    const { size } = verified.value.checkpoint;
    if (size === this.#certified?.due.size) return this.#renewed(verified.value);
    this.#await(verified.value);
    return this.#compare();
  }

  #await(certified: CertifiedCheckpoint): void {
    const { size } = certified.checkpoint;
    const { waiting } = this;
    const newest = waiting?.size ?? this.#certified?.due.size ?? 0;
    if (size > newest) this.#waiting = [...this.#waiting.slice(0, 1), certified];
    else if (size === waiting?.size && certified.leaseS > waiting.leaseS)
      this.#waiting = [...this.#waiting.slice(0, -1), certified];
  }

  /** Sizes at which a certified checkpoint waits to be compared, the nearest first. */
  get awaited(): readonly number[] {
    return this.#waiting.map(({ checkpoint }) => checkpoint.size);
  }

  /** The newest checkpoint that is compared once what it certifies is executed: to be asked for no more. */
  get waiting(): { readonly size: number; readonly leaseS: number } | undefined {
    const newest = this.#waiting.at(-1);
    return newest && { size: newest.checkpoint.size, leaseS: newest.leaseS };
  }

  /** What is certified here already was vouched for again: the freshness lease is longer. */
  #renewed({ checkpoint, leaseS, note }: CertifiedCheckpoint): Result<readonly FollowerEffect[]> {
    const certified = this.#certified;
    if (certified === undefined || leaseS <= certified.leaseS) return ok([]);
    const { due } = certified;
    if (!equalBytes(due.root, checkpoint.root)) return diverged(due.size);
    this.#certified = { due, leaseS };
    return ok([{ type: "certified", due, note }]);
  }

  /** What execution has reached by now is compared, the nearest first. */
  #compare(): Result<readonly FollowerEffect[]> {
    const effects: FollowerEffect[] = [];
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.checkpoint.size > this.#executor.state.log.size) break;
      this.#waiting = this.#waiting.slice(1);
      const compared = this.#compareOne(next);
      if (!compared.ok) return compared;
      effects.push(...compared.value);
    }
    return ok(effects);
  }

  #compareOne({
    checkpoint,
    leaseS,
    note,
  }: CertifiedCheckpoint): Result<readonly FollowerEffect[]> {
    const { size, root } = checkpoint;
    const due = this.#due.get(size);
    if (due === undefined) return ok([]);
    if (!equalBytes(due.root, root)) return diverged(size);
    this.#certified = { due, leaseS };
    for (const known of this.#due.keys()) if (known <= size) this.#due.delete(known);
    const state = this.#executor.takeDueState(size);
    const kept = state === undefined ? [] : [certifiedWrites(state)];
    return ok([...kept, { type: "certified", due, note }]);
  }

  #run(executed: readonly ExecutorEffect[]): readonly FollowerEffect[] {
    const effects: FollowerEffect[] = [...executed];
    for (const effect of executed)
      if (effect.type === "mirror" && effect.event.type === "checkpoint-due")
        this.#due.set(effect.event.due.size, effect.event.due);
    // Once all that was executed together is known: what waits may be any of it.
    const compared = this.#compare();
    if (compared.ok) effects.push(...compared.value);
    else effects.push({ type: "violation", detail: compared.error.detail });
    this.#boundDue();
    return effects;
  }

  #boundDue(): void {
    for (const size of this.#due.keys()) {
      if (this.#due.size <= dueKept) return;
      this.#due.delete(size);
    }
  }
}

function diverged(size: number): Result<never> {
  return fail(
    "STATE_DIVERGED",
    `the writers cosigned another root for size ${size} than this host computed`,
  );
}
