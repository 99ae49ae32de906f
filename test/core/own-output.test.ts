import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author, Digest, Height, limits } from "../../src/core/base/index.ts";
import {
  type AcceptedBatch,
  encodePayload,
  fitsPayload,
  messagesOf,
  readPayload,
  type Segment,
  segmentOf,
} from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { dagConfigOf, verifyBlock } from "../../src/core/dag/index.ts";
import { PayloadQueue } from "../../src/core/dag/payload-queue.ts";
import {
  changesDigest,
  encodeChanges,
  encodeHeld,
  messageKinds,
  signUpdate,
} from "../../src/core/mirror/index.ts";
import { Executor } from "../../src/core/replica/executor.ts";
import { initialState, mirrorConfigOf } from "../../src/core/replica/index.ts";
import { Driven, drivenWorld } from "../support/driven.ts";
import { blockOf } from "../support/evidence-cast.ts";

const { network, signatures } = drivenWorld;
const cast = {
  network,
  signer: signatures.signer,
  verifier: signatures.verifier,
  court: { network, dag: dagConfigOf(network), verifier: signatures.verifier },
};
/** An update that three writers say they hold, as it is ordered; its change list is here or not. */
function heldUpdate(): { ordered: AcceptedBatch["payloads"]; changes: string; bytes: Uint8Array } {
  const signer = signatures.signer("publisher");
  const leaf = { kind: "link", target: "x" } as const;
  const changes = [{ path: "a", leaf, expect: "anything" } as const];
  const bytes = encodeChanges({ tree: "alpha", baseHeight: 0, changes });
  const digest = changesDigest(bytes);
  const update = signUpdate(
    {
      group: network.group,
      publisher: signer.publicKey,
      tree: "alpha",
      changes: { digest, bytes: bytes.length },
      nonce: "ab".repeat(16),
    },
    signer,
  );
  const ordered = [0, 1, 2].map((author) => ({
    author: Author(author),
    segments: [
      segmentOf(messageKinds.update, [update.wire]),
      segmentOf(messageKinds.held, [encodeHeld([update.id])]),
    ],
    tickets: [],
  }));
  return { ordered, changes: digest, bytes };
}

describe("a host's own blocks are valid, whatever waits", () => {
  const messages = limits.protocolMessagesMax;
  const segments = fc.record({
    kind: fc.constantFrom(0, 0, 2, 4, 5),
    count: fc.oneof(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: messages / 4, max: messages + 100 }),
    ),
    bytes: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 5000 })),
    isNewest: fc.boolean(),
  });
  const segmentFrom = (draw: { kind: number; count: number; bytes: number }): Segment => {
    const message = new Uint8Array(draw.bytes);
    return segmentOf(
      draw.kind,
      Array.from({ length: draw.count }, () => message),
    );
  };

  test("any queue, taken and put back in any way, makes payloads that all accept", () => {
    fc.assert(
      fc.property(fc.array(segments, { maxLength: 40 }), fc.array(fc.boolean()), (draws, backs) => {
        const queue = new PayloadQueue();
        const pushed: number[] = [];
        for (const [i, draw] of draws.entries()) {
          const segment = segmentFrom(draw);
          if (!fitsPayload(segment)) continue;
          const isNewest = draw.isNewest && draw.kind >= 4;
          queue.push({ ticket: i + 1, segment, isNewest });
          if (!isNewest) pushed.push(i + 1);
        }
        const taken: number[] = [];
        for (let k = 0; !queue.isEmpty; k++) {
          const some = queue.take();
          assert.ok(some.length > 0, "it never comes to a stop");
          const payload = encodePayload(some.map(({ segment }) => segment));
          assert.ok(isValid(payload), "a payload that others refuse");
          if (backs[k] === true) queue.unshift(some);
          else taken.push(...some.filter(({ isNewest }) => !isNewest).map(({ ticket }) => ticket));
        }
        assert.deepEqual(taken, pushed, "all of it, in its order");
        assert.equal(queue.bytes, 0);
      }),
      { numRuns: 60 },
    );
  });

  const isValid = (payload: Uint8Array): boolean =>
    payload.length <= limits.payloadBytesMax && readPayload(payload).ok;

  test("proofs at their limit are handed in as many payloads as they need", () => {
    const driven = new Driven(0).meet();
    for (let i = 0; i < limits.evidencePerHostMax + 4; i++) {
      const payload = Buffer.alloc(limits.evidenceBytesMax - 2000 + i, 0xff);
      driven.hear(3, {
        type: "block",
        wire: blockOf(cast, { author: 3, round: i + 1, payload }).wire,
      });
    }
    driven.wait(30_000);
    assert.ok(driven.ownBlocks.length > 0, "it goes on");
    for (const own of driven.ownBlocks)
      assert.ok(verifyBlock(own.wire, cast.court.dag, cast.verifier).ok);
    const known = driven.effects.filter(({ type }) => type === "evidence").length;
    assert.equal(known, limits.evidencePerHostMax, "so many of one writer, and no more");
  });

  test("a short proof goes first, however many long ones were found before", () => {
    const driven = new Driven(0).meet();
    const bad = (round: number, bytes: number): void => {
      const payload = Buffer.alloc(bytes, 0xff);
      driven.hear(3, { type: "block", wire: blockOf(cast, { author: 3, round, payload }).wire });
    };
    for (let round = 1; round <= 8; round++) bad(round, limits.evidenceBytesMax - 2000);
    bad(9, 10);
    const segment = driven.host.accountability?.proofs.due(driven.nowMs + 60_000);
    assert.ok(segment !== undefined);
    const [first] = messagesOf(segment);
    assert.ok(first !== undefined && first.length < 2000, `${first?.length} bytes come first`);
    assert.equal(
      driven.host.accountability?.proofs.due(driven.nowMs + 60_100),
      undefined,
      "the next one does not take its place",
    );
  });

  test("what is said again while nothing is ordered takes the place of what was said before", () => {
    const driven = new Driven(0).meet();
    const payload = Buffer.alloc(50_000, 0xff);
    driven.hear(3, { type: "block", wire: blockOf(cast, { author: 3, round: 1, payload }).wire });
    driven.wait(10_000);
    const early = driven.host.vitals.pendingBytes;
    driven.wait(600_000, 1000);
    const { pendingBytes } = driven.host.vitals;
    assert.ok(pendingBytes <= early + 60_000, `${pendingBytes} bytes wait after ten minutes`);
  });
});

