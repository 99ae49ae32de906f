import type { Author } from "../../core/base/index.ts";
import type { HostEffect, HostInput } from "../../core/host/index.ts";
import type { MirrorState } from "../../core/mirror/index.ts";
import type { HostStore } from "./host-store.ts";
import { Inbox, type LoopInput } from "./inbox.ts";

/** What only has to reach the disk waits for company: so long, and so many effects at most. */
const deferMs = 20;
const deferredMax = 1024;
/** Every host takes it. */
const tick: LoopInput = { type: "tick" };
/** The wall clock tells whole milliseconds: what differs by less is the same time. */
const clockStepMs = 1;

/** Time as the loop needs it. `after` returns how to call it off. */
export interface LoopClock {
  /** The wall clock: it may jump. */
  readonly nowMs: () => number;
  /** One that only goes on. */
  readonly elapsedMs: () => number;
  readonly after: (ms: number, then: () => void) => () => void;
  /** Resolves when everything that has arrived by now was pushed. */
  readonly arrived: () => Promise<void>;
}

/** The machine behind the loop. */
export interface LoopHost<Input extends LoopInput> {
  readonly horizon: number;
  readonly state: MirrorState;
  step(input: Input, nowMs: number): readonly HostEffect[];
  stateWritten(): void;
}

/** Effects that are more than a record. */
export type LaterEffect = Exclude<
  HostEffect,
  {
    type:
      | "persist-block"
      | "persist-commit"
      | "guard-round"
      | "guard-checkpoint"
      | "guard-split"
      | "wake";
  }
>;

/** Hands log records to the store; true if anything must be synced before the rest is performed. */
function persist(store: HostStore, effects: readonly HostEffect[]): boolean {
  let isDirty = false;
  for (const effect of effects) {
    switch (effect.type) {
      case "persist-block":
        store.appendBlock(effect.block);
        break;
      case "persist-commit":
        store.appendCommit(effect.commit, effect.bytes);
        break;
      case "guard-round":
        store.guardRound(effect.round);
        break;
      case "guard-checkpoint":
        store.guardCheckpoint(effect.guard);
        break;
      case "guard-split":
        store.guardSplit(effect.record);
        break;
      default:
        continue;
    }
    isDirty = true;
  }
  return isDirty;
}

/** Writes the state of everything executed, in one batch; after the sync of its records. */
function writeState(
  store: HostStore,
  host: Pick<LoopHost<LoopInput>, "horizon" | "state" | "stateWritten">,
  effects: readonly HostEffect[],
): void {
  const writes = effects.flatMap((effect) => (effect.type === "state" ? [effect.writes] : []));
  const hasCommits = effects.some(({ type }) => type === "persist-commit");
  if (writes.length === 0 && !hasCommits) return;
  store.writeState(writes, host.state, host.horizon);
  host.stateWritten();
}

/** True for what nobody learns of at once: what follows from it is read from the disk, a moment later. */
function isOnlyForDisk(effect: HostEffect): boolean {
  switch (effect.type) {
    case "persist-block":
    case "persist-commit":
    case "state":
    case "executed":
    case "certificate":
    case "wake":
      return true;
    case "accepted":
      return effect.batch.payloads.length === 0;
    default:
      return false;
  }
}

/**
 * The loop of every host: step what is queued, make all records durable with one sync, then perform the other effects
 * in order. So a peer never hears what a power cut could make us forget.
 */
