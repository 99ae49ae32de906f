import { type AcceptedBatch, messageCount, messagesOf } from "../acceptance/index.ts";
import { type Digest, limits } from "../base/index.ts";
import {
  type DueRecord,
  encodeState,
  execute,
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

export type ExecutorEffect =
  | { readonly type: "state"; readonly writes: Writes }
  /** A commit is executed; its first application message, if it has any, has this index. */
  | { readonly type: "executed"; readonly commit: number; readonly firstMessage: number }
  | { readonly type: "mirror"; readonly event: MirrorEvent }
  | { readonly type: "changes-needed"; readonly changes: Digest; readonly update: Digest };

/** What is kept of a certified checkpoint: the state there, from which a split may begin. */
export function certifiedWrites(state: MirrorState): ExecutorEffect {
  return { type: "state", writes: new Map([[stateKeys.certifiedState, encodeState(state)]]) };
}

/** Feeds accepted batches to the mirror, in order, and waits where a change list is still to come. */
export class Executor {
  readonly #config: MirrorConfig;
  readonly #view: MirrorView;
  /** Writes that the store does not have yet: later batches of the same step read them here. */
  readonly #unwritten = new Map<string, Uint8Array | undefined>();
  /** States at checkpoints that are due and not certified yet. */
  readonly #dueStates = new Map<number, MirrorState>();
  #queue: OrderedBatch[] = [];
  #state: MirrorState;

  constructor(state: MirrorState, config: MirrorConfig, view: MirrorView) {
    this.#state = state;
    this.#config = config;
    this.#view = {
      changes: view.changes,
      get: (key) => (this.#unwritten.has(key) ? this.#unwritten.get(key) : view.get(key)),
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

  /** Batches that wait for a change list. */
  get backlog(): number {
    return this.#queue.length;
  }

  accept(batch: AcceptedBatch): readonly ExecutorEffect[] {
    const last = this.#queue.at(-1)?.index ?? this.#state.commit.index;
    // After a restart the order may repeat what the state has already.
    if (batch.index <= last) return [];
    const isWaiting = this.#queue.length > 0;
    this.#queue.push(orderedBatch(batch));
    // What the first one waits for was asked for already.
    return isWaiting ? [] : this.run();
  }

  #keepDue(size: number): void {
    this.#dueStates.set(size, this.#state);
    const [oldest] = this.#dueStates.keys();
    if (this.#dueStates.size > limits.cosignaturesPendingMax && oldest !== undefined)
      this.#dueStates.delete(oldest);
  }

  /** Executes as far as it goes; to be called again when a change list has arrived. */
  run(): readonly ExecutorEffect[] {
    const effects: ExecutorEffect[] = [];
    for (let batch = this.#queue[0]; batch !== undefined; batch = this.#queue[0]) {
      const done = execute(this.#state, batch, { view: this.#view, config: this.#config });
      if (done.kind === "needs") {
        effects.push({ type: "changes-needed", changes: done.changes, update: done.update });
        return effects;
      }
      this.#queue.shift();
      effects.push({ type: "executed", commit: batch.index, firstMessage: this.#state.messages });
      this.#state = done.state;
      for (const [key, value] of done.writes) this.#unwritten.set(key, value);
      if (done.writes.size > 0) effects.push({ type: "state", writes: done.writes });
      for (const event of done.events) {
        if (event.type === "checkpoint-due") this.#keepDue(event.due.size);
        effects.push({ type: "mirror", event });
      }
    }
    return effects;
  }
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
