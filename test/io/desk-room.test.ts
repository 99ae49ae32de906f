import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { InLine } from "../../src/app/pace/in-line.ts";
import { BusyError, FewAtOnce } from "../../src/app/pace/index.ts";
import { SharedRoom } from "../../src/app/pace/shared-room.ts";
import { makeRoom } from "../../src/app/publishing/publish-room.ts";
import type { Digest } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import type { SignedUpdate } from "../../src/core/mirror/index.ts";

const id = (name: string): Digest => sha256(Buffer.from(name));

function openOf(
  publisher: string,
  blobs = 0,
): { readonly update: SignedUpdate; readonly blobs: ReadonlyMap<Digest, number> } {
  const update = { record: { publisher } } as unknown as SignedUpdate;
  return { update, blobs: { size: blobs } as ReadonlyMap<Digest, number> };
}

test("for one more update, who has most of them open gives up the one that was touched longest ago", () => {
  const open = new Map([[id("honest"), openOf("alice")]]);
  for (let i = 0; i < 255; i++) open.set(id(`greedy ${i}`), openOf("mallory"));
  for (let i = 0; i < 300; i++) {
    makeRoom(open, new Map());
    open.set(id(`more ${i}`), openOf("mallory"));
  }
  assert.equal(open.size, 256);
  assert.ok(open.has(id("honest")), "a flood of one publisher takes no other's place");
  assert.ok(open.has(id("more 299")) && !open.has(id("greedy 0")));
});

test("what names many blobs counts as many", () => {
  const open = new Map([[id("honest"), openOf("alice")]]);
  for (let i = 0; i < 20; i++) {
    open.set(id(`large ${i}`), openOf("mallory", 1_000_000));
    assert.ok(makeRoom(open, new Map()));
  }
  assert.deepEqual(
    [...open.keys()],
    [id("honest"), ...[16, 17, 18, 19].map((i) => id(`large ${i}`))],
  );
});

test("what waits for the order cannot give way: where it takes all room, no more is taken", () => {
  const ordered = new Map(Array.from({ length: 255 }, (_, i) => [id(`${i}`), openOf("mallory")]));
  const open = new Map([[id("honest"), openOf("alice")]]);
  assert.ok(makeRoom(open, ordered));
  assert.equal(open.size, 0, "alice has one open, which is more than none of mallory's");
  ordered.set(id("last"), openOf("mallory"));
  assert.ok(!makeRoom(open, ordered));
});

test("room that causes share: each its own, and all together so much", () => {
  const room = new SharedRoom<string>({ own: 4, all: 10 });
  assert.ok(room.take("a", 4));
  assert.ok(!room.take("a", 1));
  assert.ok(room.take("b", 4));
  assert.ok(!room.take("c", 3));
  assert.ok(room.take("c", 2));
  room.give("a", 4);
  assert.ok(!room.take("d", 5), "more than its own");
  assert.ok(room.take("d", 4));
});

test("in line: of each so much goes on at once, in order, and nobody waits for another", async () => {
  const line = new InLine<string>(10);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const go = (cause: string, size: number, name: string): Promise<void> =>
    line.run(cause, size, () => {
      begun.push(name);
      return new Promise((resolve) => ends.set(name, resolve));
    });
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await setImmediate();
  };
  const all = [go("a", 6, "a1"), go("a", 6, "a2"), go("a", 1, "a3"), go("b", 100, "b1")];
  await setImmediate();
  assert.deepEqual(begun, ["a1", "b1"], "one that is larger goes on alone; a3 does not pass a2");
  await end("a1");
  assert.deepEqual(begun, ["a1", "b1", "a2", "a3"]);
  all.push(go("b", 1, "b2"));
  await setImmediate();
  assert.equal(begun.length, 4);
  await end("b1");
  assert.deepEqual(begun.at(-1), "b2");
  for (const name of ["a2", "a3", "b2"]) await end(name);
  await Promise.all(all);
});

test("few at once: what waits is bounded, and told to come again", async () => {
  const few = new FewAtOnce(1);
  let open = (): void => undefined;
  const first = few.run(() => new Promise<void>((resolve) => (open = resolve)));
  const others = Array.from({ length: 1024 }, () => few.run(async () => "done"));
  await assert.rejects(
    few.run(async () => "never"),
    (error) => error instanceof BusyError && error.statusCode === 503,
  );
  // Those who have a place elsewhere already are not sent away.
  const counted = new FewAtOnce(1, Number.POSITIVE_INFINITY);
  const held = counted.run(() => new Promise<void>((resolve) => setTimeout(resolve, 20)));
  const many = Array.from({ length: 3000 }, () => counted.run(async () => "done"));
  await held;
  assert.equal((await Promise.all(many)).length, 3000);
  open();
  await first;
  assert.equal((await Promise.all(others)).length, 1024);
  assert.equal(await few.run(async () => "again"), "again");
});
