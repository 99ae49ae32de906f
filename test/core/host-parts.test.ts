import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planOf, World } from "../../sim/index.ts";
import { Author, Digest, Prng, Round } from "../../src/core/base/index.ts";
import type { AcceptedBatch } from "../../src/core/consensus/index.ts";
import { cosign, leaseOf, verifyNote } from "../../src/core/crypto/index.ts";
import { BlockSynchronizer } from "../../src/core/dag/block-synchronizer.ts";
import { CrashRecovery } from "../../src/core/dag/crash-recovery.ts";
import type { Ref } from "../../src/core/dag/index.ts";
import { StateTransfer } from "../../src/core/dag/state-transfer.ts";
import type { DueRecord } from "../../src/core/mirror/index.ts";
import {
  type CosignEffect,
  Cosigning,
  type SizedCosignature,
} from "../../src/core/replica/cosigning.ts";
import { Executor } from "../../src/core/replica/executor.ts";
import { initialState, mirrorConfigOf } from "../../src/core/replica/index.ts";

const refOf = (round: number, author: number): Ref => ({
  round: Round(round),
  author: Author(author),
  digest: Digest("ab".repeat(32)),
});

describe("safe return (dag.md §12)", () => {
  const seesAll = (): boolean => true;
  const returning = (claims: readonly (readonly [number, number, number])[]): CrashRecovery => {
    const back = new CrashRecovery(3, true);
    for (const [peer, mine, theirs] of claims)
      back.claim(Author(peer), { mine: refOf(mine, 0), theirs: refOf(theirs, peer) });
    return back;
  };

  test("it waits for a quorum of answers, and one peer has one", () => {
    const back = returning([
      [1, 4, 9],
      [2, 4, 9],
      [2, 4, 9],
    ]);
    assert.equal(back.resume(seesAll), undefined);
    assert.ok(back.isOpen);
    back.claim(Author(3), { mine: undefined, theirs: undefined });
    assert.equal(back.resume(seesAll), 11);
    assert.ok(!back.isOpen);
  });

  test("two rounds above everything that anybody has, own blocks included", () => {
    const claims = [
      [1, 4, 9],
      [2, 17, 8],
      [3, 5, 3],
    ] as const;
    assert.equal(returning(claims).resume(seesAll), 19);
  });

  test("a peer whose newest block this host has not seen does not count yet", () => {
    const back = returning([
      [1, 4, 9],
      [2, 4, 9],
      [3, 4, 90],
    ]);
    assert.equal(
      back.resume((ref) => ref.round < 50),
      undefined,
    );
    assert.equal(back.resume(seesAll), 92);
  });
});

test("answers that a peer owes are bounded, and end with its link", () => {
  const gaps = new BlockSynchronizer(new Prng(1));
  const peer = Author(1);
  const ask = (round: number): void => {
    const ref = refOf(round, 2);
    gaps.named([ref], peer);
    assert.equal(gaps.requests([ref], new Set([peer]), round * 1000).length, 1);
  };
  const owed = (): number => {
    let count = 0;
    while (gaps.takeOwed(peer)) count++;
    return count;
  };
  for (let round = 1; round <= 500; round++) ask(round);
  for (let i = 0; i < 500; i++) gaps.askedAll();
  assert.equal(owed(), 128, "64 of its own, and 64 that were asked of all");
  ask(501);
  gaps.askedAll();
  gaps.forget(peer);
  assert.equal(owed(), 0);
});

