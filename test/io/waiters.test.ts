import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { originOf, Waiters } from "../../src/app/gateway/waiters.ts";
import { Signal } from "../../src/app/replication/signal.ts";

describe("requests that wait for news", () => {
  test("where all places are taken, one from where most wait is answered early, the oldest first", () => {
    const waiters = new Waiters(10);
    const ended: string[] = [];
    const enter = (ip: string, name: string) => waiters.enter(ip, () => ended.push(name));
    for (let i = 0; i < 10; i++) enter("192.0.2.1", `greedy ${i}`);
    const leave = enter("198.51.100.7", "honest");
    assert.deepEqual(ended, ["greedy 0"]);
    for (let i = 10; i < 30; i++) enter("192.0.2.1", `greedy ${i}`);
    assert.deepEqual(
      ended,
      Array.from({ length: 21 }, (_, i) => `greedy ${i}`),
    );
    leave();
    leave();
    enter("192.0.2.1", "one more");
    assert.equal(ended.length, 21, "the place that was given back is free, once");
  });

  test("who comes from a /64 of IPv6 comes from one place", () => {
    assert.equal(originOf("2001:db8:1:2:3:4:5:6"), originOf("2001:db8:1:2::9"));
    assert.notEqual(originOf("2001:db8:1:2::9"), originOf("2001:db8:1:3::9"));
    assert.equal(originOf("::1"), "0:0:0:0");
    assert.equal(originOf("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
    assert.equal(originOf("192.0.2.1"), "192.0.2.1");
  });

  test("who is told to go, goes", async () => {
    const [news, stop] = [new Signal(), new AbortController()];
    const waiting = news.until(() => false, { ms: 600_000, signal: stop.signal });
    stop.abort();
    assert.equal(await waiting, false);
  });
});
