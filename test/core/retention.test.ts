import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { heightAt } from "../../src/app/gateway/index.ts";
import {
  decodeKept,
  encodeKept,
  type Heights,
  isKept,
  keepsAll,
  keptFrom,
  keptHeights,
} from "../../src/app/retention/retention.ts";

const dayMs = 86_400_000;
const now = Date.UTC(2026, 10, 21, 12);
/** A height every six hours: height 1 is `count` × 6 h old, less six. */
function every6h(count: number): Heights {
  const timeOf = (height: number): number => now - (count - height) * (dayMs / 4);
  return { newest: count, nowMs: now, at: (tsMs) => heightAt(tsMs, count, timeOf) };
}
const retain = (heights: string, daily = 0, monthly = 0) => ({
  heights,
  daily,
  monthly,
  every_s: 1,
});

describe("which heights are kept", () => {
  test("all, so many, or those that were the newest within a time", () => {
    assert.equal(keptFrom(retain("all"), every6h(100)), 1);
    assert.equal(keptFrom(retain("10"), every6h(100)), 91);
    assert.equal(keptFrom(retain("1000"), every6h(100)), 1);
    // What was the newest when the time began counts too.
    assert.equal(keptFrom(retain("1d"), every6h(100)), 96);
    assert.equal(keptFrom(retain("25h"), every6h(100)), 95);
    // The newest is kept however old it is.
    const quiet = { ...every6h(100), nowMs: now + 1000 * dayMs };
    assert.equal(keptFrom(retain("1d"), quiet), 100);
    assert.equal(keptFrom(retain("5"), { newest: 0, nowMs: now, at: () => 0 }), 1);
  });

  test("named heights, and the last of days and months", () => {
    const kept = keptHeights(retain("2", 3, 2), every6h(400), [7, 399, 0, 1000]);
    assert.equal(kept.from, 399);
    const timeOf = (height: number): Date => new Date(now - (400 - height) * (dayMs / 4));
    const more = [...kept.more].sort((a, b) => a - b);
    assert.deepEqual(
      more.map((height) => (height === 7 ? "named" : timeOf(height).toISOString().slice(0, 13))),
      [
        "named",
        "2026-09-30T18",
        "2026-10-31T18",
        "2026-11-18T18",
        "2026-11-19T18",
        "2026-11-20T18",
      ],
    );
    for (const height of [7, 399, 400]) assert.ok(isKept(kept, height));
    for (const height of [1, 8, 396]) assert.ok(!isKept(kept, height), String(height));
  });

  test("it is remembered as it was; without a memory all are kept", () => {
    const kept = { from: 17, more: new Set([3, 5]) };
    assert.deepEqual(decodeKept(encodeKept(kept)), kept);
    assert.deepEqual(decodeKept(undefined), keepsAll);
    assert.deepEqual(decodeKept(Uint8Array.of(1, 2, 3)), keepsAll);
  });
});
