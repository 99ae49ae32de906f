import type { Digest } from "../../core/base/index.ts";
import { stateKeys } from "../../core/mirror/index.ts";
import type { StateStore } from "../../io/ports/index.ts";
import type { Config } from "../config/index.ts";
import { heightAt } from "../gateway/index.ts";
import type { Before, Need } from "../replication/index.ts";
import type { Archive } from "../store/index.ts";
import { decodeKept, encodeKept, isKept, type Kept, keptFrom } from "./retention.ts";

/** What a host keeps of the past, and what it still has to fetch of it. */
export class Retainer {
  readonly #retain: Config["retain"];
  readonly #state: StateStore;
  readonly #archive: Archive;
  readonly #newest: () => number;
  readonly #before: (trees: Digest | undefined) => Before;
  #kept: Kept;

  constructor(options: {
    readonly retain: Config["retain"];
    readonly state: StateStore;
    readonly archive: Archive;
    /** The newest height that is executed. */
    readonly newest: () => number;
    readonly before: (trees: Digest | undefined) => Before;
  }) {
    this.#retain = options.retain;
    this.#state = options.state;
    this.#archive = options.archive;
    this.#newest = options.newest;
    this.#before = options.before;
    this.#kept = decodeKept(options.state.get(stateKeys.kept));
  }

  /** True for heights whose content this host promises to have, as of the last collection. */
  keeps(height: number): boolean {
    return isKept(this.#kept, height);
  }

  /** From now on nobody is promised the others. */
  keep(kept: Kept): void {
    this.#kept = kept;
    this.#state.write([[stateKeys.kept, encodeKept(kept)]]);
  }

  /**
   * What of a height's content must come: what the first kept height from there on still has, and the newest too. What
   * only the past has is taken if somebody has it; what no kept height has is left.
   */
  needAt(height: number): Need {
    let look: Need = () => "yes";
    let lookedAt: number | undefined;
    // Asked of every file: what is the same for all of them is found once for each newest height.
    return (tree, path, digest) => {
      const newest = this.#newest();
      if (newest !== lookedAt) look = this.#needAt(height, newest);
      lookedAt = newest;
      return look(tree, path, digest);
    };
  }

  #needAt(height: number, newest: number): Need {
    const timeOf = (at: number): number => this.#archive.height(at)?.tsMs ?? 0;
    const at = (tsMs: number): number => heightAt(tsMs, newest, timeOf);
    const kept = Math.max(height, keptFrom(this.#retain, { newest, nowMs: Date.now(), at }));
    // What a height put somewhere is there at that height.
    if (kept === newest && height === newest) return () => "yes";
    const hasAt = (when: number): ((...of: Parameters<Need>) => boolean) => {
      if (when === height) return () => true;
      const before = this.#before(this.#archive.height(when)?.trees);
      return (tree, path, digest) => before(tree, path) === digest;
    };
    const [isKept, isNewest] = [hasAt(kept), hasAt(newest)];
    return (...of) => (isKept(...of) ? (isNewest(...of) ? "yes" : "if-there") : "no");
  }
}
