import assert from "node:assert/strict";
import { test } from "node:test";
import { Author } from "../../src/core/base/index.ts";
import {
  defaultDetector,
  matrixOf,
  type Opinion,
  signStatement,
} from "../../src/core/opinion/index.ts";
import { Opinions } from "../../src/core/replica/opinions.ts";
import { castOf } from "../support/evidence-cast.ts";

const { network, verifier, signer } = castOf();
const [self, other] = [Author(0), Author(1)];

const opinionsOf = (): Opinions =>
  new Opinions(
    {
      network,
      author: self,
      hostSigner: signer("w0 node"),
      verifier,
      detector: { ...defaultDetector, detector: "manual" },
      isPublishing: true,
      matrix: matrixOf([]),
    },
    0,
  );

test("while nothing is ordered, who was called dead is called ok again, once", () => {
  const opinions = opinionsOf();
  const told = (atMs: number): string[] =>
    opinions
      .takeStalled(atMs, atMs)
      .map(({ statement }) => `${statement.about} ${statement.opinion}`);
  assert.deepEqual(told(10_000), []);
  const think = (opinion: Opinion | undefined, atMs: number): void => {
    opinions.watch.say(other, opinion, atMs);
    opinions.watch.look(atMs);
  };
  think("dead", 11_000);
  assert.deepEqual([told(20_000), told(30_000)], [["1 dead"], ["1 dead"]]);
  think(undefined, 31_000);
  assert.deepEqual([told(40_000), told(50_000)], [["1 ok"], []]);
});

test("what one said who is gone says nothing of what it thinks now", () => {
  const opinions = opinionsOf();
  const reason = { code: "silent", sinceMs: 0, rounds: 0, unanswered: 0 } as const;
  const statement = { by: other, about: Author(2), opinion: "dead", reason, serial: 1 } as const;
  const { wire } = signStatement(network, statement, signer("w1 node"));
  assert.equal(opinions.hear(wire).ok, true);
  assert.equal(opinions.toldBy(new Set([other])).length, 1);
  assert.equal(opinions.toldBy(new Set([Author(3)])).length, 0);
});
