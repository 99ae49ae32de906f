import assert from "node:assert/strict";
import { Author, Digest, Round } from "../../src/core/base/index.ts";
import { type Decision, decideFrom } from "../../src/core/dag/decide.ts";
import { Graph, leadersOf, type SlotPlace, type Vertex } from "../../src/core/dag/graph.ts";
import type { CommitRule, Ref } from "../../src/core/dag/index.ts";
import { vertexOf } from "./dag-vertex.ts";

/**
 * Drawings of DAGs. A line is a round: `round 2  A* B-C1 C*+A1'-A1 D=A1,B1,C1`, and `#` starts a comment.
 * A letter is a writer; each prime marks another twin, and the fewer primes the smaller the digest.
 * `*` names every first block of the round below, `-X` all of them but X, `+X` one more, `=X,Y` exactly these;
 * `-` and `+` may follow one another. Parents are not validated: the rule does not, either.
 * The last line holds what is decided, in order: `→ B1 commit direct · C2 skip indirect · D3 undecided`.
 */
export function checkFigure(rule: CommitRule, figure: string, leadersPerRound = 1): void {
  const [drawing, expected] = figure.split("→");
  assert.ok(
    drawing !== undefined && expected !== undefined,
    "a figure ends in → and what is decided",
  );
  const graph = drawn(drawing);
  const decisions = decideFrom({ graph, rule, leadersPerRound }, { round: 1, rank: -1 });
  const wanted = expected.split("·").map((item) => item.trim().replace(/\s+/g, " "));
  const got = decisions.map(textOf);
  if (wanted.at(-1)?.endsWith("undecided"))
    got.push(`${firstOpen(decisions, rule, leadersPerRound)} undecided`);
  assert.deepEqual(got, wanted);
}

const letters = "ABCDEFGHIJ";

function textOf(decision: Decision): string {
  const slot = `${letters[decision.slot.author]}${decision.slot.round}`;
  if (decision.kind === "commit") return `${nameOf(decision.block.ref)} commit ${decision.by}`;
  return decision.kind === "skip" ? `${slot} skip ${decision.by}` : `${slot} ${decision.kind}`;
}

function firstOpen(decisions: readonly Decision[], rule: CommitRule, count: number): string {
  const last: SlotPlace = decisions.at(-1)?.slot ?? { round: 1, rank: -1 };
  const same = leadersOf(last.round, rule.n, count).find((slot) => slot.rank > last.rank);
  const next = same ?? leadersOf(last.round + 1, rule.n, count)[0];
  return `${letters[next?.author ?? 0]}${next?.round}`;
}

function nameOf(ref: Ref): string {
  const primes = Number.parseInt(ref.digest.slice(0, 1), 16);
  return `${letters[ref.author]}${ref.round}${"'".repeat(primes)}`;
}

function refOf(name: string): Ref {
  const [, letter = "", round = "", primes = ""] = /^([A-J])(\d+)('*)$/.exec(name) ?? [];
  assert.ok(letter !== "", `${name} names a block`);
  const digest = Digest(primes.length.toString(16).repeat(64));
  return { round: Round(Number(round)), author: Author(letters.indexOf(letter)), digest };
}

function drawn(drawing: string): Graph<Vertex> {
  const graph = new Graph<Vertex>();
  let below: string[] = [];
  for (const line of drawing.split("\n")) {
    const [, round, rest = ""] = /^\s*round (\d+)\s+([^#]*)/.exec(line) ?? [];
    if (round === undefined) continue;
    const row: string[] = [];
    for (const token of rest.trim().split(/\s+/)) {
      const [, letter = "", primes = "", spec = ""] = /^([A-J])('*)(.*)$/.exec(token) ?? [];
      const name = `${letter}${round}${primes}`;
      graph.add(vertexOf(refOf(name), parentsOf(spec, below).map(refOf), 0));
      row.push(name);
    }
    below = row;
  }
  return graph;
}

function parentsOf(spec: string, below: readonly string[]): string[] {
  if (spec === "") return [];
  if (spec.startsWith("=")) return spec.slice(1).split(",");
  let parents = below.filter((name) => !name.endsWith("'"));
  for (const [, sign, name = ""] of spec.matchAll(/([-+])([A-J]\d+'*)/g)) {
    parents = sign === "-" ? parents.filter((parent) => parent !== name) : [...parents, name];
  }
  return parents;
}
