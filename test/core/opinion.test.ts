import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author } from "../../src/core/base/index.ts";
import {
  type DetectorChoice,
  defaultDetector,
  detectorOf,
  type Observation,
  type Opinion,
  type PhiAccrual,
  Watch,
} from "../../src/core/opinion/index.ts";

type Kind = DetectorChoice["detector"];
const timed: readonly Kind[] = ["fixed", "adaptive"];
const all: readonly Kind[] = [...timed, "rounds", "manual"];

/** One detector and its host, told what happens. */
class Trial {
  readonly detector: ReturnType<typeof detectorOf>;

  constructor(kind: Kind, choice: Partial<DetectorChoice> = {}) {
    this.detector = detectorOf({ ...defaultDetector, ...choice, detector: kind }, 0);
    this.see(0, { type: "link", isUp: true });
  }

  see(atMs: number, ...observations: readonly Observation[]): this {
    for (const observation of observations) this.detector.observe(observation, atMs);
    return this;
  }

  /** Rounds at a pace; the host's block of each comes `lateMs` after the others have gone on. */
  rounds(from: number, to: number, { everyMs = 10_000, lateMs = 0 } = {}): this {
    for (let round = from; round <= to; round++) {
      this.see(round * everyMs, { type: "round", round: round + 1 });
      this.see(round * everyMs + lateMs, { type: "heard" }, { type: "block", round });
    }
    return this;
  }

  opinion(atMs: number): Opinion {
    return this.detector.judge(atMs).opinion;
  }
}

/** The wake time is exact: before it nothing changes, at it something does; but that the dead may be looked at once more. */
function assertExact(detector: Trial["detector"], atMs: number): number | undefined {
  const next = detector.nextMs(atMs);
  if (next === undefined) {
    assert.deepEqual(detector.judge(atMs + 1e9), detector.judge(atMs));
    return undefined;
  }
  assert.ok(next > atMs);
  assert.deepEqual(detector.judge(Math.max(atMs, next - 1)), detector.judge(atMs));
  if (detector.judge(atMs).opinion !== "dead")
    assert.notDeepEqual(detector.judge(next), detector.judge(atMs));
  return next;
}

describe("every detector", () => {
  for (const kind of all) {
    test(`${kind}: suspects nobody who is punctual, and nobody in a quiet network`, () => {
      const trial = new Trial(kind);
      for (let round = 1; round <= 100; round++) {
        trial.rounds(round, round, { everyMs: 100 });
        assert.equal(trial.opinion(round * 100 + 50), "ok");
      }
      // Nothing is owed: nothing is missed, and nobody wakes.
      assert.equal(trial.opinion(1e12), "ok");
      assert.equal(trial.detector.nextMs(100 * 100 + 50), undefined);
      assert.equal(new Trial(kind).opinion(1e12), "ok");
    });
  }

  for (const kind of timed) {
    test(`${kind}: silence is suspected, then dead, then forgiven`, () => {
      const trial = new Trial(kind).rounds(1, 5);
      trial.see(60_000, { type: "round", round: 7 });
      const suspectedMs = assertExact(trial.detector, 60_000);
      assert.ok(suspectedMs !== undefined);
      assert.equal(trial.opinion(suspectedMs), "suspected");
      assert.equal(trial.detector.judge(suspectedMs).sinceMs, 60_000);
      // Linked and never asked: it may have its reasons for ever.
      assert.equal(trial.opinion(1e12), "suspected");
      trial.see(62_000, { type: "unanswered" });
      const deadMs = assertExact(trial.detector, 62_000);
      assert.equal(deadMs, 60_000 + defaultDetector.deadAfterMs, "30 s after it began to owe");
      assert.equal(trial.opinion(deadMs), "dead");
      trial.see(95_000, { type: "heard" });
      assert.equal(trial.opinion(95_000), "suspected", "it lives, and owes its blocks");
      trial.see(95_001, { type: "block", round: 6 });
      assert.equal(trial.opinion(1e12), "ok");
      assertExact(trial.detector, 90_001);
    });

    test(`${kind}: no link is no answer: suspected, then dead, and well again with the link`, () => {
      const trial = new Trial(kind).rounds(1, 5);
      trial.see(55_000, { type: "link", isUp: false });
      const suspectedMs = assertExact(trial.detector, 55_000);
      assert.ok(suspectedMs !== undefined && suspectedMs > 55_000);
      const { opinion, code, sinceMs } = trial.detector.judge(suspectedMs);
      assert.deepEqual([opinion, code, sinceMs], ["suspected", "no-link", 55_000]);
      const deadMs = assertExact(trial.detector, suspectedMs);
      assert.equal(deadMs, 55_000 + defaultDetector.deadAfterMs);
      assert.equal(trial.opinion(deadMs), "dead");
      trial.see(deadMs + 1, { type: "link", isUp: true });
      assert.equal(trial.opinion(deadMs + 1), "ok");
    });

    test(`${kind}: wake times are exact whatever was seen`, () => {
      fc.assert(
        fc.property(sights, (seen) => {
          const trial = new Trial(kind, { suspectAfterMs: 700, deadAfterMs: 3000 });
          let atMs = 0;
          for (const { after, observation } of seen) {
            atMs += after;
            trial.see(atMs, observation);
            assertExact(trial.detector, atMs);
          }
          const opinions: Opinion[] = [trial.opinion(atMs)];
          for (let next = atMs; opinions.length < 9; ) {
            const at = assertExact(trial.detector, next);
            if (at === undefined) return;
            next = at;
            opinions.push(trial.opinion(next));
          }
          assert.fail(`no end of waking: ${opinions}`);
        }),
        { numRuns: 2000 },
      );
    });
  }
});

