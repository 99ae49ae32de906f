import { type Author, limits } from "../base/index.ts";
import { type Ref, refKey } from "./block.ts";

/** Blocks that peers say they have, and that nothing here names: of each peer those that it named last. */
export class Inventories {
  readonly #named = new Map<Author, Map<string, Ref>>();

  /** What the peer named before and nobody brought is forgotten. */
  name(refs: readonly Ref[], peer: Author): readonly Ref[] {
    const kept = refs.slice(0, limits.inventoryRefsMax);
    this.#named.set(peer, new Map(kept.map((ref) => [refKey(ref), ref])));
    return kept;
  }

  namers(key: string): Author[] {
    const peers: Author[] = [];
    for (const [peer, refs] of this.#named) if (refs.has(key)) peers.push(peer);
    return peers;
  }

  *entries(): Generator<{ readonly peer: Author; readonly key: string; readonly ref: Ref }> {
    for (const [peer, refs] of this.#named) for (const [key, ref] of refs) yield { peer, key, ref };
  }

  arrived(key: string): void {
    for (const refs of this.#named.values()) refs.delete(key);
  }

  onHorizon(horizon: number): void {
    for (const refs of this.#named.values())
      for (const [key, ref] of refs) if (ref.round <= horizon) refs.delete(key);
  }
}
