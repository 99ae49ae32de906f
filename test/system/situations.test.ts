import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Letter, letters, type Situation, situations } from "../../sim/index.ts";
import { readOrder } from "../support/load.ts";
import { until } from "../support/net.ts";
import { RealStage } from "../support/real-stage.ts";

/** The sequence of messages at each correct host, once all of them have as many and all that must be there. */
async function sequencesOf(
  stage: RealStage,
  { correct, ordered }: Situation,
): Promise<ReadonlyMap<Letter, readonly string[]>> {
  const counts = async (): Promise<number[]> =>
    Promise.all(correct.map(async (letter) => (await stage.host(letter).status()).messages));
  await until(
    async () => {
      const all = await counts();
      return new Set(all).size === 1 && (all[0] ?? 0) >= ordered.length;
    },
    20_000,
    "all correct hosts have the same number of messages",
  );
  const [count = 0] = await counts();
  const sequences = new Map<Letter, readonly string[]>();
  for (const letter of correct) sequences.set(letter, await readOrder(stage.host(letter), count));
  return sequences;
}

/** Plays it, and looks whether all is as it must be, whatever each host believed; tells what did not come about. */
async function playedOnce(situation: Situation): Promise<readonly string[]> {
  const stage = await RealStage.open(situation);
  try {
    const missed = await stage.play(situation);
    const sequences = await sequencesOf(stage, situation);
    const [first = []] = sequences.values();
    for (const [letter, sequence] of sequences)
      assert.deepEqual(sequence, first, `${letter} has the same sequence`);
    for (const text of situation.ordered) assert.ok(first.includes(text), `"${text}" is ordered`);
    const cheater = situation.cheater && `w${letters.indexOf(situation.cheater)}`;
    await until(
      async () => {
        const [any = "A"] = situation.correct;
        const { convicted } = await stage.report(any);
        return convicted.length === (cheater === undefined ? 0 : 1);
      },
      10_000,
      "those who cheated are convicted, and nobody else",
    );
    for (const letter of situation.correct) {
      const { convicted } = await stage.report(letter);
      assert.deepEqual(
        convicted.map(({ host }) => host),
        cheater === undefined ? [] : [cheater],
      );
    }
    return missed;
  } finally {
    await stage.close();
  }
}

/** A script by the clock: on a machine that is busy with something else it may have to be played again. */
const attempts = 3;

describe("the six situations, with real processes", { concurrency: 2 }, () => {
  for (const situation of situations) {
    test(`${situation.number}: ${situation.title}`, async () => {
      let missed: readonly string[] = ["not played"];
      for (let i = 0; i < attempts && missed.length > 0; i++) missed = await playedOnce(situation);
      assert.deepEqual(missed, [], "the situation came about");
    });
  }
});