const round = fc.integer({ min: 1, max: 12 });
const sights = fc.array(
  fc.record({
    after: fc.oneof(fc.nat(200), fc.nat(5000)),
    observation: fc.oneof<fc.Arbitrary<Observation>[]>(
      fc.record({ type: fc.constant("block" as const), round }),
      fc.record({ type: fc.constant("round" as const), round }),
      fc.constant({ type: "heard" as const }),
      fc.constant({ type: "unanswered" as const }),
      fc.record({ type: fc.constant("link" as const), isUp: fc.boolean() }),
    ),
  }),
  { maxLength: 30 },
);

describe("each in its own way", () => {
  test("fixed: suspects after so many milliseconds, to the millisecond", () => {
    const trial = new Trial("fixed", { suspectAfterMs: 400 }).rounds(1, 3);
    trial.see(40_000, { type: "round", round: 5 });
    assert.deepEqual([trial.opinion(40_399), trial.opinion(40_400)], ["ok", "suspected"]);
    assert.equal(trial.detector.judge(40_400).code, "no-block");
  });

  test("fixed: who owes a block and then loses its link is late since it owes", () => {
    const trial = new Trial("fixed").rounds(1, 3).see(40_000, { type: "round", round: 5 });
    trial.see(40_400, { type: "link", isUp: false });
    const { opinion, sinceMs } = trial.detector.judge(41_000);
    assert.deepEqual([opinion, sinceMs], ["suspected", 40_000]);
  });

  test("phi: a habit of being late is learnt; a fixed timeout knows no habits", () => {
    const lateMs = 1500;
    const punctual = new Trial("adaptive").rounds(1, 400).detector as PhiAccrual;
    const limitMs = punctual.waitLimitMs;
    assert.ok(limitMs > 300 && limitMs < 1000, `${limitMs} ms for a punctual host`);
    assert.ok(3 * limitMs > lateMs, "the habit is no more than three times what is punctual");
    const late = new Trial("adaptive").rounds(1, 400, { lateMs });
    const fixed = new Trial("fixed").rounds(1, 400, { lateMs });
    for (const trial of [late, fixed]) trial.see(5_000_000, { type: "round", round: 402 });
    assert.equal(late.opinion(5_000_000 + lateMs), "ok");
    assert.equal(late.opinion(5_000_000 + 3 * limitMs), "ok");
    assert.equal(fixed.opinion(5_000_000 + lateMs), "suspected");
    const { waitLimitMs } = late.detector as PhiAccrual;
    assert.ok(waitLimitMs < 2 * lateMs + limitMs, `${waitLimitMs} ms: it is suspected in the end`);
    assert.equal(late.opinion(5_000_000 + waitLimitMs), "suspected");
  });

  test("phi: at the limit φ is the threshold, and it rises with the wait", () => {
    for (const phi of [1, 3, 8, 12]) {
      const detector = new Trial("adaptive", { phi }).rounds(1, 50, { lateMs: 70 })
        .detector as PhiAccrual;
      assert.ok(Math.abs(detector.phi(detector.waitLimitMs) - phi) < 1e-6);
      fc.assert(
        fc.property(fc.nat(5000), fc.integer({ min: 1, max: 500 }), (wait, more) =>
          assert.ok(detector.phi(wait) < detector.phi(wait + more) || detector.phi(wait) > 300),
        ),
      );
    }
  });

  test("phi: idle hours between bursts teach nothing", () => {
    const busy = new Trial("adaptive").rounds(1, 200, { everyMs: 100, lateMs: 20 });
    const idle = new Trial("adaptive").rounds(1, 200, { everyMs: 3_600_000, lateMs: 20 });
    const [a, b] = [busy, idle].map(({ detector }) => (detector as PhiAccrual).waitLimitMs);
    assert.equal(a, b);
  });

  test("rounds: counts rounds and not time, and buries nobody that answers", () => {
    const trial = new Trial("rounds").rounds(1, 5);
    const { suspectAfterRounds: suspect, deadAfterRounds: dead } = defaultDetector;
    const at = (lag: number): Opinion =>
      trial.see(51_000, { type: "round", round: 5 + lag }).opinion(51_000);
    assert.deepEqual([at(suspect - 1), at(suspect)], ["ok", "suspected"]);
    assert.equal(trial.opinion(1e12), "suspected");
    assert.equal(at(dead), "suspected");
    trial.see(52_000, { type: "unanswered" });
    assert.equal(trial.opinion(52_000), "dead");
    trial.see(53_000, { type: "heard" });
    assert.equal(trial.opinion(53_000), "suspected");
    trial.see(53_000, { type: "block", round: 4 + dead });
    assert.equal(trial.opinion(53_000), "ok");
  });

  test("rounds: it takes both so many rounds and a lost sign of life", () => {
    const { deadAfterRounds: dead } = defaultDetector;
    const trial = new Trial("rounds").rounds(1, 5).see(52_000, { type: "unanswered" });
    trial.see(52_000, { type: "round", round: 5 + dead - 1 });
    assert.equal(trial.opinion(52_000), "suspected");
    trial.see(52_000, { type: "round", round: 5 + dead });
    assert.equal(trial.opinion(52_000), "dead");
  });

  test("manual: has no opinion of its own", () => {
    const trial = new Trial("manual").rounds(1, 5).see(60_000, { type: "round", round: 9999 });
    trial.see(60_000, { type: "unanswered" }, { type: "link", isUp: false });
    assert.deepEqual([trial.opinion(1e12), trial.detector.nextMs(60_000)], ["ok", undefined]);
  });
});

