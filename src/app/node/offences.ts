/** Misdeeds that are remembered as counted; the oldest are forgotten. */
const offencesMax = 10_000;

/** Which misdeeds were counted already. */
export class Offences {
  readonly #counted = new Set<string>();

  isNew(offence: string): boolean {
    if (this.#counted.has(offence)) return false;
    this.#counted.add(offence);
    for (const oldest of this.#counted) {
      if (this.#counted.size <= offencesMax) break;
      this.#counted.delete(oldest);
    }
    return true;
  }
}
