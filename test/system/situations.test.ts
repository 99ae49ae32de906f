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

describe("the six situations, with real processes", { concurrency: 2 }, () => {
  for (const situation of situations) {
    test(`${situation.number}: ${situation.title}`, async () => {
      const stage = await RealStage.open(situation);
      try {
        assert.deepEqual(await stage.play(situation), [], "the situation came about");
        const sequences = await sequencesOf(stage, situation);
        const [first = []] = sequences.values();
        for (const [letter, sequence] of sequences)
          assert.deepEqual(sequence, first, `${letter} has the same sequence`);
        for (const text of situation.ordered)
          assert.ok(first.includes(text), `"${text}" is ordered`);
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
      } finally {
        await stage.close();
      }
    });
  }
});