describe("the watch over all others", () => {
  const others = [1, 2, 3].map(Author);
  const watchOf = (choice: Partial<DetectorChoice> = {}) => {
    const watch = new Watch({
      others,
      choice: { ...defaultDetector, detector: "fixed", ...choice },
      atMs: 0,
    });
    watch.links(new Set(others), 0);
    return watch;
  };
  const bring = (watch: Watch, authors: readonly number[], rounds: number, atMs: number): void => {
    for (const author of authors)
      watch.observe(Author(author), { type: "block", round: rounds }, atMs);
  };

  test("asks only those who owe a block and are linked, again and again, and counts no answers", () => {
    const watch = watchOf();
    watch.links(new Set([1, 3].map(Author)), 0);
    watch.round(5, 0);
    bring(watch, [1], 4, 0);
    assert.deepEqual(watch.look(999).probe, []);
    const unanswered = [1000, 1999, 2000, 3000].map((atMs) => {
      const { probe } = watch.look(atMs);
      assert.deepEqual(probe, atMs === 1999 ? [] : [3], `${atMs}`);
      return watch.reasonFor(Author(3), 0).unanswered;
    });
    assert.deepEqual(unanswered, [0, 0, 1, 2], "the last question may still be answered");
    watch.observe(Author(3), { type: "heard" }, 3500);
    watch.look(4000);
    assert.equal(watch.reasonFor(Author(3), 0).unanswered, 0);
    bring(watch, [3], 4, 4100);
    assert.deepEqual(watch.look(1e9).probe, [], "a quiet network stays quiet");
  });

  test("wakes for questions and for opinions, exactly then", () => {
    for (const detector of all) {
      const watch = watchOf({ detector, suspectAfterMs: 700, deadAfterMs: 2500 });
      assert.equal(watch.wakeAtMs(0), undefined);
      watch.round(5, 0);
      bring(watch, [1, 2], 4, 0);
      watch.look(0);
      for (let atMs = 0; atMs < 4000; ) {
        const next = watch.wakeAtMs(atMs);
        assert.ok(next !== undefined && next > atMs);
        const idle = watch.look(Math.max(atMs, next - 1));
        assert.deepEqual([...idle.changed, ...idle.probe], [], `${detector} before ${next}`);
        const due = watch.look(next);
        assert.deepEqual([...new Set([...due.changed, ...due.probe])], [3], `${detector} ${next}`);
        atMs = next;
      }
      assert.equal(watch.opinionOn(Author(3)), timed.includes(detector) ? "dead" : "ok");
    }
  });

  test("the operator's word goes first, until it is taken back", () => {
    const watch = watchOf();
    watch.look(10);
    watch.say(Author(2), "dead", 20);
    assert.deepEqual(watch.look(20).changed, [2]);
    assert.deepEqual(watch.look(21).changed, []);
    assert.equal(watch.opinionOn(Author(2)), "dead");
    const reason = { code: "operator", sinceMs: 1020, rounds: 0, unanswered: 0 };
    assert.deepEqual(watch.reasonFor(Author(2), 1000), reason);
    watch.say(Author(3), "ok", 30);
    watch.round(9, 30);
    watch.look(5000);
    assert.deepEqual(
      others.map((author) => watch.opinionOn(author)),
      ["suspected", "dead", "ok"],
    );
    watch.say(Author(3), undefined, 5001);
    assert.deepEqual(watch.look(5001).changed, [3]);
    assert.equal(watch.opinionOn(Author(3)), "suspected");
    watch.say(Author(9), "dead", 0);
    assert.equal(
      watch.opinionOn(Author(9)),
      "ok",
      "of hosts that are not watched it has no opinion",
    );
  });

  test("shuns the dead first, then those who are late the longest", () => {
    const watch = watchOf({ suspectAfterMs: 100, deadAfterMs: 1e9 });
    bring(watch, [1], 8, 0);
    watch.round(9, 0);
    bring(watch, [1], 9, 50);
    watch.observe(Author(2), { type: "block", round: 5 }, 300);
    watch.look(90);
    assert.deepEqual(watch.shunned, []);
    watch.look(1000);
    assert.deepEqual(watch.shunned, [3, 2]);
    watch.round(11, 1000);
    watch.look(2000);
    assert.deepEqual(watch.shunned, [3, 2, 1]);
    watch.say(Author(1), "dead", 2000);
    watch.look(2000);
    assert.deepEqual(watch.shunned, [1, 3, 2]);
  });

  test("a reason says since when in POSIX time, how many rounds, and how many questions", () => {
    const watch = watchOf();
    watch.observe(Author(2), { type: "block", round: 8 }, 0);
    watch.round(421, 5000);
    watch.look(6000);
    watch.look(7000);
    const reason = { code: "no-block", sinceMs: 1_000_005_000, rounds: 412, unanswered: 1 };
    assert.deepEqual(watch.reasonFor(Author(2), 1_000_000_000), reason);
    assert.equal(watch.reasonFor(Author(2), 1_000_000_000).rounds, 412);
  });
});
