import assert from "node:assert/strict";
import type { CommitRule } from "../../src/core/dag/index.ts";
import { configOf } from "./dag-forge.ts";
import { DagNet } from "./dag-net.ts";

/** Crashes, restarts, loss and a two-faced writer over gcRounds 3 … 6; then calm, and everything is ordered. */
export function storm(
  rule: CommitRule,
  seed: number,
): { readonly commits: number; readonly adopted: number } {
  const twoFaced = seed % 2 === 0 ? [seed % rule.n] : [];
  const config = configOf(rule, {
    gcRounds: 3 + (seed % 4),
    leadersPerRound: 1 + (seed % rule.n),
  });
  const net = new DagNet({ config, seed, twoFaced, loss: 0.05 * (seed % 3) });
  rage(net, Math.max(0, rule.f + rule.c - twoFaced.length), twoFaced);
  for (const face of net.honest) net.submit(net.faces.indexOf(face), `last of ${face.author}`);
  for (let round = 0; round < 20; round++) {
    net.repair();
    for (const i of net.faces.keys()) if (round < 3) net.resubscribe(i);
    net.run(net.now + 1000);
  }
  judge(net, seed);
  return { commits: net.honest[0]?.digests.length ?? 0, adopted: net.adopted };
}

function rage(net: DagNet, mayDie: number, twoFaced: readonly number[]): void {
  const down: number[] = [];
  for (let event = 0; event < 30; event++) {
    const i = net.random.below(net.config.keys.length);
    net.submit(i, `${i}.${event}`);
    const dies = down.length < mayDie && !twoFaced.includes(i) && !down.includes(i);
    const chance = net.random.below(10);
    if (chance < 3 && dies) {
      net.kill(i);
      down.push(i);
    }
    const back = chance > 7 ? down.shift() : undefined;
    if (back !== undefined) net.restart(back);
    net.run(net.now + net.random.below(120));
    if (net.random.chance(0.3)) net.repair();
  }
  net.loss = 0;
  for (const back of down) net.restart(back);
}

function judge(net: DagNet, seed: number): void {
  assert.equal(net.fork(), undefined, `seed ${seed}`);
  const last = net.honest.map(({ author }) => `last of ${author}`);
  for (const face of net.honest) {
    const lacks = last.filter((text) => !face.texts.includes(text));
    assert.deepEqual(lacks, [], `seed ${seed}: writer ${face.author} stalled`);
  }
  assert.ok(net.run(net.now + 20_000), `seed ${seed}: the network never becomes quiet`);
}
