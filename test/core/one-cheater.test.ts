import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Inbox } from "../../src/app/host/inbox.ts";
import { CommitVotes } from "../../src/core/acceptance/dag/commit-votes.ts";
import { fitsPayload, PayloadQueue } from "../../src/core/acceptance/dag/payload-queue.ts";
import { WaitingRoom } from "../../src/core/acceptance/dag/waiting-room.ts";
import {
  type AcceptedBatch,
  encodePayload,
  genesisRef,
  payloadShape,
  type Ref,
  refKey,
  type Segment,
  segmentOf,
  type VerifiedBlock,
  verifyBlock,
} from "../../src/core/acceptance/index.ts";
import { Author, Digest, limits, Round } from "../../src/core/base/index.ts";
import { read } from "../../src/core/codec/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { Executor } from "../../src/core/host/executor.ts";
import {
  dagConfigOf,
  encodeMessage,
  type HostInput,
  initialState,
  mirrorConfigOf,
} from "../../src/core/host/index.ts";
import {
  changesDigest,
  encodeChanges,
  encodeHeld,
  messageKinds,
  signUpdate,
} from "../../src/core/mirror/index.ts";
import { configOf, forge, fullRounds, machineOf, ownFirst, pushed } from "../support/dag-forge.ts";
import { ruleOf } from "../support/dag-world.ts";
import { Driven, drivenWorld } from "../support/driven.ts";
import { blockOf } from "../support/evidence-cast.ts";

// Each test is a thing that one cheating writer of four can do, and what it may come to.

const config = configOf(ruleOf("three", 4, 1));
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

let invention = 0;
const invented = (round: number, author: number): Ref => ({
  round: Round(round),
  author: Author(author),
  digest: Digest(sha256(Buffer.from(`${round} ${author} ${invention++}`))),
});
/** A valid block upon parents that nobody made. */
const junk = (author: number, round: number): VerifiedBlock => {
  const others = [0, 1, 2, 3].filter((other) => other !== author);
  const parents = [author, ...others].map((other) => invented(round - 1, other));
  return forge(config, { author, round, parents });
};

describe("numbers that a cheater names", () => {
  const far = 2 ** 32 - 1;
  const below = [0, 1, 2].map((author) => invented(far - 1, author));
  const farBlock = forge(config, {
    author: 3,
    round: far,
    parents: [genesisRef(config, Author(3)), ...below],
  });

  test("a block of the last round upon genesis is dropped, and nothing is looped over", () => {
    const machine = machineOf(config, 0);
    for (const block of fullRounds(config, 5).flat()) machine.step(pushed(block), 1);
    const effects = machine.step(pushed(farBlock), 2);
    assert.ok(effects.some((e) => e.type === "dropped" && e.code === "FAR_FUTURE"));
    assert.deepEqual(machine.passedOver(farBlock), [], "what was dropped says nothing");
    assert.deepEqual(machine.inventory(far), []);
  });

  test("where it waits, only blocks that are here are passed over", () => {
    const machine = machineOf(config, 0);
    const rounds = fullRounds(config, 3);
    for (const block of rounds.flat()) machine.step(pushed(block), 1);
    const parents = [genesisRef(config, Author(3)), ...[0, 1, 2].map((a) => invented(9, a))];
    const over = forge(config, { author: 3, round: 10, parents });
    machine.step(pushed(over), 2);
    assert.equal(machine.sizes.waiting, 1);
    const own = rounds.flat().filter(({ ref }) => ref.author === 3);
    assert.deepEqual(
      machine.passedOver(over),
      own.map(({ ref }) => ref),
    );
  });

  test("votes of f writers, however far, make nobody lag", () => {
    const votes = new CommitVotes(4, 2);
    const voting = (author: number, index: number, digest: string): VerifiedBlock => {
      const parents = fullRounds(config, 1)[0]?.map(({ ref }) => ref) ?? [];
      const commitVotes = [{ index, digest: Digest(digest.repeat(32)) }];
      return forge(config, { author, round: 2, parents: ownFirst(parents, author), commitVotes });
    };
    votes.observe(voting(3, Number.MAX_SAFE_INTEGER, "ee"));
    assert.equal(votes.endorsedIndex, 0);
    votes.observe(voting(1, 7, "aa"));
    assert.equal(votes.endorsedIndex, 7, "what an honest one may have");
    const certified = (): number | undefined => votes.certified?.index;
    assert.equal(certified(), undefined, "two digests certify nothing");
    votes.observe(voting(2, 7, "aa"));
    assert.equal(certified(), 7, "f+1 equal votes do, whoever withholds his");
    assert.equal(votes.size, 0, "votes far beyond are not kept");
  });

  test("a block of the far future is no sign of life", () => {
    const driven = new Driven(0).meet();
    const others = [1, 2];
    const segment = segmentOf(0, [Buffer.from("work")]);
    const farOfCast = blockOf(cast, {
      author: 3,
      round: 1_000_000,
      change: {
        parents: [
          genesisRef(cast.court.dag, Author(3)),
          ...below.map((r) => ({ ...r, round: Round(999_999) })),
        ],
      },
    });
    driven.hear(3, { type: "block", wire: farOfCast.wire });
    let parents = [0, 1, 2, 3].map((author) => genesisRef(cast.court.dag, Author(author)));
    for (let round = 1; round < 60; round++) {
      driven.step({ type: "submit", ticket: round, segment });
      driven.wait(300);
      const own = driven.ownBlocks.at(-1);
      assert.ok(own?.ref.round === round, `round ${round} of ${own?.ref.round}`);
      const blocks = others.map((author) =>
        blockOf(cast, { author, round, change: { parents: ownFirst(parents, author) } }),
      );
      for (const [i, block] of blocks.entries())
        driven.hear(others[i] ?? 0, { type: "block", wire: block.wire });
      const refs = blocks.map((block) => {
        const verified = verifyBlock(block.wire, cast.court.dag, cast.verifier);
        assert.ok(verified.ok, verified.ok ? "" : verified.error.detail);
        return verified.value.ref;
      });
      parents = [own.ref, ...refs];
    }
    const opinion = driven.host.vitals.opinions.find(({ about }) => about === 3)?.opinion;
    assert.notEqual(opinion, "ok", "who only sent a block of the far future is silent");
  });
});