describe("catching up (dag.md §11)", () => {
  const state = (reachable: readonly number[]) => ({
    lastIndex: 10,
    endorsedIndex: 500,
    reachable: new Set(reachable.map(Author)),
  });

  test("an answer is owed once, by the one that was asked, though it comes late", () => {
    const stateTransfer = new StateTransfer(new Prng(1));
    assert.equal(stateTransfer.takeOwed(Author(2)), false);
    assert.equal(stateTransfer.next(state([2]), 1000), 2);
    assert.equal(stateTransfer.takeOwed(Author(1)), false);
    assert.equal(stateTransfer.next(state([1, 2]), 5000), 1, "who let it wait is not asked next");
    assert.equal(stateTransfer.takeOwed(Author(2)), true);
    assert.equal(stateTransfer.takeOwed(Author(2)), false);
  });

  test("a peer that says that it is ahead, and is not, is asked itself, three times in its life", () => {
    const stateTransfer = new StateTransfer(new Prng(1));
    const alone = { lastIndex: 10, endorsedIndex: 10, reachable: new Set([1, 2, 3].map(Author)) };
    let [nowMs, questions] = [1000, 0];
    for (let link = 0; link < 20; link++) {
      stateTransfer.hint(Author(3), Number.MAX_SAFE_INTEGER);
      for (let i = 0; i < 200; i++, nowMs += 100) {
        const peer = stateTransfer.next(alone, nowMs);
        if (peer === undefined) continue;
        questions++;
        assert.equal(peer, 3, "nobody else is asked for what only one says");
      }
      stateTransfer.forget(Author(3));
    }
    assert.equal(questions, 3);
    assert.equal(stateTransfer.isFarBehind(10), false);
    stateTransfer.hint(Author(2), 500);
    assert.ok(stateTransfer.isFarBehind(10), "another peer is believed");
  });

  test("who brings one commit after long, while the others are far beyond, is asked after the others", () => {
    const stateTransfer = new StateTransfer(new Prng(1));
    let [lastIndex, nowMs] = [10, 1000];
    const asked: number[] = [];
    for (let i = 0; i < 30; i++, nowMs += 10) {
      const now = { ...state([1, 2, 3]), lastIndex, endorsedIndex: 100_000 };
      const peer = stateTransfer.next(now, nowMs);
      if (peer === undefined || !stateTransfer.takeOwed(peer)) continue;
      asked.push(peer);
      nowMs += peer === 3 ? 2900 : 50;
      lastIndex += peer === 3 ? 1 : 400;
      stateTransfer.answered(peer, lastIndex, nowMs);
    }
    assert.ok(asked.length > 20 && asked.filter((peer) => peer === 3).length <= 1, `${asked}`);
  });

  test("who is asked in vain is asked after the others; who helps is as good as new", () => {
    const stateTransfer = new StateTransfer(new Prng(1));
    const asked: (number | undefined)[] = [];
    for (let i = 0; i < 30; i++) {
      const nowMs = 1000 + 4000 * i;
      const peer = stateTransfer.next({ ...state([1, 2, 3]), lastIndex: 10 + i }, nowMs);
      asked.push(peer);
      if (peer !== undefined && peer !== 3 && stateTransfer.takeOwed(peer))
        stateTransfer.answered(peer, 11 + i);
    }
    assert.ok(asked.filter((peer) => peer === 3).length <= 1, `${asked}`);
  });

  test("with nobody to ask it does not wake without a pause", () => {
    const stateTransfer = new StateTransfer(new Prng(1));
    for (const nowMs of [1000, 2000, 90_000]) {
      assert.equal(stateTransfer.next(state([]), nowMs), undefined);
      assert.ok((stateTransfer.wakeAtMs(nowMs) ?? 0) >= nowMs + 20);
    }
  });
});

