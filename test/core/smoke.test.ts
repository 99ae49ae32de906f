import { test } from "node:test";
import { DagWorld, ruleOf } from "../support/dag-world.ts";

test("smoke", () => {
  for (const n of [1, 4, 7]) {
    const world = new DagWorld({ rule: ruleOf("three", n, Math.floor((n - 1) / 3)), seed: 1, loss: n > 1 ? 0.0 : 0 });
    for (let k = 0; k < 20; k++) {
      for (let i = 0; i < n; i++) world.submit(i, [`${i}.${k}`]);
      world.run(world.now + 20);
    }
    world.run(world.now + 3000);
    console.log(n, world.now, world.hosts.map((h) => [h.machine.round, h.machine.lastCommit.index, h.batches.reduce((a, b) => a + b.payloads.length, 0), h.machine.certified?.index]), world.halted);
    console.log(new Set(world.hosts.map((_, i) => world.messages(i).join(","))).size, world.messages(0).length);
  }
});