describe("room that a cheater fills", () => {
  const block = (author: number, round: number, parents: readonly Ref[]): VerifiedBlock =>
    forge(config, { author, round, parents: ownFirst(parents, author) });

  test("what another writer's block needs waits, though its author's own room is full of lower rounds", () => {
    const gone: string[] = [];
    const room = new WaitingRoom(4, (ref) => gone.push(refKey(ref)));
    for (let i = 0; i < 400; i++) {
      const one = junk(3, 2 + (i % 3));
      room.park(one, one.header.parents);
    }
    assert.ok(room.fullness <= 1 && gone.length > 100, "junk is bounded");
    // An honest block needs one of the cheater's, which needs another one, and so on down.
    let parents = [0, 1, 2, 3].map((author) => invented(20, author));
    const chain: VerifiedBlock[] = [];
    for (let round = 21; round < 40; round++) {
      const own = block(3, round, parents);
      chain.push(own);
      parents = [own.ref, ...[0, 1, 2].map((author) => invented(round, author))];
    }
    const honest = block(1, 40, parents);
    for (const next of [honest, ...chain.toReversed()]) {
      room.park(next, next.header.parents);
      assert.ok(room.has(refKey(next.ref)), `round ${next.ref.round} is parked`);
    }
    assert.ok(
      room.missing().some((ref) => ref.round === 20),
      "what is missing below is asked for",
    );
    for (let i = 0; i < 400; i++) {
      const one = junk(3, 2 + (i % 3));
      room.park(one, one.header.parents);
    }
    for (const next of [honest, ...chain]) assert.ok(room.has(refKey(next.ref)), "and it stays");
  });

  test("missing blocks are asked for in turn, for the sake of each author", () => {
    const room = new WaitingRoom(4, () => undefined);
    for (let i = 0; i < 140; i++) {
      const one = junk(3, 2);
      room.park(one, one.header.parents);
    }
    const honest = junk(1, 50);
    room.park(honest, honest.header.parents);
    const first = room.missing().slice(0, limits.fetchRefsMax).map(refKey);
    for (const parent of honest.header.parents)
      assert.ok(first.includes(refKey(parent)), "among the first that are asked for");
  });

  test("a block that only one honest host was shown reaches the others by inventory", () => {
    const rounds = fullRounds(config, 3);
    const [informed, stuck] = [machineOf(config, 0), machineOf(config, 1)];
    const secret = rounds[2]?.[3];
    assert.ok(secret !== undefined);
    for (const one of rounds.flat()) {
      informed.step(pushed(one), 1);
      if (one !== secret) stuck.step(pushed(one), 1);
    }
    stuck.step({ type: "inventory", refs: informed.inventory(1), from: Author(0) }, 2);
    assert.deepEqual(stuck.missing(), [secret.ref]);
    stuck.step({ type: "block", block: secret, from: Author(0), how: "fetched" }, 3);
    assert.ok(stuck.block(secret.ref) !== undefined);
    assert.deepEqual(stuck.missing(), []);
  });

  test("a peer names a bounded number of blocks, and what it named before is forgotten", () => {
    const machine = machineOf(config, 0);
    for (let i = 0; i < 20; i++) {
      const refs = Array.from({ length: limits.inventoryRefsMax }, (_, k) =>
        invented(1 + (k % 400), k % 4),
      );
      machine.step({ type: "inventory", refs, from: Author(3) }, i);
    }
    assert.ok(machine.missing().length <= 4 * limits.fetchRefsMax);
  });
});

