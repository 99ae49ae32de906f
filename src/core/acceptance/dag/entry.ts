import type { VerifiedBlock } from "./block.ts";
import { type Vertex, vertexOf } from "./graph.ts";
import type { Submission } from "./payload-queue.ts";

/** A block in the graph, with what the machine remembers of it. */
export interface Entry extends Vertex {
  readonly block: VerifiedBlock;
  readonly isEmpty: boolean;
  /** Own submissions inside, until they are ordered. */
  submissions: readonly Submission[];
  ordered: boolean;
}

export function entryOf(block: VerifiedBlock, submissions: readonly Submission[] = []): Entry {
  const { ref, header } = block;
  const isEmpty = header.payload.segments === 0;
  return {
    ...vertexOf(ref, header.parents, header.tsMs),
    block,
    isEmpty,
    submissions,
    ordered: false,
  };
}
