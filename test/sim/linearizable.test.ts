import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isLinearizable, type Operation } from "../../sim/index.ts";
import { Prng } from "../../src/core/base/index.ts";

const never = Number.POSITIVE_INFINITY;

function operation(
  kind: Operation["kind"],
  value: string | undefined,
  at: readonly [number, number],
  isDone = true,
): Operation {
  return { kind, value, invoked: at[0], responded: at[1], isDone };
}

const write = (value: string, from: number, to: number): Operation =>
  operation("write", value, [from, to]);
const create = (value: string, from: number, to: number, isDone = true): Operation =>
  operation("create", value, [from, to], isDone);
const read = (value: string | undefined, from: number, to: number): Operation =>
  operation("read", value, [from, to]);

describe("histories that clients may and may not see", () => {
  const legal: Readonly<Record<string, readonly Operation[]>> = {
    "nothing happened": [],
    "a read of what was written": [write("x", 1, 2), read("x", 3, 4)],
    "a read beside a write sees either": [write("x", 1, 6), read(undefined, 2, 3), read("x", 4, 5)],
    "a write that nobody was told of is seen": [write("x", 1, never), read("x", 3, 4)],
    "a write that nobody was told of is never seen": [write("x", 1, never), read(undefined, 9, 10)],
    "a refused creation found something": [write("x", 1, 2), create("y", 3, 4, false)],
    "what is wanted stands there already": [write("x", 1, 2), create("x", 3, 4)],
  };
  for (const [name, history] of Object.entries(legal))
    test(name, () => assert.ok(isLinearizable(history)));

  const illegal: Readonly<Record<string, readonly Operation[]>> = {
    "a stale read": [write("x", 1, 2), write("y", 3, 4), read("x", 5, 6)],
    "a value that nobody wrote": [write("x", 1, 2), read("z", 3, 4)],
    "back and forth": [write("x", 1, 9), read("x", 2, 3), read(undefined, 4, 5)],
    "a lost write": [write("x", 1, 2), read(undefined, 3, 4)],
    "two creations of different things": [create("x", 1, 2), create("y", 3, 4)],
    "a creation refused for nothing": [create("x", 1, 2, false)],
    "a write that happens twice": [
      write("x", 1, 2),
      write("y", 3, 4),
      read("y", 5, 6),
      read("x", 7, 8),
    ],
  };
  for (const [name, history] of Object.entries(illegal))
    test(`not: ${name}`, () => assert.ok(!isLinearizable(history)));
});

// ── a dumb twin: all orders, one by one ──

function* ordersOf<T>(items: readonly T[]): Generator<readonly T[]> {
  if (items.length === 0) yield [];
  for (const [i, item] of items.entries())
    for (const rest of ordersOf(items.toSpliced(i, 1))) yield [item, ...rest];
}

function explains(order: readonly Operation[]): boolean {
  let held: string | undefined;
  for (const [i, { kind, value, isDone, responded }] of order.entries()) {
    if (order.slice(i + 1).some((later) => later.responded < (order[i]?.invoked ?? 0)))
      return false;
    if (kind === "read" && held !== value && responded !== never) return false;
    if (kind === "write") held = value;
    if (kind === "create" && (held === undefined || held === value) !== isDone) return false;
    if (kind === "create" && isDone) held = value;
  }
  return true;
}

function isExplained(history: readonly Operation[]): boolean {
  const told = history.filter(({ responded }) => responded !== never);
  const untold = history.filter(({ responded }) => responded === never);
  for (let some = 0; some < 2 ** untold.length; some++) {
    const happened = untold.filter((_, i) => (some >> i) & 1);
    for (const order of ordersOf([...told, ...happened])) if (explains(order)) return true;
  }
  return false;
}

test("2 000 small histories: the search says what trying all orders says", () => {
  const random = new Prng(7);
  const counts = { legal: 0, illegal: 0 };
  for (let i = 0; i < 2000; i++) {
    let now = 0;
    const history = Array.from({ length: 2 + random.below(4) }, (): Operation => {
      now += 1 + random.below(3);
      const kind = (["write", "create", "read"] as const)[random.below(3)] ?? "read";
      const value = kind === "read" && random.chance(0.3) ? undefined : "xy"[random.below(2)];
      // Some never end; a read that never ends says nothing and is left out of histories.
      const isTold = kind === "read" || random.chance(0.8);
      const responded = isTold ? now + 0.5 + random.below(6) : never;
      const isDone = kind !== "create" || !isTold || random.chance(0.6);
      return { kind, value, invoked: now, responded, isDone };
    });
    const expected = isExplained(history);
    counts[expected ? "legal" : "illegal"]++;
    assert.equal(isLinearizable(history), expected, JSON.stringify(history));
  }
  assert.ok(counts.legal > 300 && counts.illegal > 300, JSON.stringify(counts));
});
