import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Retainer } from "../../src/app/retention/retainer.ts";
import type { Archive } from "../../src/app/store/index.ts";
import type { Digest } from "../../src/core/base/index.ts";
import type { StateStore } from "../../src/io/ports/index.ts";

/** What each path holds at each height: one path changes at a time. */
type History = readonly (readonly [path: string, digest: string | undefined])[];

test("property: what of a height must come is what some kept height still has", () => {
  const path = fc.constantFrom("a", "b", "c");
  const content = fc.constantFrom("1", "2", undefined);
  const history: fc.Arbitrary<History> = fc.array(fc.tuple(path, content), { minLength: 1 });
  fc.assert(
    fc.property(history, fc.constantFrom("all", "1", "2", "5"), (changes, heights) => {
      const at = (height: number, name: string): string | undefined =>
        changes.slice(0, height).findLast(([changed]) => changed === name)?.[1];
      let newest = changes.length;
      const retainer = new Retainer({
        retain: { heights, daily: 0, monthly: 0, every_s: 3600 },
        state: { get: () => undefined } as unknown as StateStore,
        archive: { height: (n: number) => ({ tsMs: n, trees: n }) } as unknown as Archive,
        newest: () => newest,
        before: (trees) => (_, name) => at(Number(trees), name) as Digest | undefined,
      });
      for (let height = 1; height <= changes.length; height++) {
        const [name, digest] = changes[height - 1] ?? ["", undefined];
        if (digest === undefined) continue;
        const need = retainer.needAt(height);
        // The order goes on while content is fetched.
        for (newest = height; newest <= changes.length; newest++) {
          const from = heights === "all" ? 1 : Math.max(1, newest - Number(heights) + 1);
          const isKept: boolean = at(Math.max(height, from), name) === digest;
          const expected: string = !isKept
            ? "no"
            : at(newest, name) === digest
              ? "yes"
              : "if-there";
          assert.equal(need("tree", name, digest as Digest), expected);
        }
      }
    }),
  );
});
