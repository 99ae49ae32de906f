import assert from "node:assert/strict";
import { test } from "node:test";
import { Outflow } from "../../src/app/gateway/outflow.ts";

test("the more large answers there are, the less of each is in memory", () => {
  const outflow = new Outflow(200);
  const flows = Array.from({ length: 200 }, () => outflow.enter("192.0.2.1", () => undefined));
  assert.deepEqual(
    [0, 31, 32, 127, 128, 199].map((i) => [flows[i]?.stretchBytes, flows[i]?.isAhead]),
    [
      [0, true],
      [0, true],
      [262_144, true],
      [262_144, true],
      [262_144, false],
      [262_144, false],
    ],
  );
});

test("where all places are taken, who takes nothing is let go, first where most are; who goes on is not", () => {
  let now = 0;
  const outflow = new Outflow(4, () => now);
  const cut: string[] = [];
  const enter = (ip: string, name: string) => outflow.enter(ip, () => cut.push(name));
  const slow = enter("192.0.2.1", "slow, and going on");
  enter("192.0.2.1", "greedy 1");
  enter("192.0.2.1", "greedy 2");
  enter("198.51.100.7", "alone, and stalled");
  assert.equal(enter("203.0.113.5", "early"), undefined, "nobody stalls yet");
  now = 30_000;
  slow?.moved();
  assert.notEqual(enter("203.0.113.5", "a"), undefined);
  assert.deepEqual(cut, ["greedy 1"]);
  slow?.leave();
  slow?.leave();
  assert.notEqual(enter("203.0.113.5", "b"), undefined);
  assert.deepEqual(cut, ["greedy 1"], "a place was free, and only one");
  assert.notEqual(enter("203.0.113.5", "c"), undefined);
  assert.notEqual(enter("203.0.113.5", "d"), undefined);
  assert.deepEqual(cut, ["greedy 1", "greedy 2", "alone, and stalled"]);
  assert.equal(enter("203.0.113.5", "e"), undefined);
});
