import assert from "node:assert/strict";
import { test } from "node:test";
import { DagWorld, ruleOf } from "../support/dag-world.ts";

/** The commit that ordered something, once all hosts have it. */
function orderOne(world: DagWorld): number {
  world.submit(0, ["x"]);
  const isEverywhere = (): boolean => world.hosts.every((_, i) => world.messages(i).includes("x"));
  while (!isEverywhere()) world.run(world.now + 1);
  return world.hosts[0]?.batches.find(({ payloads }) => payloads.length > 0)?.index ?? 0;
}

function stopAndStart(world: DagWorld): void {
  for (const i of world.hosts.keys()) world.kill(i);
  // What was on its way is lost.
  world.run(world.now + 5000);
  for (const i of world.hosts.keys()) world.restart(i);
}

const certifiedBy = (world: DagWorld): number[] =>
  world.hosts.map(({ machine }) => machine.certified?.index ?? 0);

test("what all had ordered and nobody had voted for when all stopped is certified when they start again", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new DagWorld({ rule: ruleOf("three", 4, 1), seed, delayMs: 5 });
    const index = orderOne(world);
    assert.ok(certifiedBy(world).every((certified) => certified < index));
    stopAndStart(world);
    world.run(world.now + 5000);
    assert.ok(certifiedBy(world).every((certified) => certified >= index));
    assert.equal(world.halted, undefined);
  }
});

test("where it is certified already, a restart costs no round", () => {
  const world = new DagWorld({ rule: ruleOf("three", 4, 1), seed: 1, delayMs: 5 });
  const index = orderOne(world);
  world.run(world.now + 5000);
  assert.ok(certifiedBy(world).every((certified) => certified >= index));
  const signed = world.hosts.map(({ signedRound }) => signedRound);
  stopAndStart(world);
  world.run(world.now + 5000);
  assert.deepEqual(
    world.hosts.map(({ signedRound }) => signedRound),
    signed,
  );
});
