import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Author } from "../../src/core/base/index.ts";
import { Absence, RoundClock } from "../../src/core/dag/pacing.ts";

const all = (n: number): Author[] => Array.from({ length: n - 1 }, (_, i) => Author(i + 1));

/** Writer 0 of `n`, all of whose peers are there. */
function absenceOf(n: number, most: number): Absence {
  const absence = new Absence(n, most);
  absence.update(new Set(all(n)), all(n));
  return absence;
}

function awaitedOf(absence: Absence, n: number, round = 1): number[] {
  return all(n).filter((author) => absence.isAwaited(author, round));
}

describe("who is waited for", () => {
  test("a writer whose blocks come much later than the others' is not, and is again once they do not", () => {
    const absence = absenceOf(4, 1);
    assert.deepEqual(awaitedOf(absence, 4), [1, 2, 3]);
    for (let i = 0; i < 20; i++)
      for (const author of all(4)) absence.came(author, author === 3 ? 200 : 3);
    assert.deepEqual(awaitedOf(absence, 4), [1, 2]);
    for (let i = 0; i < 20; i++) for (const author of all(4)) absence.came(author, 3);
    assert.deepEqual(awaitedOf(absence, 4), [1, 2, 3]);
  });

  test("one that left out a round is not for ever longer, and is again as it comes", () => {
    const absence = absenceOf(4, 1);
    const missedIn = (round: number): number => {
      absence.missed(Author(3), round);
      let until = round;
      while (!absence.isAwaited(Author(3), until)) until++;
      return until;
    };
    const first = missedIn(10);
    assert.equal(first, 10 + 256);
    const second = missedIn(first);
    assert.equal(second - first, 512, "twice as long where it is missed at once again");
    const third = missedIn(second + 512);
    assert.equal(third - second - 512, 512, "as long, if it came for as long");
    assert.equal(missedIn(third + 5000) - third - 5000, 256, "the least where it came for long");
    let round = third + 10_000;
    for (let i = 0; i < 20; i++) round = missedIn(round);
    assert.ok(missedIn(round) - round <= 8192, "and never longer than this");
  });

  test("where f are proven to cheat, all others are awaited", () => {
    const absence = absenceOf(7, 2);
    absence.missed(Author(1), 5);
    absence.missed(Author(2), 5);
    assert.deepEqual(awaitedOf(absence, 7, 6), [3, 4, 5, 6]);
    absence.convict(new Set([Author(6)]));
    assert.deepEqual(awaitedOf(absence, 7, 6), [2, 3, 4, 5]);
    absence.convict(new Set([Author(5), Author(6)]));
    assert.deepEqual(awaitedOf(absence, 7, 6), [1, 2, 3, 4]);
  });

  test("who misses often is left out before one that is late", () => {
    const absence = absenceOf(4, 1);
    for (let i = 0; i < 30; i++) absence.came(Author(1), 500);
    absence.missed(Author(2), 5);
    assert.deepEqual(awaitedOf(absence, 4, 6), [1, 3]);
    absence.missed(Author(3), 5);
    absence.missed(Author(3), 261);
    absence.missed(Author(2), 600);
    assert.deepEqual(awaitedOf(absence, 4, 601), [1, 2], "the most persistent first");
  });

  test("where most are far away, far away is not late", () => {
    const absence = absenceOf(4, 1);
    for (let i = 0; i < 20; i++) {
      absence.came(Author(1), 0);
      absence.came(Author(2), 90);
      absence.came(Author(3), 180);
    }
    assert.deepEqual(awaitedOf(absence, 4), [1, 2, 3]);
  });

  test("never more than f are left out, the absent before the late", () => {
    for (const [n, most] of [
      [1, 0],
      [3, 0],
      [4, 1],
      [7, 2],
      [10, 3],
    ] as const) {
      const absence = absenceOf(n, most);
      for (let i = 0; i < 30; i++)
        for (const author of all(n)) absence.came(author, author > most ? 0 : 500 + author);
      assert.equal(awaitedOf(absence, n).length, n - 1 - most, `${n} writers, all of f late`);
      const reachable = new Set(all(n).slice(0, -1));
      absence.update(reachable, all(n));
      const awaited = awaitedOf(absence, n);
      assert.equal(awaited.length, n - 1 - most, `${n} writers, one more away`);
      if (most > 0) assert.equal(awaited.includes(n - 1), false, "the absent one is not awaited");
    }
  });

  test("late is what comes after a round has its quorum, as long as that is remembered", () => {
    const clock = new RoundClock(3);
    assert.equal(clock.lateness(1, 50), 0);
    for (const author of [0, 1, 2]) clock.observe(1, Author(author), 100);
    assert.equal(clock.lateness(1, 130), 30);
    assert.equal(clock.lateness(1, 90), 0);
    assert.equal(clock.lateness(2, 130), 0);
    for (let round = 2; round < 400; round++)
      for (const author of [0, 1, 2]) clock.observe(round, Author(author), 100 + round);
    assert.equal(clock.lateness(1, 1000), 0);
    assert.equal(clock.lateness(399, 600), 101);
  });
});
