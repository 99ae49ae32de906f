import { assert, type Digest, limits, Overlay, type Steps } from "../base/index.ts";
import { type AcceptedBatch, messageCount, messagesOf, segmentBytes } from "../consensus/index.ts";
import {
  type Appended,
  type DueRecord,
  type Executed,
  encodeState,
  executing,
  type MirrorConfig,
  type MirrorEvent,
  type MirrorState,
  type MirrorView,
  messageKinds,
  type OrderedBatch,
  type OrderedMessage,
  stateKeys,
  type Writes,
} from "../mirror/index.ts";

/** Work that is done at once, as steps count it: some twenty milliseconds. */
const defaultWorkAtOnce = 2048;

/** Batches, and bytes of them, that wait in memory for a change list. The others are read back from the log. */
const waitingMax = { batches: 256, bytes: 32 * 1024 * 1024 };

export type ExecutorEffect =
  /** It takes this batch now; what it deferred before is told later, in its turn. */
  | { readonly type: "accepted"; readonly batch: AcceptedBatch }
  /** There is room again: these batches, which are in the log, are to be accepted once more. */
  | { readonly type: "batches-needed"; readonly after: number; readonly until: number }
  | { readonly type: "state"; readonly writes: Writes }
  /** A commit is executed; its first application message, if it has any, has this index. */
  | {
      readonly type: "executed";
      readonly commit: number;
      readonly firstMessage: number;
      readonly appends: readonly (Appended | undefined)[];
    }
  | { readonly type: "mirror"; readonly event: MirrorEvent }
  | { readonly type: "changes-needed"; readonly changes: Digest; readonly update: Digest }
  /** Enough was done at once: others have their turn, then {@link Executor.run} goes on. */
  | { readonly type: "execution-paused" };

/** What is kept of a certified checkpoint: the state there, from which a split may begin. */
export function certifiedWrites(state: MirrorState): ExecutorEffect {
  return { type: "state", writes: new Map([[stateKeys.certifiedState, encodeState(state)]]) };
}

/**
 * Feeds accepted batches to the mirror, in order, and waits where a change list is still to come. The order goes on
 * meanwhile: what has no room in memory is left in the log, and asked for again.
 */
export class Executor {
  readonly #config: MirrorConfig;
  readonly #view: MirrorView;
  /** Writes that the store does not have yet: later batches of the same step read them here. */
  readonly #unwritten = new Overlay<Uint8Array | undefined>();
  /** States at checkpoints that are due and not certified yet. */
  readonly #dueStates = new Map<number, MirrorState>();
  #queue: { readonly batch: OrderedBatch; readonly bytes: number }[] = [];
  #queuedBytes = 0;
  /** The newest batch that was left in the log, and this host's own tickets in those: batch → payload → tickets. */
  #deferredTo = 0;
  readonly #tickets = new Map<number, ReadonlyMap<number, readonly number[]>>();
  #isAsking = false;
  #state: MirrorState;
  readonly #workAtOnce: number;
  /** The first batch of the queue, begun: it is nothing before it is all done. */
  #begun: Steps<Executed> | undefined;

