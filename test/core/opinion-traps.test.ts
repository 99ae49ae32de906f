import assert from "node:assert/strict";
import { test } from "node:test";
import { Author } from "../../src/core/base/index.ts";
import { FixedTimeout, matrixOf, removals, type Statement } from "../../src/core/opinion/index.ts";

const strict = { suspectAfterMs: 1000, deadAfterMs: 30_000 };

test("who shows an old block again and again is as late as before", () => {
  const detector = new FixedTimeout(strict, 0);
  detector.observe({ type: "link", isUp: true }, 0);
  detector.observe({ type: "block", round: 1 }, 0);
  detector.observe({ type: "round", round: 90 }, 10);
  for (let atMs = 500; atMs <= 5000; atMs += 500)
    detector.observe({ type: "block", round: 1 }, atMs);
  assert.equal(detector.judge(5000).opinion, "suspected");
});

test("whose blocks come through others, though its probes get lost, lives", () => {
  const detector = new FixedTimeout(strict, 0);
  detector.observe({ type: "link", isUp: true }, 0);
  for (let round = 2; round < 1000; round++) {
    detector.observe({ type: "round", round: round + 1 }, round * 100);
    if (round === 5) detector.observe({ type: "unanswered" }, round * 100);
    detector.observe({ type: "block", round }, round * 100 + 5);
    assert.equal(detector.judge(round * 100 + 6).opinion, "ok", `round ${round}`);
  }
});

test("where too many would have to leave, only the convicted do, and four remain", () => {
  const dead = (by: number, about: number): Statement => ({
    by: Author(by),
    about: Author(about),
    opinion: "dead",
    reason: { code: "silent", sinceMs: 0, rounds: 0, unanswered: 0 },
    serial: 1,
  });
  const byAll = [1, 2, 3].flatMap((about) =>
    [0, 1, 2, 3, 4, 5, 6].filter((by) => by !== about).map((by) => dead(by, about)),
  );
  const about = { n: 7, quorum: 5, convicted: new Set([Author(6)]) };
  assert.deepEqual(removals(matrixOf(byAll), about), [6]);
  const seven = { ...about, convicted: new Set<Author>() };
  assert.deepEqual(removals(matrixOf(byAll), seven), [1, 2, 3], "four remain");
  assert.deepEqual(removals(matrixOf(byAll), { ...seven, n: 6 }), [], "three would remain");
});
