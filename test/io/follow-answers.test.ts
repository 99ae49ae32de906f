import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf, World } from "../../sim/index.ts";
import { FollowAnswers } from "../../src/app/replication/follow-answers.ts";

const { network } = new World(planOf(1, { n: 4 }));

test("an answer is made once for all that follow from one place, and anew once there is more", async () => {
  let made = 0;
  let isBroken = false;
  const commits = {
    tip: { index: 10, bytes: new Uint8Array(0) },
    range: async () => {
      made++;
      if (isBroken) throw new Error("the disk");
      return { commits: [], voters: [] };
    },
  };
  const answers = new FollowAnswers(network.consensus, commits);
  const all = await Promise.all(Array.from({ length: 100 }, () => answers.after(3, undefined)));
  assert.equal(made, 1);
  assert.equal(new Set(all).size, 1);
  await answers.after(3, "note");
  assert.equal(made, 2, "with a note it is another");
  commits.tip = { ...commits.tip, index: 11 };
  await answers.after(3, "note");
  assert.equal(made, 3, "there is more");
  isBroken = true;
  await assert.rejects(answers.after(4, undefined));
  isBroken = false;
  await answers.after(4, undefined);
  assert.equal(made, 5, "one that failed is not kept");
});
