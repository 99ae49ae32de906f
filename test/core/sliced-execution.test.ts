import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author, type Digest } from "../../src/core/base/index.ts";
import { type AcceptedBatch, segmentOf } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  type Change,
  changesDigest,
  encodeChanges,
  encodeHeld,
  encodeState,
  genesisState,
  messageKinds,
  signUpdate,
} from "../../src/core/mirror/index.ts";
import { Executor, type ExecutorEffect } from "../../src/core/replica/executor.ts";
import { fakeSigner } from "../support/dag-world.ts";
import { lonelyMirror } from "../support/mirror-config.ts";

const group = sha256(Buffer.from("group"));
const [admin, alice] = [fakeSigner("admin"), fakeSigner("alice")];
const config = lonelyMirror(group, 1);

/** An executor with a store of its own, that takes what is written at once. */
class Host {
  readonly data = new Map<string, Uint8Array | undefined>();
  readonly changes = new Map<Digest, Uint8Array>();
  readonly effects: ExecutorEffect[] = [];
  readonly executor: Executor;
  pauses = 0;

  constructor(workAtOnce: number) {
    const publishers = [{ key: alice.publicKey, name: "a", trees: ["*"] }];
    const policy = { version: 0, administrators: [admin.publicKey], publishers };
    const view = {
      get: (key: string) => this.data.get(key),
      changes: (digest: Digest) => this.changes.get(digest),
    };
    const state = genesisState({ policy, commit: group, timeMs: 1000 });
    this.executor = new Executor(state, config, view, workAtOnce);
  }

  /** Takes effects; true if there is more to do. */
  take(effects: readonly ExecutorEffect[]): boolean {
    let isPaused = false;
    for (const effect of effects) {
      if (effect.type === "state")
        for (const [key, value] of effect.writes) this.data.set(key, value);
      if (effect.type === "execution-paused") isPaused = true;
      else this.effects.push(effect);
    }
    this.executor.written();
    if (isPaused) this.pauses++;
    return isPaused;
  }

  finish(): void {
    while (this.take(this.executor.run()));
  }
}

let nonce = 0;
function publishing(
  paths: readonly string[],
  isDeleting: boolean,
): { bytes: Uint8Array; wire: Uint8Array; id: Digest } {
  const changes = paths.map((path): Change => {
    const digest = sha256(Buffer.from(`${path} ${nonce}`));
    const leaf = { kind: "file", digest, size: 1, executable: false } as const;
    return { path, leaf: isDeleting ? undefined : leaf, expect: "anything" };
  });
  const bytes = encodeChanges({ tree: "tree", baseHeight: 0, changes });
  const record = {
    group,
    publisher: alice.publicKey,
    tree: "tree",
    changes: { digest: changesDigest(bytes), bytes: bytes.length },
    nonce: (nonce++).toString(16).padStart(32, "0"),
  };
  const { wire, id } = signUpdate(record, alice);
  return { bytes, wire, id };
}

function batchOf(index: number, updates: readonly ReturnType<typeof publishing>[]): AcceptedBatch {
  const said = updates.map(({ id }) => id);
  const segments = [
    segmentOf(
      messageKinds.update,
      updates.map(({ wire }) => wire),
    ),
    segmentOf(messageKinds.held, [encodeHeld(said)]),
  ];
  return {
    index,
    digest: sha256(Buffer.from(`batch ${index}`)),
    tsMs: 1000 + index,
    payloads: [{ author: Author(0), segments, tickets: [0, 0] }],
  };
}

describe("a long execution lets others have their turn", () => {
  const path = fc
    .array(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1, maxLength: 3 })
    .map((names) => names.join("/"));
  const list = fc.tuple(fc.uniqueArray(path, { minLength: 1, maxLength: 20 }), fc.boolean());

  test("property: however little is done at once, the same comes of it, in the same order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(list, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 15 }),
        (batches, workAtOnce) => {
          const [whole, sliced] = [new Host(Number.MAX_SAFE_INTEGER), new Host(workAtOnce)];
          for (const [i, lists] of batches.entries()) {
            const updates = lists.map(([paths, isDeleting]) => publishing(paths, isDeleting));
            const batch = batchOf(i + 1, updates);
            for (const host of [whole, sliced]) {
              for (const { bytes } of updates) host.changes.set(changesDigest(bytes), bytes);
              // What comes while one is being executed waits.
              host.take(host.executor.accept(batch));
            }
          }
          whole.finish();
          sliced.finish();
          assert.equal(whole.pauses, 0);
          assert.ok(sliced.pauses > 0);
          const seen = (host: Host): unknown[] =>
            host.effects.filter(({ type }) => type !== "accepted");
          assert.deepEqual(seen(sliced), seen(whole));
          assert.deepEqual(encodeState(sliced.executor.state), encodeState(whole.executor.state));
          assert.deepEqual(new Map([...sliced.data].sort()), new Map([...whole.data].sort()));
        },
      ),
    );
  });

  test("nothing of a batch is there before all of it is, and a list that went missing meanwhile is asked for", () => {
    const host = new Host(10);
    const update = publishing(["a", "b/c", "b/d"], false);
    assert.ok(host.take(host.executor.accept(batchOf(1, [update]))));
    for (let left = true; left; ) {
      assert.equal(host.executor.state.commit.index, 0);
      assert.equal(host.data.size, 0);
      left = host.take(host.executor.run());
    }
    assert.deepEqual(
      host.effects.map(({ type }) => type),
      ["accepted", "changes-needed"],
    );
    host.changes.set(changesDigest(update.bytes), update.bytes);
    host.finish();
    assert.equal(host.executor.state.height, 1);
  });
});