describe("frames that a cheater sends", () => {
  const message = (peer: number, length: number): HostInput => ({
    type: "message",
    peer: Author(peer),
    frame: new Uint8Array(length),
  });

  test("a frame costs what it takes here: two bytes are not cheap", () => {
    const inbox = new Inbox();
    for (let i = 0; i < 1000; i++) inbox.push(message(3, 2));
    assert.equal(inbox.waiting(Author(3)), 1000 * (limits.frameOverheadBytes + 2));
    assert.equal(inbox.waiting(Author(1)), 0);
    while (!inbox.isEmpty) inbox.take();
    assert.equal(inbox.waiting(Author(3)), 0);
  });

  test("peers are served in turn, and this host's own doings with them", () => {
    const inbox = new Inbox();
    for (let i = 0; i < 100_000; i++) inbox.push(message(3, 2));
    inbox.push(message(1, 9));
    inbox.push({ type: "tick" });
    inbox.push(message(1, 10));
    const taken = inbox.take();
    const place = (test: (input: HostInput) => boolean): number => taken.findIndex(test);
    assert.ok(place((input) => input.type === "message" && input.frame.length === 9) <= 2);
    assert.ok(place((input) => input.type === "message" && input.frame.length === 10) <= 5);
    assert.ok(place(({ type }) => type === "tick") <= 2);
    assert.ok(taken.length < 100, `one turn takes ${taken.length} of a flood`);
  });

  test("of each line the order stays", () => {
    const inbox = new Inbox();
    for (let i = 1; i <= 500; i++) for (const peer of [1, 2]) inbox.push(message(peer, i));
    const seen = new Map<number, number[]>();
    while (!inbox.isEmpty)
      for (const input of inbox.take())
        if (input.type === "message")
          seen.set(input.peer, [...(seen.get(input.peer) ?? []), input.frame.length]);
    for (const lengths of seen.values())
      assert.deepEqual(
        lengths,
        Array.from({ length: 500 }, (_, i) => i + 1),
      );
  });

  test("small questions are answered so often, and no oftener", () => {
    const driven = new Driven(0).meet();
    for (let i = 0; i < 2000; i++) driven.hear(3, { type: "probe" });
    const answers = driven.said.filter(({ type }) => type === "probed").length;
    assert.ok(answers > 0 && answers <= 64, `${answers} answers`);
    assert.ok(driven.drops.includes("TOO_OFTEN"));
    const [link] = driven.effects.filter(({ type }) => type === "disconnect");
    assert.equal(link, undefined, "asking is no fault");
  });
});

describe("a host's own blocks are valid, whatever waits", () => {
  const segments = fc.record({
    kind: fc.constantFrom(0, 0, 2, 4, 5),
    count: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1000, max: 5000 })),
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
    payload.length <= limits.payloadBytesMax && read(payload, payloadShape, "payload").ok;

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

describe("a group that a host has left", () => {
  test("it cosigns nothing of it any more, nor signs, whatever it is told of itself", () => {
    const joined = { group: network.group, size: 6, plan: Digest("ab".repeat(32)) };
    const guard = { round: 3, checkpoint: { size: 0, root: new Uint8Array(32) }, joined };
    const driven = new Driven(0, { guard });
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
    assert.equal(driven.said.filter(({ type }) => type === "cosignature").length, 0);
    assert.equal(driven.effects.filter(({ type }) => type === "guard-round").length, 0);
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

test("encodings of small questions are what a flood is made of", () => {
  assert.equal(encodeMessage({ type: "probe" }).length, 2);
});
