import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Overlay } from "../../src/core/base/index.ts";

const key = fc.tuple(fc.constantFrom("a", "b", "n"), fc.nat(20)).map(([kind, n]) => `${kind}/${n}`);
const entry = fc.tuple(key, fc.option(fc.nat(9), { nil: undefined }));
/** What is copied, and what is so large that it is taken as it is. */
const part = fc.oneof(
  { weight: 5, arbitrary: fc.array(entry, { maxLength: 8 }) },
  {
    weight: 1,
    arbitrary: fc
      .array(entry, { maxLength: 8 })
      .map(
        (own) =>
          new Map([...Array.from({ length: 5000 }, (_, i) => [`x/${i}`, 1] as const), ...own]),
      ),
  },
);

test("an overlay tells the newest of each key, whatever was copied and whatever taken as it is", () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), key, key, (parts, start, end) => {
      const overlay = new Overlay<number | undefined>();
      const twin = new Map<string, number | undefined>();
      for (const each of parts) {
        const before = new Map(each);
        overlay.add(each);
        for (const [name, value] of before) twin.set(name, value);
      }
      for (const [name, value] of twin) assert.equal(overlay.holding(name)?.get(name), value);
      assert.equal(overlay.holding("y/1"), undefined);
      const sorted = (map: Iterable<readonly [string, number | undefined]>): unknown =>
        [...map].sort(([a], [b]) => (a < b ? -1 : 1));
      const between = [...twin].filter(([name]) => name >= start && name < end);
      assert.deepEqual(sorted(overlay.between(start, end)), sorted(between));
      assert.deepEqual(sorted(new Map(overlay.entries())), sorted(twin));
      assert.ok(overlay.size >= twin.size);
      overlay.clear();
      assert.deepEqual([overlay.size, ...overlay.entries()], [0]);
    }),
    { numRuns: 200 },
  );
});
