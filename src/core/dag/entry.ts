import type { Submission } from "../consensus/index.ts";
import { refKey, type VerifiedBlock } from "./block.ts";
import { type Vertex, votesOf } from "./graph.ts";

/** A block in the graph, with what the machine remembers of it. */
export interface Entry extends Vertex {
  readonly block: VerifiedBlock;
  readonly isEmpty: boolean;
  /** Own submissions inside, until they are ordered. */
  submissions: readonly Submission[];
  ordered: boolean;
  /** It has payload that is worth another round and is not ordered. */
  isOpen: boolean;
}

export function entryOf(block: VerifiedBlock, submissions: readonly Submission[] = []): Entry {
  const { ref, header } = block;
  return {
    ref,
    key: refKey(ref),
    parents: header.parents,
    votes: votesOf(ref, header.parents),
    tsMs: header.tsMs,
    block,
    isEmpty: header.payload.segments === 0,
    submissions,
    ordered: false,
    isOpen: false,
  };
}
