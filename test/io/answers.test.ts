import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Bans } from "../../src/app/node/bans.ts";
import { Answers } from "../../src/app/replication/answers.ts";
import type { Question } from "../../src/app/store/index.ts";
import { Author } from "../../src/core/base/index.ts";

const question = (peer: number, after: number): Question => ({
  type: "serve-range",
  link: { peer: Author(peer), session: 1 },
  after,
});

describe("answers from disk", () => {
  test("each peer is answered in turn, a few questions wait, and no peer waits for another one", async () => {
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const answers = new Answers((asked) => {
      begun.push(`${asked.link.peer} ${asked.type === "serve-range" ? asked.after : ""}`);
      return new Promise((resolve) => ends.push(resolve));
    });
    const taken = [1, 2, 3, 4, 5, 6, 7].map((after) => answers.ask(question(1, after)));
    assert.deepEqual(taken, [true, true, true, true, true, false, false]);
    assert.equal(answers.ask(question(2, 1)), true);
    assert.deepEqual(begun, ["1 1", "2 1"]);
    for (let i = 0; i < 8; i++) {
      for (const end of ends.splice(0)) end();
      await turn();
    }
    assert.deepEqual(begun, ["1 1", "2 1", "1 2", "1 3", "1 4", "1 5"]);
    assert.equal(answers.ask(question(1, 8)), true);
    assert.equal(begun.at(-1), "1 8");
  });
});

test("who misbehaves again is avoided for longer, up to a bound, and after an hour as at first", () => {
  const bans = new Bans();
  let nowMs = 0;
  const next = (): number => bans.next(Author(1), nowMs);
  const seconds = Array.from({ length: 8 }, () => {
    const forMs = next();
    nowMs += forMs;
    return forMs / 1000;
  });
  assert.deepEqual(seconds, [5, 10, 20, 40, 80, 160, 300, 300]);
  nowMs += 3_599_999;
  assert.equal(next() / 1000, 300);
  nowMs += 300_000 + 3_600_000;
  assert.equal(next() / 1000, 5);
  assert.equal(bans.next(Author(2), nowMs) / 1000, 5);
});
