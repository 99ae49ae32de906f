import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Author, Digest, Round } from "../../src/core/base/index.ts";
import { Graph, type Vertex } from "../../src/core/dag/graph.ts";
import { medianTime } from "../../src/core/dag/linearize.ts";
import { vertexOf } from "../support/dag-vertex.ts";

/** A leader of round 2 upon one block of round 1 for each clock. */
function upon(clocks: readonly number[]): {
  readonly graph: Graph<Vertex>;
  readonly leader: Vertex;
} {
  const graph = new Graph<Vertex>();
  const refOf = (round: number, author: number): Vertex["ref"] => ({
    round: Round(round),
    author: Author(author),
    digest: Digest(`${round}${author}`.padEnd(64, "0")),
  });
  const parents = clocks.map((_, author) => refOf(1, author));
  for (const [i, ref] of parents.entries()) graph.add(vertexOf(ref, [], clocks[i] ?? 0));
  const leader = vertexOf(refOf(2, 0), parents, 0);
  graph.add(leader);
  return { graph, leader };
}

function timeOf(clocks: readonly number[], floorMs = 0): number {
  const { graph, leader } = upon(clocks);
  return medianTime(graph, leader, floorMs);
}

describe("order time", () => {
  const liars = [0, 1, 9e15];
  test("one liar in four does not move it out of the honest clocks, wherever the liar stands", () => {
    for (const lie of liars)
      for (let place = 0; place < 4; place++) {
        const time = timeOf([1000, 1010, 1020].toSpliced(place, 0, lie));
        assert.ok(time >= 1000 && time <= 1020, `${lie} at ${place} gives ${time}`);
      }
  });

  test("two liars in seven likewise, in any order", () => {
    for (const one of liars)
      for (const two of liars) {
        const time = timeOf([one, 1040, 1000, two, 1030, 1010, 1020]);
        assert.ok(time >= 1000 && time <= 1040, `${one} and ${two} give ${time}`);
      }
  });

  test("of an even number the lower middle, and never before the commit before", () => {
    assert.equal(timeOf([40, 10, 30, 20]), 20);
    assert.equal(timeOf([40, 10, 30, 20], 35), 35);
  });
});
