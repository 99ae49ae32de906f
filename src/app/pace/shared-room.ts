/** Room that causes share: each may take so much, and all together so much. */
export class SharedRoom<Cause> {
  readonly #max: { readonly own: number; readonly all: number };
  readonly #taken = new Map<Cause, number>();
  #all = 0;

  constructor(max: { readonly own: number; readonly all: number }) {
    this.#max = max;
  }

  /** Takes room, to be given back; false if there is none. Whoever has taken nothing may take `own` if there is room for it. */
  take(cause: Cause, amount: number): boolean {
    const own = (this.#taken.get(cause) ?? 0) + amount;
    if (own > this.#max.own || this.#all + amount > this.#max.all) return false;
    this.#taken.set(cause, own);
    this.#all += amount;
    return true;
  }

  give(cause: Cause, amount: number): void {
    const left = (this.#taken.get(cause) ?? 0) - amount;
    if (left > 0) this.#taken.set(cause, left);
    else this.#taken.delete(cause);
    this.#all -= amount;
  }
}
