import { assert, defined } from "../base/index.ts";
import { compareRefs, refKey } from "./block.ts";
import type { GraphReader, Vertex } from "./graph.ts";

/** The horizon below which a commit that follows `lastLeaderRound` orders nothing (`dag.md` §9). */
export function horizonAfter(lastLeaderRound: number, gcRounds: number): number {
  return Math.max(0, lastLeaderRound - gcRounds);
}

/**
 * The blocks that a committed leader newly orders: its history above `horizon` that `isOrdered` does not
 * hold yet, sorted by (round, author, digest), up to `blocksMax` and `bytesMax`. The horizon comes from the previous
 * commit, never from a cache. What is cut off are the highest rounds, so no block is ordered before its parents; the
 * next leader orders it. Without a bound, cheaters could make commits that nobody can send or read back.
 */
export function linearize<V extends Vertex>(
  graph: GraphReader<V>,
  leader: V,
  limit: {
    readonly horizon: number;
    readonly isOrdered: (key: string) => boolean;
    readonly bytesOf: (vertex: V) => number;
    readonly blocksMax: number;
    readonly bytesMax: number;
  },
): V[] {
  assert(leader.ref.round > limit.horizon, "a leader stands above the horizon");
  const seen = new Set([leader.key]);
  const stack: V[] = [leader];
  const out: V[] = [];
  for (let vertex = stack.pop(); vertex !== undefined; vertex = stack.pop()) {
    out.push(vertex);
    for (const parent of vertex.parents) {
      const key = refKey(parent);
      if (parent.round <= limit.horizon || seen.has(key) || limit.isOrdered(key)) continue;
      seen.add(key);
      stack.push(defined(graph.get(key), "every parent above the horizon is in the graph"));
    }
  }
  const sorted = out.sort((a, b) => compareRefs(a.ref, b.ref)).slice(0, limit.blocksMax);
  let bytes = 0;
  const tooMuch = sorted.findIndex((vertex) => {
    bytes += limit.bytesOf(vertex);
    return bytes > limit.bytesMax;
  });
  return tooMuch < 0 ? sorted : sorted.slice(0, tooMuch);
}

/**
 * Median clock of the leader's parents one round below, not before `floorMs`: f liars cannot
 * move it out of the honest range. Above genesis only, where there are clocks to compare.
 */
export function medianTime(graph: GraphReader, leader: Vertex, floorMs: number): number {
  const clocks: number[] = [];
  for (const key of leader.votes) {
    const parent = graph.get(key);
    if (parent !== undefined) clocks.push(parent.tsMs);
  }
  clocks.sort((a, b) => a - b);
  return Math.max(floorMs, clocks[Math.floor((clocks.length - 1) / 2)] ?? floorMs);
}
