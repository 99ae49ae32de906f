import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Outflow } from "../../src/app/gateway/outflow.ts";
import { FewAtOnce } from "../../src/app/pace/few-at-once.ts";

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

test("what an answer holds in memory counts, a place for each chunk", () => {
  const outflow = new Outflow(40, () => 0);
  const enter = (bytes: number) => outflow.enter("192.0.2.1", () => undefined, bytes);
  const large = enter(8 << 20);
  assert.notEqual(large, undefined);
  assert.equal(enter(8 << 20), undefined, "32 places of 40 are taken");
  assert.notEqual(enter(2 << 20), undefined);
  assert.equal(enter(0), undefined);
  large?.leave();
  assert.notEqual(enter(8 << 20), undefined);
});

test("few at once, in the order in which they came; one that fails gives its place on", async () => {
  const [few, log]: [FewAtOnce, string[]] = [new FewAtOnce(2), []];
  let running = 0;
  const work = (name: string) => async (): Promise<void> => {
    assert.ok(++running <= 2);
    log.push(name);
    await sleep(5);
    running--;
    if (name === "b") throw new Error("broken");
  };
  const all = await Promise.allSettled([..."abcdef"].map((name) => few.run(work(name))));
  assert.deepEqual(log, [..."abcdef"]);
  assert.equal(all.filter(({ status }) => status === "rejected").length, 1);
});

test("however many answers read at once, none that has begun is refused", async () => {
  const flow = new Outflow();
  const read = async (): Promise<string> => "piece";
  const pieces = await Promise.all(Array.from({ length: 1500 }, () => flow.reading(read)));
  assert.equal(pieces.length, 1500);
});
