import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author } from "../../src/core/base/index.ts";
import { divide } from "../../src/core/opinion/index.ts";

interface Graph {
  readonly members: readonly Author[];
  readonly edges: ReadonlySet<string>;
  readonly links: ReadonlySet<string>;
  readonly quorum: number;
}

const name = (a: number, b: number): string => (a < b ? `${a}-${b}` : `${b}-${a}`);

const graphs: fc.Arbitrary<Graph> = fc.integer({ min: 1, max: 13 }).chain((n) => {
  const all = Array.from({ length: n }, (_, i) => i);
  const pairs = all.flatMap((a) => all.slice(a + 1).map((b) => name(a, b)));
  const some = fc.subarray(pairs);
  // As many edges as there are hosts: where both answers are likely.
  const few = fc.subarray(pairs, { maxLength: Math.min(pairs.length, n) });
  // Between two camps: where a division is likely.
  const camps = fc
    .tuple(fc.array(fc.boolean(), { minLength: n, maxLength: n }), some)
    .map(([camp, chosen]) =>
      chosen.filter((pair) => {
        const [a = "", b = ""] = pair.split("-");
        return camp[Number(a)] !== camp[Number(b)];
      }),
    );
  return fc.record({
    members: fc.shuffledSubarray(all).map((one) => one.map(Author)),
    edges: fc.oneof(few, camps, some).map((one) => new Set(one)),
    links: some.map((one) => new Set(one)),
    quorum: fc.integer({ min: 1, max: n + 1 }),
  });
});

const dividing = ({ members, edges, links, quorum }: Graph) =>
  divide({
    members,
    quorum,
    hostile: (a, b) => edges.has(name(a, b)),
    reaches: (a, b) => links.has(name(a, b)),
  });

/** Tries every colouring there is. */
function canBeDivided({ members, edges }: Graph): boolean {
  const clashes = members.flatMap((a, i) =>
    members.flatMap((b, j) => (i < j && edges.has(name(a, b)) ? [[i, j] as const] : [])),
  );
  for (let colours = 0; colours < 2 ** members.length; colours++)
    if (clashes.every(([i, j]) => ((colours >> i) & 1) !== ((colours >> j) & 1))) return true;
  return false;
}

const isHostile = ({ members, edges }: Graph): boolean =>
  members.some((a) => members.some((b) => edges.has(name(a, b))));

describe("dividing a group", () => {
  test("is refused exactly where nobody is hostile, no two groups are possible, or one has the quorum", () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(graphs, (graph) => {
        const division = dividing(graph);
        const answer = division.kind === "refused" ? division.code : "split";
        seen.set(answer, (seen.get(answer) ?? 0) + 1);
        if (!isHostile(graph)) return assert.equal(answer, "NOBODY_HOSTILE");
        if (!canBeDivided(graph)) return assert.equal(answer, "NOT_BIPARTITE");
        const free = dividing({ ...graph, quorum: graph.members.length + 1 });
        assert.ok(free.kind === "split");
        const largest = Math.max(...free.sides.map(({ length }) => length));
        if (largest >= graph.quorum) return assert.equal(answer, "HAS_QUORUM");
        assert.deepEqual(division, free);
      }),
      { numRuns: 3000 },
    );
    for (const answer of ["NOBODY_HOSTILE", "NOT_BIPARTITE", "HAS_QUORUM", "split"])
      assert.ok((seen.get(answer) ?? 0) > 30, `${answer} ${seen.get(answer)}`);
  });

  test("places everybody once, and nobody with an enemy", () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const division = dividing({ ...graph, quorum: 99 });
        if (division.kind === "refused") return;
        const { sides } = division;
        assert.deepEqual(
          sides.flat().sort((a, b) => a - b),
          graph.members.toSorted((a, b) => a - b),
        );
        for (const side of sides) {
          assert.ok(side.length > 0);
          assert.deepEqual(
            side,
            side.toSorted((a, b) => a - b),
          );
          for (const a of side) for (const b of side) assert.ok(!graph.edges.has(name(a, b)));
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("is the same whatever the order of the members", () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const sorted = { ...graph, members: graph.members.toSorted((a, b) => a - b) };
        const { edges, links, quorum } = graph;
        const reversed = { members: graph.members.toReversed(), edges, links, quorum };
        assert.deepEqual(dividing(graph), dividing(sorted));
        assert.deepEqual(dividing(graph), dividing(reversed));
      }),
      { numRuns: 1000 },
    );
  });

  const drawn = (n: number, edges: readonly string[], links: readonly string[] = []) => {
    const members = Array.from({ length: n }, (_, i) => Author(i));
    const of = { members, edges: new Set(edges), links: new Set(links), quorum: n };
    const division = dividing(of);
    return division.kind === "split" ? division.sides : division.code;
  };

  test("those without enemies join the lowest whom they can reach", () => {
    assert.deepEqual(drawn(4, ["0-3"], ["1-3", "0-2"]), [
      [0, 2],
      [1, 3],
    ]);
    assert.deepEqual(drawn(4, ["0-3"], ["1-3", "0-1"]), [[0, 1, 2], [3]]);
    // 2 reaches nobody but 1, which is placed before it.
    assert.deepEqual(drawn(4, ["0-3"], ["1-3", "1-2"]), [[0], [1, 2, 3]]);
    assert.deepEqual(drawn(5, ["3-4"], ["0-4", "1-4", "2-4"]), [[3], [0, 1, 2, 4]]);
  });

  test("so do parts of the graph that hang together only in themselves", () => {
    assert.deepEqual(drawn(4, ["0-1", "2-3"], ["1-2"]), [
      [0, 3],
      [1, 2],
    ]);
    assert.deepEqual(drawn(4, ["0-1", "2-3"], ["0-2"]), [
      [0, 2],
      [1, 3],
    ]);
  });

  test("common enemies of enemies are one another's friends, or there is no division", () => {
    assert.deepEqual(drawn(5, ["0-1", "1-2", "2-3", "3-4"]), [
      [0, 2, 4],
      [1, 3],
    ]);
    assert.equal(drawn(5, ["0-1", "1-2", "2-3", "3-4", "0-4"]), "NOT_BIPARTITE");
    assert.equal(drawn(3, ["0-1", "1-2", "0-2"]), "NOT_BIPARTITE");
    assert.equal(drawn(3, []), "NOBODY_HOSTILE");
  });
});