describe("cosigning (dag.md §13)", () => {
  const world = new World(planOf(1, { n: 4 }));
  const { network, signatures } = world;
  const { verifier } = signatures;
  const root = Buffer.alloc(32, 1);
  const rival = Buffer.alloc(32, 2);
  const due = (size: number, of: Uint8Array = root): DueRecord =>
    ({ size, root: of, height: 1, tsMs: 1 }) as unknown as DueRecord;

  const cosigning = (guardSize = 0): Cosigning =>
    new Cosigning({
      leaseEveryMs: 60_000,
      network,
      verifier,
      self: { author: Author(0), signer: signatures.signer("w0 cosign") },
      guard: { size: guardSize, root },
    });

  function by(
    author: number,
    size: number,
    { root: of = root, timeS = 7 }: { readonly root?: Uint8Array; readonly timeS?: number } = {},
  ): SizedCosignature {
    const signer = signatures.signer(`w${author} cosign`);
    const checkpoint = { origin: network.origin, size, root: of };
    const { signature } = cosign(checkpoint, { name: `w${author}`, signer, timeS });
    return { size, root: of, timeS, signature };
  }

  const types = (effects: readonly CosignEffect[]): string[] => effects.map(({ type }) => type);

  test("certified by a quorum of writers, each once, early ones included", () => {
    const some = cosigning();
    assert.deepEqual(some.onCosignature(Author(1), by(1, 5)), [], "before this host is there");
    assert.deepEqual(types(some.onDue(due(5), 1000)), ["guard-checkpoint", "cosigned"]);
    assert.deepEqual(some.onCosignature(Author(1), by(1, 5)), []);
    const effects = some.onCosignature(Author(2), by(2, 5));
    assert.deepEqual(types(effects), ["certified"]);
    const [certified] = effects;
    assert.ok(certified?.type === "certified");
    const { origin, cosigners, quorum } = network;
    assert.ok(verifyNote(certified.note, { origin, cosigners, quorum, verifier }).ok);
  });

  test("the lease is the time at which a whole quorum vouched, and is renewed by any of them", () => {
    const some = cosigning();
    assert.equal(some.renewAtMs, Number.POSITIVE_INFINITY, "nothing is certified");
    some.onDue(due(5), 10_000);
    some.onCosignature(Author(1), by(1, 5));
    some.onCosignature(Author(2), by(2, 5, { timeS: 9 }));
    assert.equal(some.renewAtMs, 70_000);
    assert.deepEqual(some.renew(69_999), []);
    assert.deepEqual(types(some.onCosignature(Author(1), by(1, 5))), [], "nothing new");
    assert.deepEqual(types(some.renew(70_000)), ["guard-checkpoint", "cosigned"]);
    const late = by(3, 5, { timeS: 5000 });
    assert.deepEqual(types(some.onCosignature(Author(3), late)), [], "one clock is no quorum");
    const forged = { ...by(2, 5, { timeS: 80 }), timeS: 90 };
    assert.deepEqual(types(some.onCosignature(Author(2), forged)), []);
    const [renewed] = some.onCosignature(Author(1), by(1, 5, { timeS: 68 }));
    assert.ok(renewed?.type === "certified" && renewed.due.size === 5);
    assert.equal(leaseOf(renewed.note, network.quorum), 68);
    const verified = verifyNote(renewed.note, { ...network, verifier });
    assert.ok(verified.ok && verified.value.leaseS === 68 && verified.value.newestS === 5000);
    assert.deepEqual(types(some.onCosignature(Author(1), by(1, 5, { timeS: 69 }))), []);
    const two = some.onCosignature(Author(1), by(1, 5, { root: rival }));
    assert.deepEqual(types(two), ["contradiction"], "also when it is certified already");
  });

  test("a size is signed once, and never a smaller one", () => {
    assert.deepEqual(types(cosigning(5).onDue(due(5), 1)), ["guard-checkpoint", "cosigned"]);
    assert.deepEqual(cosigning(5).onDue(due(5, rival), 1), []);
    assert.deepEqual(cosigning(5).onDue(due(4), 1), []);
  });

  test("another root is told and does not count; two roots of one writer are a proof", () => {
    const some = cosigning();
    some.onDue(due(5), 1);
    assert.deepEqual(types(some.onCosignature(Author(1), by(1, 5, { root: rival }))), [
      "other-root",
    ]);
    assert.deepEqual(types(some.onCosignature(Author(2), by(2, 5))), []);
    assert.deepEqual(types(some.onCosignature(Author(1), by(1, 5))), ["contradiction"]);
    assert.deepEqual(types(some.onCosignature(Author(3), by(3, 5))), ["certified"]);
  });

  test("what another writer signed is not one's own", () => {
    const some = cosigning();
    some.onDue(due(5), 1);
    for (const author of [1, 2, 3])
      assert.deepEqual(some.onCosignature(Author(author), by((author % 3) + 1, 5)), []);
  });
});

test("a batch that the state has already, or that waits, is not executed again", () => {
  const { network, signatures } = new World(planOf(1, { n: 4 }));
  const view = { get: () => undefined, changes: () => undefined };
  const config = mirrorConfigOf(network, signatures.verifier);
  const executor = new Executor(initialState(network), config, view);
  const batch = (index: number): AcceptedBatch => ({
    index,
    digest: Digest("ab".repeat(32)),
    tsMs: network.genesis.timeMs + index,
    payloads: [],
  });
  assert.ok(executor.accept(batch(1)).some(({ type }) => type === "executed"));
  assert.deepEqual(executor.accept(batch(1)), []);
  assert.ok(executor.accept(batch(2)).length > 0);
  assert.equal(executor.state.commit.index, 2);
});
