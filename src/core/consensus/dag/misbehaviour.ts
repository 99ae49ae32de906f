import type { Author } from "../../base/index.ts";
import type { InvalidBlock, SignedHeader } from "./block.ts";

/** What proves that a writer cheated in the DAG. */
export type DagMisbehaviour =
  /** Two blocks of one slot. */
  | {
      readonly kind: "equivocation";
      readonly author: Author;
      readonly round: number;
      readonly first: SignedHeader;
      readonly second: SignedHeader;
    }
  /** A block that its author should not have signed. */
  | { readonly kind: "invalid-block"; readonly wire: Uint8Array; readonly fault: InvalidBlock };