test("a payload of more items than any valid one has is refused before it is decoded", () => {
  const items = Buffer.concat([Buffer.from([0x9a, 0, 1, 0, 0]), Buffer.alloc(65_536)]);
  const read = readPayload(items);
  assert.equal(read.ok ? "" : read.error.code, "TOO_MANY_ITEMS");
});

describe("a group that a host has left", () => {
  test("it cosigns nothing of it any more, nor signs, whatever it is told of itself", () => {
    const joined = { group: network.group, size: 6, plan: Digest("ab".repeat(32)) };
    const guard = { place: 3, checkpoint: { size: 0, root: new Uint8Array(32) }, joined };
    const root = new Uint8Array(32).fill(1);
    const due = { size: 3, root, height: Height(1), commit: 1 };
    // A host that has not left vouches for its last checkpoint at each start.
    const { joined: _, ...stays } = guard;
    const staying = new Driven(0, { guard: stays, due }).meet();
    assert.ok(staying.said.some(({ type }) => type === "cosignature"));
    const driven = new Driven(0, { guard, due });
    const newest = blockOf(cast, { author: 0, round: 9 });
    driven.meet({
      type: "hello",
      group: network.group,
      epoch: network.epoch,
      fromRound: 0,
      lastCommit: 0,
      newestOfYou: newest.signed,
      newestOfMe: undefined,
    });
    driven.step({ type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("x")]) });
    driven.wait(20_000);
    assert.deepEqual(driven.ownBlocks, []);
    assert.equal(driven.host.vitals.isSigning, false);
    assert.equal(driven.said.filter(({ type }) => type === "cosignature").length, 0);
    assert.equal(driven.records.filter(({ type }) => type === "guard").length, 0);
  });
});

describe("a change list that does not come", () => {
  test("batches that wait keep a bounded room in memory, and are read back in their order, once", () => {
    const base = initialState(network);
    const first = heldUpdate();
    const here = new Map<string, Uint8Array>();
    const executor = new Executor(base, mirrorConfigOf(network, cast.verifier), {
      get: () => undefined,
      changes: (digest) => here.get(digest),
    });
    const log: AcceptedBatch[] = [];
    const batch = (payloads: AcceptedBatch["payloads"]): AcceptedBatch => {
      const index = base.commit.index + log.length + 1;
      const made = {
        index,
        digest: Digest(sha256(Buffer.from(`${index}`))),
        tsMs: base.tsMs + index,
        payloads,
      };
      log.push(made);
      return made;
    };
    const told: number[] = [];
    const asked: { after: number; until: number }[] = [];
    const take = (effects: ReturnType<Executor["run"]>): void => {
      for (const effect of effects) {
        if (effect.type === "executed") told.push(effect.commit);
        if (effect.type === "batches-needed") asked.push(effect);
      }
    };
    take(executor.accept(batch(first.ordered)));
    const filler = segmentOf(0, [new Uint8Array(60_000)]);
    for (let i = 0; i < 2000; i++)
      take(executor.accept(batch([{ author: Author(1), segments: [filler], tickets: [i] }])));
    assert.ok(executor.backlogBytes < 40 * 1024 * 1024, `${executor.backlogBytes} bytes in memory`);
    assert.equal(executor.backlog, 2001);
    here.set(first.changes, first.bytes);
    take(executor.run());
    for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
      const { after, until } = next;
      take(executor.acceptAgain(log.filter(({ index }) => index > after && index <= until)));
    }
    assert.deepEqual(
      told,
      log.map(({ index }) => index),
    );
    assert.equal(executor.backlog, 0);
  });
});
