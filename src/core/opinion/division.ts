import type { Author } from "../base/index.ts";

/** Two disjoint groups of mutually compatible hosts, or why there are none. */
export type Division =
  | { readonly kind: "split"; readonly sides: readonly [readonly Author[], readonly Author[]] }
  | {
      readonly kind: "refused";
      readonly code: "NOBODY_HOSTILE" | "NOT_BIPARTITE" | "HAS_QUORUM";
      readonly detail: string;
    };

/** What a division is made from; both relations are symmetric. */
export interface Relations {
  /** Those that may be in a group: everybody but the convicted. */
  readonly members: readonly Author[];
  /** One of the two holds the other dead. */
  readonly hostile: (a: Author, b: Author) => boolean;
  /** The two hear one another. */
  readonly reaches: (a: Author, b: Author) => boolean;
  /** A group of so many is no fraction: it goes on as the network that it is. */
  readonly quorum: number;
}

/**
 * Divides a group in strong disagreement (`dag.md` §17): a two-colouring of the hostile graph, so nobody is in a group
 * with a host that is hostile to it, and nobody is left out. Hosts without enemies, and parts of the graph that hang
 * together only in themselves, join the side of the lowest member that they can reach. Deterministic.
 */
export function divide(relations: Relations): Division {
  const { members, quorum } = relations;
  const sorted = [...members].sort((a, b) => a - b);
  const components = componentsOf(sorted, relations.hostile);
  const enemies = components.filter((component) => component.length > 1);
  if (enemies.length === 0)
    return {
      kind: "refused",
      code: "NOBODY_HOSTILE",
      detail: "no two hosts hold one another dead: there is nothing to split over",
    };
  const side = new Map<Author, 0 | 1>();
  // Those with enemies first: the others choose among the sides that these make.
  for (const component of [...enemies, ...components.filter(({ length }) => length === 1)]) {
    const [first] = component;
    if (first === undefined) continue;
    const conflict = colour(first, sideFor(component, side, relations), {
      side,
      relations,
      sorted,
    });
    if (conflict !== undefined)
      return {
        kind: "refused",
        code: "NOT_BIPARTITE",
        detail: `hosts ${conflict.join(" and ")} hold one another dead and have a common enemy: no two groups are possible`,
      };
  }
  const sides = [0, 1].map((which) => sorted.filter((member) => side.get(member) === which));
  const [first = [], second = []] = sides;
  const largest = Math.max(first.length, second.length);
  if (largest >= quorum)
    return {
      kind: "refused",
      code: "HAS_QUORUM",
      detail: `a side of ${largest} has the quorum of ${quorum}: it goes on as it is, and leaves the others out`,
    };
  return { kind: "split", sides: [first, second] };
}

/** Connected parts of the hostile graph, by their lowest members. */
function componentsOf(
  members: readonly Author[],
  hostile: Relations["hostile"],
): readonly (readonly Author[])[] {
  const seen = new Set<Author>();
  const partFrom = (start: Author): readonly Author[] => {
    const part = [start];
    seen.add(start);
    for (const host of part) {
      const enemies = members.filter((other) => !seen.has(other) && hostile(host, other));
      for (const enemy of enemies) seen.add(enemy);
      part.push(...enemies);
    }
    return part;
  };
  return members.flatMap((start) => (seen.has(start) ? [] : [partFrom(start)]));
}

/** The side of the lowest placed member that the lowest of this component can reach. */
function sideFor(
  component: readonly Author[],
  side: ReadonlyMap<Author, 0 | 1>,
  { reaches }: Relations,
): 0 | 1 {
  const [first] = component;
  const placed = [...side.keys()].sort((a, b) => a - b);
  const friend = placed.find((other) => first !== undefined && reaches(first, other));
  return (friend === undefined ? undefined : side.get(friend)) ?? 0;
}

/** Colours a component from one of its hosts; returns two enemies that would be on one side, if there are. */
function colour(
  first: Author,
  firstSide: 0 | 1,
  by: {
    readonly side: Map<Author, 0 | 1>;
    readonly relations: Relations;
    readonly sorted: readonly Author[];
  },
): readonly [Author, Author] | undefined {
  const { side, relations, sorted } = by;
  side.set(first, firstSide);
  const queue = [first];
  for (const host of queue) {
    const mine = side.get(host) ?? 0;
    const enemies = sorted.filter((other) => relations.hostile(host, other));
    const clash = enemies.find((enemy) => side.get(enemy) === mine);
    if (clash !== undefined) return [host, clash];
    const unplaced = enemies.filter((enemy) => !side.has(enemy));
    for (const enemy of unplaced) side.set(enemy, mine === 0 ? 1 : 0);
    queue.push(...unplaced);
  }
  return undefined;
}
