import { LocalTreeError } from "../app/client/index.ts";
import { note } from "./output.ts";

/** Something that a tree cannot hold, and why. */
interface Omission {
  readonly path: string;
  readonly why: string;
}

/** So many are named on a terminal. */
const namedMax = 20;
/** So many are kept, and named in JSON; more are counted. */
const keptMax = 10_000;

/** What is left out of a tree: nothing is left out silently. */
export class Omissions {
  readonly #omitted: Omission[] = [];
  readonly #empty: string[] = [];
  #omittedCount = 0;
  #emptyCount = 0;

  readonly add = (path: string, why: string): void => {
    if (this.#omittedCount++ < keptMax) this.#omitted.push({ path, why });
  };
  readonly addEmpty = (path: string): void => {
    if (this.#emptyCount++ < keptMax) this.#empty.push(path);
  };

  get json(): {
    readonly omitted?: readonly Omission[];
    readonly emptyDirectories?: readonly string[];
  } {
    return {
      ...(this.#omitted.length > 0 ? { omitted: this.#omitted } : {}),
      ...(this.#empty.length > 0 ? { emptyDirectories: this.#empty } : {}),
    };
  }

  /** Throws {@link LocalTreeError} if nothing may be left out and something is. */
  tell(directory: string, isStrict: boolean): void {
    for (const { path, why } of this.#omitted.slice(0, namedMax))
      note(`left out: ${JSON.stringify(path)}: ${why}`);
    const more = this.#omittedCount - namedMax;
    if (more > 0) note(`left out: ${more} more`);
    const [first] = this.#empty;
    const others = this.#emptyCount - 1;
    if (first !== undefined)
      note(
        `a tree has no empty directories; not in it: ${JSON.stringify(first)}${others > 0 ? ` and ${others} more` : ""}`,
      );
    if (isStrict && this.#omittedCount > 0)
      throw new LocalTreeError(
        `${this.#omittedCount} of what ${directory} has cannot be in a tree; nothing was published. Leave it out there, or publish the rest with --no-strict`,
      );
  }
}