export class HostLoop<Input extends LoopInput = HostInput> {
  readonly #host: LoopHost<Input>;
  readonly #store: HostStore;
  readonly #clock: LoopClock;
  readonly #perform: (effect: LaterEffect) => void;
  readonly #stepped: (input: Input) => void;
  readonly #synced: (seconds: number) => void;
  readonly #onFatal: (error: unknown) => Promise<void>;
  readonly #inbox = new Inbox<Input>();
  #deferred: HostEffect[] = [];
  #cancelDeferred: (() => void) | undefined;
  #cancelWake: (() => void) | undefined;
  /** When the next wake-up is due, by the clock that does not jump. */
  #wakeDueMs = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #isStopped = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly host: LoopHost<Input>;
    readonly store: HostStore;
    readonly clock: LoopClock;
    /** Everything but records and wake-ups; never throws but to stop the host. */
    readonly perform: (effect: LaterEffect) => void;
    /** An input was taken from the queue. */
    readonly stepped?: (input: Input) => void;
    readonly synced?: (seconds: number) => void;
    /** A storage error, a safety violation or a bug: the loop has stopped for good. */
    readonly onFatal: (error: unknown) => Promise<void>;
  }) {
    this.#host = options.host;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#perform = options.perform;
    this.#stepped = options.stepped ?? (() => undefined);
    this.#synced = options.synced ?? (() => undefined);
    this.#onFatal = options.onFatal;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  push(input: Input): void {
    if (this.#isStopped) return;
    this.#inbox.push(input);
    if (!this.#isRunning) this.#idle = this.#run();
  }

  /** Bytes of a peer's frames that wait, with their overhead. */
  waiting(peer: Author): number {
    return this.#inbox.waiting(peer);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelWake?.();
    this.#cancelDeferred?.();
    await this.#idle;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (!this.#inbox.isEmpty && !this.#isStopped) {
        // What arrived together is stepped together: one sync serves it all.
        await this.#clock.arrived();
        await this.#turn(this.#inbox.take());
      }
    } catch (error) {
      this.#isStopped = true;
      await this.#onFatal(error);
    } finally {
      this.#isRunning = false;
    }
  }

  async #turn(inputs: readonly Input[]): Promise<void> {
    const effects = this.#deferred;
    for (const input of inputs) {
      for (const effect of this.#host.step(input, this.#clock.nowMs())) effects.push(effect);
      this.#stepped(input);
    }
    if (this.#mayWait(inputs, effects)) return this.#defer(effects);
    this.#deferred = [];
    this.#cancelDeferred?.();
    this.#cancelDeferred = undefined;
    if (persist(this.#store, effects)) {
      const startedMs = this.#clock.nowMs();
      await this.#store.sync();
      this.#synced((this.#clock.nowMs() - startedMs) / 1000);
    }
    // A host that was stopped meanwhile says nothing any more.
    if (this.#isStopped) return;
    writeState(this.#store, this.#host, effects);
    for (const effect of effects) this.#do(effect);
  }

  #do(effect: HostEffect): void {
    switch (effect.type) {
      case "persist-block":
      case "persist-commit":
      case "guard-round":
      case "guard-checkpoint":
      case "guard-split":
        return;
      case "wake":
        return this.#wake(effect.atMs);
      case "violation":
        throw new Error(`safety violation: ${effect.detail}`);
      default:
        return this.#perform(effect);
    }
  }

  /** Records of what others said wait for the next turn that says or shows something: that turn's sync serves them too. */
  #mayWait(inputs: readonly Input[], effects: readonly HostEffect[]): boolean {
    const isForced = inputs.some(({ type }) => type === "tick" || type === "changes-here");
    return !isForced && effects.length < deferredMax && effects.every(isOnlyForDisk);
  }

  #defer(effects: HostEffect[]): void {
    const kept: HostEffect[] = [];
    for (const effect of effects) {
      if (effect.type === "wake") this.#wake(effect.atMs);
      else kept.push(effect);
    }
    this.#deferred = kept;
    if (kept.length > 0)
      this.#cancelDeferred ??= this.#clock.after(deferMs, () => this.push(tick as Input));
  }

  /** Compared by what is left until then: of two times of a clock that jumped in between, the later may come first. */
  #wake(atMs: number): void {
    const inMs = Math.max(0, atMs - this.#clock.nowMs());
    const dueMs = this.#clock.elapsedMs() + inMs;
    if (dueMs >= this.#wakeDueMs - clockStepMs) return;
    this.#cancelWake?.();
    this.#wakeDueMs = dueMs;
    this.#cancelWake = this.#clock.after(inMs, () => {
      this.#wakeDueMs = Number.POSITIVE_INFINITY;
      this.push(tick as Input);
    });
  }
}
