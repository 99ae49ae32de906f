/** Since when acceptance stands still though something waits to be ordered. */
export class Stall {
  #index = -1;
  #sinceMs: number | undefined;

  /** To be told after every input; times are of the steady clock. */
  see(state: { readonly lastCommit: number; readonly isWanted: boolean }, atMs: number): void {
    if (state.lastCommit !== this.#index || !state.isWanted) this.#sinceMs = undefined;
    this.#index = state.lastCommit;
    if (state.isWanted) this.#sinceMs ??= atMs;
  }

  /** Since when it has stood still, of the steady clock; `undefined` while it goes on, or nothing waits. */
  get sinceMs(): number | undefined {
    return this.#sinceMs;
  }

  /** How long it has stood still, milliseconds; 0 while it goes on, or nothing waits. */
  forMs(atMs: number): number {
    return this.#sinceMs === undefined ? 0 : Math.max(0, atMs - this.#sinceMs);
  }
}
