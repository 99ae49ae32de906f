/** From so many entries on a map is kept as it is, not copied. */
const largeSize = 4096;

/**
 * Entries that stand before others of an ordered store: the newest of a key counts. A large map is taken as it is, since
 * copying a hundred thousand entries takes a tenth of a second; whoever gave it does not change it any more.
 */
export class Overlay<V> {
  /** Oldest first; those that were not given as they are belong to this overlay. */
  readonly #layers: Layer<V>[] = [];
  #size = 0;

  /** Entries in all layers: a key may count several times. */
  get size(): number {
    return this.#size;
  }

  add(entries: Iterable<readonly [string, V]>): void {
    if (entries instanceof Map && entries.size >= largeSize) {
      this.#layers.push(new Layer(entries, true));
      this.#size += entries.size;
      return;
    }
    const top = this.#ownTop();
    this.#size -= top.size;
    for (const [key, value] of entries) top.set(key, value);
    this.#size += top.size;
  }

  #ownTop(): Layer<V> {
    const top = this.#layers.at(-1);
    if (top?.isGiven === false) return top;
    const fresh = new Layer<V>(new Map(), false);
    this.#layers.push(fresh);
    return fresh;
  }

  /** The map that has the newest value of a key. */
  holding(key: string): ReadonlyMap<string, V> | undefined {
    return this.#layers.findLast((layer) => layer.entries.has(key))?.entries;
  }

  /** Oldest first. */
  *entries(): Iterable<readonly [string, V]> {
    for (const { entries } of this.#layers) yield* entries;
  }

  /** The newest values of keys with `start` ≤ key < `end`, in no order. */
  between(start: string, end: string): Map<string, V> {
    const found = new Map<string, V>();
    for (const layer of this.#layers) layer.between(start, end, found);
    return found;
  }

  clear(): void {
    this.#layers.length = 0;
    this.#size = 0;
  }
}

class Layer<V> {
  readonly entries: Map<string, V>;
  readonly isGiven: boolean;
  /** Keys of a given map by their first character, which tells what kind of entry they name. */
  #byKind: Map<string, string[]> | undefined;

  constructor(entries: Map<string, V>, isGiven: boolean) {
    this.entries = entries;
    this.isGiven = isGiven;
  }

  get size(): number {
    return this.entries.size;
  }

  set(key: string, value: V): void {
    this.entries.set(key, value);
  }

  between(start: string, end: string, found: Map<string, V>): void {
    for (const key of this.#keys(start, end))
      if (key >= start && key < end) found.set(key, this.entries.get(key) as V);
  }

  #keys(start: string, end: string): Iterable<string> {
    // Of what is its own and changes there is little.
    if (!this.isGiven || start.slice(0, 1) !== end.slice(0, 1)) return this.entries.keys();
    this.#byKind ??= keysByKind(this.entries);
    return this.#byKind.get(start.slice(0, 1)) ?? [];
  }
}

function keysByKind(entries: ReadonlyMap<string, unknown>): Map<string, string[]> {
  const kinds = new Map<string, string[]>();
  for (const key of entries.keys()) {
    const kind = key.slice(0, 1);
    const keys = kinds.get(kind);
    if (keys === undefined) kinds.set(kind, [key]);
    else keys.push(key);
  }
  return kinds;
}
