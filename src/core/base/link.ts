import type { Author } from "./brand.ts";

/** One of the links that there were with a peer: what was meant for an earlier one must not go out on a later one. */
export interface LinkName {
  readonly peer: Author;
  readonly session: number;
}
