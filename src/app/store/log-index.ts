import { assert, limits } from "../../core/base/index.ts";
import { type LogRecord, type RecordName, recordKey } from "../../core/consensus/index.ts";
import { type Position, type StateStore, StorageError } from "../../io/ports/index.ts";
import { batchEntry } from "./batch-archive.ts";
import { oldPosition, placeEntry } from "./record-index.ts";

/** Places below the own horizon that are still in memory: a host that is a batch behind asks for them. */
const servedPlaces = limits.gcRounds;

interface Named {
  readonly name: RecordName;
  readonly position: Position;
}

function isBefore(a: Position, b: Position): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

/** Where the records of the log stand, and from where a restart must read it. */
export class LogIndex {
  readonly #state: StateStore;
  /** place → where its records stand; down to {@link servedPlaces} below the horizon, older ones on disk. */
  readonly #places = new Map<number, Map<string, Named>>();
  /**
   * Batches that the state has not executed, with the first position that they need; only those of which no later one
   * needs an earlier position: the first one's is the first of all.
   */
  #unexecuted: { readonly index: number; readonly from: Position }[] = [];
  #entries: [string, Uint8Array][] = [];

  constructor(state: StateStore) {
    this.#state = state;
  }

  /** A record stands there. Throws STORAGE_LOG_CORRUPT for a batch whose parts do not. */
  add({ name, batch }: LogRecord, position: Position): void {
    if (name !== undefined) {
      const place = this.#places.get(name.place) ?? new Map<string, Named>();
      this.#places.set(name.place, place.set(recordKey(name), { name, position }));
    }
    if (batch !== undefined) this.#addBatch(batch, position);
  }

  #addBatch({ index, parts }: NonNullable<LogRecord["batch"]>, record: Position): void {
    assert(index > (this.#unexecuted.at(-1)?.index ?? 0), "batches are logged in their order");
    let from = record;
    const positions = parts.map((name) => {
      const position = this.#known(name);
      if (position === undefined)
        throw new StorageError("STORAGE_LOG_CORRUPT", `the log lacks record ${recordKey(name)}`);
      if (isBefore(position, from)) from = position;
      return position;
    });
    const isCovered = (last = this.#unexecuted.at(-1)): boolean =>
      last !== undefined && !isBefore(last.from, from);
    while (isCovered()) this.#unexecuted.pop();
    this.#unexecuted.push({ index, from });
    this.#entries.push(batchEntry(index, { record, parts: positions }));
  }

  #known(name: RecordName): Position | undefined {
    return this.#places.get(name.place)?.get(recordKey(name))?.position;
  }

  /** Where a record stands, however old it is. */
  positionOf(name: RecordName): Position | undefined {
    return this.#known(name) ?? oldPosition(this.#state, name);
  }

  /**
   * What the store is to write of it, once batches up to `executed` are, and what is below `horizon` is needed no more.
   * `isServing`: others ask this host for records by name.
   */
  take(of: {
    readonly executed: number;
    readonly horizon: number;
    readonly isServing: boolean;
  }): readonly [string, Uint8Array][] {
    const left = this.#unexecuted.findIndex(({ index }) => index > of.executed);
    this.#unexecuted.splice(0, left < 0 ? this.#unexecuted.length : left);
    const entries = this.#entries;
    this.#entries = [];
    for (const [place, records] of this.#places) {
      if (place > of.horizon - servedPlaces) continue;
      if (of.isServing) entries.push(placeEntry(this.#state, place, records.values()));
      this.#places.delete(place);
    }
    return entries;
  }

  /** The first position that a restart needs; `end` if it needs none. */
  replayFrom(end: Position): Position {
    const from = this.#oldest() ?? end;
    const [unexecuted] = this.#unexecuted;
    return unexecuted !== undefined && isBefore(unexecuted.from, from) ? unexecuted.from : from;
  }

  /** Places and records are remembered in the order of the log: the first one is the oldest. */
  #oldest(): Position | undefined {
    for (const place of this.#places.values())
      for (const { position } of place.values()) return position;
    return undefined;
  }
}
