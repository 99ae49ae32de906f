import assert from "node:assert/strict";
import { test } from "node:test";
import { isHeadNews } from "../../src/app/replication/head-news.ts";
import { Height } from "../../src/core/base/index.ts";

const root = new Uint8Array(32);
const due = { size: 20, root, height: Height(3), commit: 50 };

test("a checkpoint is news only to who can reach the commit that made it", () => {
  const news = (certified: number, commit: number, size = 10): boolean =>
    isHeadNews({ head: { due }, certified, leaseS: 7 }, { commit, size, leaseS: 7 });
  assert.equal(news(49, 49), false, "cosigned, and its commit not certified yet");
  assert.equal(news(50, 49), true, "the commit comes along");
  assert.equal(news(49, 50), true, "the follower has it from somebody else");
  assert.equal(news(50, 50, 20), false, "known");
});

test("that it was vouched for again is news to who has it", () => {
  const news = (leaseS: number): boolean =>
    isHeadNews({ head: { due }, certified: 50, leaseS }, { commit: 50, size: 20, leaseS: 7 });
  assert.deepEqual([news(7), news(8)], [false, true]);
  const none = { head: undefined, certified: 0, leaseS: 0 };
  assert.equal(isHeadNews(none, { commit: 0, size: 0, leaseS: 0 }), false);
});