  // biome-ignore lint/complexity/useMaxParams: what it is about, and how much of it at once
  constructor(
    state: MirrorState,
    config: MirrorConfig,
    view: MirrorView,
    workAtOnce: number = defaultWorkAtOnce,
  ) {
    this.#workAtOnce = workAtOnce;
    this.#state = state;
    this.#config = config;
    this.#view = {
      changes: view.changes,
      get: (key) => {
        const unwritten = this.#unwritten.holding(key);
        return unwritten === undefined ? view.get(key) : unwritten.get(key);
      },
    };
  }

  /** The store has all writes handed out so far. */
  written(): void {
    this.#unwritten.clear();
  }

  get state(): MirrorState {
    return this.#state;
  }

  /** The state at a checkpoint that was due, once; earlier ones are forgotten with it. */
  takeDueState(size: number): MirrorState | undefined {
    const state = this.#dueStates.get(size);
    for (const due of this.#dueStates.keys()) if (due <= size) this.#dueStates.delete(due);
    return state;
  }

  /**
   * A checkpoint that is due, known from before a restart: the state stands at it, unless commits that ordered nothing
   * have come since. Then it is another state with the same log, and no split may begin from it.
   */
  rememberDue({ size, commit }: DueRecord): void {
    if (this.#state.commit.index === commit) this.#dueStates.set(size, this.#state);
  }

  /** Batches that wait for a change list, in memory and in the log. */
  get backlog(): number {
    return Math.max(this.#lastQueued, this.#deferredTo) - this.#state.commit.index;
  }

  /** Bytes of batches that wait in memory. */
  get backlogBytes(): number {
    return this.#queuedBytes;
  }

  get #lastQueued(): number {
    return this.#queue.at(-1)?.batch.index ?? this.#state.commit.index;
  }

  get #isFull(): boolean {
    return this.#queue.length >= waitingMax.batches || this.#queuedBytes >= waitingMax.bytes;
  }

  accept(batch: AcceptedBatch): readonly ExecutorEffect[] {
    // After a restart the order may repeat what the state has already.
    if (batch.index <= Math.max(this.#lastQueued, this.#deferredTo)) return [];
    if (this.#isFull || this.#deferredTo > 0) return this.#defer(batch);
    return this.#take(batch);
  }

  /** Batches from the log, in their order; others than those that are due are nothing to it. */
  acceptAgain(batches: readonly AcceptedBatch[]): readonly ExecutorEffect[] {
    this.#isAsking = false;
    const effects: ExecutorEffect[] = [];
    for (const batch of batches) {
      if (batch.index !== this.#lastQueued + 1 || this.#isFull) continue;
      const tickets = this.#tickets.get(batch.index);
      this.#tickets.delete(batch.index);
      const payloads = batch.payloads.map((payload, i) => ({
        ...payload,
        tickets: tickets?.get(i) ?? payload.tickets,
      }));
      effects.push(...this.#take({ ...batch, payloads }));
    }
    if (this.#lastQueued >= this.#deferredTo) this.#deferredTo = 0;
    // What could not be read now is asked for when something happens again.
    return effects.length === 0 ? [] : [...effects, ...this.#ask()];
  }

  #defer({ index, payloads }: AcceptedBatch): readonly ExecutorEffect[] {
    this.#deferredTo = index;
    const own = payloads.flatMap(({ tickets }, i) =>
      tickets.some((ticket) => ticket !== 0) ? [[i, tickets] as const] : [],
    );
    if (own.length > 0) this.#tickets.set(index, new Map(own));
    return this.#ask();
  }

  #ask(): readonly ExecutorEffect[] {
    if (this.#deferredTo === 0 || this.#isAsking || this.#queue.length > waitingMax.batches / 2)
      return [];
    if (this.#queuedBytes > waitingMax.bytes / 2) return [];
    this.#isAsking = true;
    const after = this.#lastQueued;
    const until = Math.min(this.#deferredTo, after + waitingMax.batches / 2);
    return [{ type: "batches-needed", after, until }];
  }

  #take(batch: AcceptedBatch): readonly ExecutorEffect[] {
    assert(batch.index === this.#lastQueued + 1, "batches are executed in their order");
    const isWaiting = this.#queue.length > 0;
    const bytes = bytesOf(batch);
    this.#queue.push({ batch: orderedBatch(batch), bytes });
    this.#queuedBytes += bytes;
    // What the first one waits for was asked for already.
    return [{ type: "accepted", batch }, ...(isWaiting ? [] : this.#run())];
  }

  #keepDue(size: number): void {
    this.#dueStates.set(size, this.#state);
    const [oldest] = this.#dueStates.keys();
    if (this.#dueStates.size > limits.cosignaturesPendingMax && oldest !== undefined)
      this.#dueStates.delete(oldest);
  }

  /** Executes as far as it goes; to be called again when a change list has arrived. */
  run(): readonly ExecutorEffect[] {
    return [...this.#run(), ...this.#ask()];
  }

  /** What a batch makes, or that it needs more time than is left; `left` is what is left of it. */
  #advance(batch: OrderedBatch, left: number): { readonly done?: Executed; readonly left: number } {
    const use = { view: this.#view, config: this.#config };
    this.#begun ??= executing(this.#state, batch, use);
    for (let work = left; ; ) {
      const step = this.#begun.next();
      if (step.done === true) {
        this.#begun = undefined;
        return { done: step.value, left: work };
      }
      work -= step.value;
      if (work <= 0) return { left: 0 };
    }
  }

  #run(): readonly ExecutorEffect[] {
    const effects: ExecutorEffect[] = [];
    let work = this.#workAtOnce;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const { done, left } = this.#advance(first.batch, work);
      work = left;
      if (done === undefined) return [...effects, { type: "execution-paused" }];
      if (done.kind === "needs")
        return [...effects, { type: "changes-needed", changes: done.changes, update: done.update }];
      this.#queue.shift();
      this.#queuedBytes -= first.bytes;
      assert(this.#queuedBytes >= 0, "no more leaves the queue than came");
      this.#executed(first.batch, done, effects);
    }
    return effects;
  }

  #executed(
    { index }: OrderedBatch,
    { state, writes, events, appends }: Extract<Executed, { kind: "executed" }>,
    effects: ExecutorEffect[],
  ): void {
    effects.push({
      type: "executed",
      commit: index,
      firstMessage: this.#state.messages,
      appends,
    });
    this.#state = state;
    this.#unwritten.add(writes);
    if (writes.size > 0) effects.push({ type: "state", writes });
    for (const event of events) {
      if (event.type === "checkpoint-due") this.#keepDue(event.due.size);
      effects.push({ type: "mirror", event });
    }
  }
}

function bytesOf({ payloads }: AcceptedBatch): number {
  let bytes = 0;
  for (const { segments } of payloads)
    for (const segment of segments) bytes += segmentBytes(segment);
  return bytes;
}

/** What the mirror sees of a batch: application messages are only counted. */
function orderedBatch(batch: AcceptedBatch): OrderedBatch {
  const messages: OrderedMessage[] = [];
  let applications = 0;
  for (const { author, segments } of batch.payloads) {
    for (const segment of segments) {
      if (segment.kind === messageKinds.application) applications += messageCount(segment);
      else
        for (const bytes of messagesOf(segment))
          messages.push({ author, kind: segment.kind, bytes });
    }
  }
  return { index: batch.index, digest: batch.digest, tsMs: batch.tsMs, applications, messages };
}
