import type { Author } from "../base/index.ts";
import { type Ref, refKey } from "./block.ts";

/** The newest block of each author that was dropped, since this host is behind or had no room: asked for later. */
export class Tips {
  readonly #dropped = new Map<Author, Ref>();

  remember(ref: Ref): void {
    const tip = this.#dropped.get(ref.author);
    if (tip === undefined || ref.round > tip.round) this.#dropped.set(ref.author, ref);
  }

  has(ref: Ref): boolean {
    const tip = this.#dropped.get(ref.author);
    return tip !== undefined && refKey(tip) === refKey(ref);
  }

  get all(): readonly Ref[] {
    return [...this.#dropped.values()];
  }
}
