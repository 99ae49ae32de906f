import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRoom } from "../../src/app/node/publish-desk.ts";
import type { Digest } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import type { SignedUpdate } from "../../src/core/mirror/index.ts";

const id = (name: string): Digest => sha256(Buffer.from(name));

function openOf(publisher: string): { readonly update: SignedUpdate } {
  return { update: { record: { publisher } } as unknown as SignedUpdate };
}

test("for one more update, who has most of them open gives up the one that was touched longest ago", () => {
  const open = new Map([[id("honest"), openOf("alice")]]);
  for (let i = 0; i < 255; i++) open.set(id(`greedy ${i}`), openOf("mallory"));
  for (let i = 0; i < 300; i++) {
    makeRoom(open);
    open.set(id(`more ${i}`), openOf("mallory"));
  }
  assert.equal(open.size, 256);
  assert.ok(open.has(id("honest")), "a flood of one publisher takes no other's place");
  assert.ok(open.has(id("more 299")) && !open.has(id("greedy 0")));
});
