import { type Author, limits } from "../base/index.ts";
import type { Ref, VerifiedBlock } from "./block.ts";
import type { Entry } from "./entry.ts";
import type { Graph } from "./graph.ts";

/**
 * Blocks of `author` above `round`, oldest first: what a subscriber lacks. The newest ones, as many as an answer holds:
 * what they stand upon is fetched by name.
 */
export function blocksAbove(
  graph: Graph<Entry>,
  author: Author | undefined,
  round: number,
): VerifiedBlock[] {
  const own = [...graph.vertices()]
    .filter(({ ref }) => ref.author === author && ref.round > round)
    .map(({ block }) => block);
  let bytes = 0;
  const last = own.findLastIndex(({ wire }) => {
    bytes += wire.length;
    return bytes > limits.fetchBytesMax;
  });
  return own.slice(last + 1);
}

/** What is in the graph above `round`, the lowest rounds first, as much as one message may say. */
export function inventoryAbove(graph: Graph<Entry>, round: number): Ref[] {
  return graph
    .between(round, Number.POSITIVE_INFINITY)
    .slice(0, limits.inventoryRefsMax)
    .map(({ ref }) => ref);
}
