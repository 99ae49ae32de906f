import assert from "node:assert/strict";
import { test } from "node:test";
import { Author, defined } from "../../src/core/base/index.ts";
import type { CertifiedCommit } from "../../src/core/dag/commit-range.ts";
import { commitDigest, refKey } from "../../src/core/dag/index.ts";
import { configOf, freshRecovery, fullRounds, machineOf } from "../support/dag-forge.ts";
import { ruleOf } from "../support/dag-world.ts";

test("a writer from an old copy, which peers have forgotten, signs nothing while it is catching up", () => {
  const config = configOf(ruleOf("three", 4, 1));
  const rounds = fullRounds(config, 200);
  const known = new Map(rounds.flat().map((block) => [refKey(block.ref), block]));
  const commits: CertifiedCommit[] = [];
  const observer = machineOf(config, 0, { ...freshRecovery, maySign: false });
  for (const block of rounds.flat()) {
    for (const effect of observer.step(
      { type: "block", block, from: block.ref.author, how: "pushed" },
      1000,
    )) {
      if (effect.type !== "persist-commit") continue;
      const blocks = effect.commit.blocks.map((ref) => defined(known.get(refKey(ref)), "a block"));
      const { commit, bytes } = effect;
      commits.push({ commit, bytes, digest: commitDigest(bytes), blocks });
    }
  }
  // Writer 3 signed all 200 rounds; its disk is from round 10, and its peers keep 50 rounds.
  const old = machineOf(config, 3, {
    ...freshRecovery,
    blocks: rounds.slice(0, 10).flat(),
    signedRound: 10,
  });
  const signed: number[] = [];
  const step = (input: Parameters<typeof old.step>[0], nowMs: number): void => {
    for (const effect of old.step(input, nowMs))
      if (effect.type === "guard") signed.push(effect.round);
  };
  step({ type: "reachable", authors: new Set([0, 1, 2].map((i) => Author(i))) }, 2000);
  const last = old.lastCommit.index;
  const first = commits.filter(({ commit }) => commit.index > last && commit.index <= last + 100);
  const end = first.at(-1);
  assert.ok(end !== undefined);
  const certificate = { index: end.commit.index, digest: end.digest, voters: [] };
  step({ type: "certified", commits: first, certificate }, 2100);
  for (let i = 1; i <= 5; i++) step({ type: "tick" }, 2100 + 300 * i);
  assert.ok(old.round < 200, `it is still behind, at round ${old.round}`);
  assert.deepEqual(signed, [], "rounds that it signed before with other content");
});
