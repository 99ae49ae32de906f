import { type Author, CodedError, type Step, StepBuilder } from "../../core/base/index.ts";
import type { MirrorState } from "../../core/mirror/index.ts";
import type { HostEffect, HostInput, HostRecord } from "../../core/replica/index.ts";
import type { HostStore } from "../store/index.ts";
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
export interface LoopHost<Input extends LoopInput, Effect extends HostEffect> {
  readonly horizon: number;
  readonly state: MirrorState;
  step(input: Input, nowMs: number): Step<HostRecord, Effect>;
  stateWritten(): void;
}

/** What the loop performs itself. */
type LoopEffect = "wake" | "violation";

/** What is left to whoever runs the loop. */
export type LaterEffect<Effect extends HostEffect = HostEffect> = Exclude<
  Effect,
  { type: LoopEffect }
>;

/** True for what nobody learns of at once: what follows from it is read from the disk, a moment later. */
function isOnlyForDisk(effect: HostEffect): boolean {
  switch (effect.type) {
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
export class HostLoop<Input extends LoopInput = HostInput, Effect extends HostEffect = HostEffect> {
  readonly #host: LoopHost<Input, Effect>;
  readonly #store: HostStore;
  readonly #clock: LoopClock;
  readonly #perform: (effect: LaterEffect<Effect>) => void;
  readonly #stepped: (input: Input) => void;
  readonly #synced: (seconds: number) => void;
  readonly #onFatal: (error: unknown) => Promise<void>;
  readonly #inbox = new Inbox<Input>();
  #deferred = new StepBuilder<HostRecord, Effect>();
  #cancelDeferred: (() => void) | undefined;
  #cancelWake: (() => void) | undefined;
  /** When the next wake-up is due, by the clock that does not jump. */
  #wakeDueMs = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #isStopped = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly host: LoopHost<Input, Effect>;
    readonly store: HostStore;
    readonly clock: LoopClock;
    /** Everything but records and wake-ups; never throws but to stop the host. */
    readonly perform: (effect: LaterEffect<Effect>) => void;
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
    const made = this.#deferred;
    for (const input of inputs) {
      const { records, effects } = this.#host.step(input, this.#clock.nowMs());
      for (const record of records) made.records.push(record);
      for (const effect of effects) made.effects.push(effect);
      this.#stepped(input);
    }
    if (this.#mayWait(inputs, made)) return this.#defer(made);
    this.#deferred = new StepBuilder();
    this.#cancelDeferred?.();
    this.#cancelDeferred = undefined;
    await this.#persist(made.records);
    // A host that was stopped meanwhile says nothing any more.
    if (this.#isStopped) return;
    this.#writeState(made);
    for (const effect of made.effects) this.#do(effect);
  }

  async #persist(records: readonly HostRecord[]): Promise<void> {
    if (records.length === 0) return;
    for (const record of records) this.#store.append(record);
    const startedMs = this.#clock.nowMs();
    await this.#store.sync();
    this.#synced((this.#clock.nowMs() - startedMs) / 1000);
  }

  /** The state of everything executed, in one batch; after the sync of its records. */
  #writeState({ records, effects }: Step<HostRecord, Effect>): void {
    const writes = effects.flatMap((effect) => (effect.type === "state" ? [effect.writes] : []));
    const hasBatches = records.some((one) => one.type === "log" && one.record.batch !== undefined);
    if (writes.length === 0 && !hasBatches) return;
    this.#store.writeState(writes, this.#host.state, this.#host.horizon);
    this.#host.stateWritten();
  }

  #do(effect: Effect): void {
    if (effect.type === "wake") return this.#wake(effect.atMs);
    if (effect.type === "violation")
      throw new CodedError("SAFETY_VIOLATION", `safety violation: ${effect.detail}`);
    this.#perform(effect as LaterEffect<Effect>);
  }

  /** Records of what others said wait for the next turn that says or shows something: that turn's sync serves them too. */
  #mayWait(inputs: readonly Input[], { records, effects }: Step<HostRecord, Effect>): boolean {
    const isForced = inputs.some(({ type }) => type === "tick" || type === "changes-here");
    return (
      !isForced &&
      records.length + effects.length < deferredMax &&
      records.every(({ type }) => type === "log") &&
      effects.every(isOnlyForDisk)
    );
  }

  #defer({ records, effects }: Step<HostRecord, Effect>): void {
    const kept = new StepBuilder<HostRecord, Effect>();
    kept.records.push(...records);
    for (const effect of effects) {
      if (effect.type === "wake") this.#wake(effect.atMs);
      else kept.effects.push(effect);
    }
    this.#deferred = kept;
    if (kept.records.length + kept.effects.length > 0)
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
