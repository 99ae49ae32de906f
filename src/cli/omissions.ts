import { LocalTreeError } from "../app/client/index.ts";
import { note } from "./output.ts";

/** Something that a tree cannot hold, and why. */
export interface Omission {
  readonly path: string;
  readonly why: string;
}

/** So many are named on a terminal; JSON has them all. */
const namedMax = 20;

/** What is left out of a tree: nothing is left out silently. */
export class Omissions {
  readonly #omitted: Omission[];
  readonly #empty: string[] = [];

  constructor(omitted: readonly Omission[] = []) {
    this.#omitted = [...omitted];
  }

  readonly add = (path: string, why: string): void => void this.#omitted.push({ path, why });
  readonly addEmpty = (path: string): void => void this.#empty.push(path);

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
    const more = this.#omitted.length - namedMax;
    if (more > 0) note(`left out: ${more} more`);
    const [first, ...others] = this.#empty;
    if (first !== undefined)
      note(
        `a tree has no empty directories; not in it: ${JSON.stringify(first)}${others.length > 0 ? ` and ${others.length} more` : ""}`,
      );
    if (isStrict && this.#omitted.length > 0)
      throw new LocalTreeError(
        `${this.#omitted.length} of what ${directory} has cannot be in a tree; nothing was published. Leave it out there, or publish the rest with --no-strict`,
      );
  }
}
