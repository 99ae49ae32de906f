import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256 } from "../../src/core/crypto/index.ts";
import { RecentBlobs } from "../../src/io/storage/index.ts";

const digestOf = (i: number) => sha256(Buffer.from(`${i}`));

test("what is kept of blobs is bounded with what each costs beside its bytes, and the first to come goes first", () => {
  const recent = new RecentBlobs(100_000, 50_000);
  for (let i = 0; i < 1000; i++) recent.keep(digestOf(i), Buffer.alloc(100, i));
  let kept = 0;
  for (let i = 0; i < 1000; i++) if (recent.get(digestOf(i)) !== undefined) kept++;
  assert.ok(kept > 100 && kept <= 100_000 / 612, `${kept} of a hundred bytes each`);
  assert.equal(recent.get(digestOf(0)), undefined);
  assert.deepEqual(Buffer.from(recent.get(digestOf(999)) ?? []), Buffer.alloc(100, 999));
  recent.keep(digestOf(2000), Buffer.alloc(50_001));
  assert.equal(recent.get(digestOf(2000)), undefined, "too long to be kept");
  recent.forget(digestOf(999));
  recent.forget(digestOf(999));
  assert.equal(recent.get(digestOf(999)), undefined);
});

test("a small view does not keep the large room it stands in", () => {
  const recent = new RecentBlobs();
  const room = Buffer.alloc(1 << 20, 7);
  recent.keep(digestOf(1), room.subarray(5, 105));
  assert.equal(recent.get(digestOf(1))?.buffer.byteLength, 100);
  const whole = new Uint8Array(1000);
  recent.keep(digestOf(2), whole);
  assert.equal(recent.get(digestOf(2)), whole, "what has its own room is not copied");
});
