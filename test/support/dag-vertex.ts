import { type Ref, refKey } from "../../src/core/dag/block.ts";
import { type Vertex, votesOf } from "../../src/core/dag/graph.ts";

/** A vertex without a block behind it: all that the rule looks at. */
export function vertexOf(ref: Ref, parents: readonly Ref[], tsMs: number): Vertex {
  return { ref, key: refKey(ref), parents, votes: votesOf(ref, parents), tsMs };
}
