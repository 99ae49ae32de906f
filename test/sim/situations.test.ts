import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Played, play, type Situation, situations } from "../../sim/index.ts";

const picture = (number: number): string =>
  readFileSync(
    fileURLToPath(new URL(`../../../docs/concepts/situation-${number}.svg`, import.meta.url)),
    "utf8",
  );

const played = new Map<number, Played>();

async function once(situation: Situation): Promise<Played> {
  const known = played.get(situation.number) ?? (await play(situation));
  played.set(situation.number, known);
  return known;
}

describe("the six situations, in the simulated world", () => {
  for (const situation of situations) {
    test(`${situation.number}: ${situation.title}`, async () => {
      const { failure, sequences, missed, convicted, svg } = await once(situation);
      assert.equal(failure, undefined);
      assert.deepEqual(missed, [], "the situation came about");
      const [first = []] = sequences.values();
      for (const [letter, sequence] of sequences)
        assert.deepEqual(sequence, first, `${letter} has the same sequence`);
      for (const text of situation.ordered) assert.ok(first.includes(text), `"${text}" is ordered`);
      const cheaters = situation.cheater === undefined ? [] : [situation.cheater];
      assert.deepEqual(convicted, cheaters, "those who cheated are convicted, and nobody else");
      assert.equal(svg, picture(situation.number), "the picture is drawn by: npm run situations");
    });
  }

  test("in the first, C and D saw them in opposite orders", async () => {
    const [first] = situations;
    assert.ok(first !== undefined);
    const { firstSeen } = await once(first);
    const at = (key: string): number => firstSeen.get(key) ?? Number.NaN;
    assert.ok(at("B>C") < at("A>C"), "C saw B's first");
    assert.ok(at("A>D") < at("B>D"), "D saw A's first");
  });
});
