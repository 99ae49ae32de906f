import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeMessage } from "../../sim/index.ts";
import { Inbox } from "../../src/app/loop/inbox.ts";
import { Author, Digest, limits, Round } from "../../src/core/base/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { CommitVotes } from "../../src/core/dag/commit-votes.ts";
import { type Entry, entryOf } from "../../src/core/dag/entry.ts";
import { Graph } from "../../src/core/dag/graph.ts";
import {
  dagConfigOf,
  genesisRef,
  type Ref,
  refKey,
  type VerifiedBlock,
  verifyBlock,
} from "../../src/core/dag/index.ts";
import { linearize } from "../../src/core/dag/linearize.ts";
import { WaitingRoom } from "../../src/core/dag/waiting-room.ts";
import type { HostInput } from "../../src/core/replica/index.ts";
import {
  configOf,
  forge,
  freshRecovery,
  fullRounds,
  genesisParents,
  machineOf,
  ownFirst,
  pushed,
} from "../support/dag-forge.ts";
import { ruleOf } from "../support/dag-world.ts";
import { Driven, drivenWorld, plainHello } from "../support/driven.ts";
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
    assert.deepEqual(machine.blocks.passedOver(farBlock), [], "what was dropped says nothing");
    assert.deepEqual(machine.blocks.inventory(far), []);
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
      machine.blocks.passedOver(over),
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

test("a commit orders so many blocks and bytes at most, the lowest rounds first", () => {
  const rounds = fullRounds(config, 6);
  const graph = new Graph<Entry>();
  for (const one of rounds.flat()) graph.add(entryOf(one));
  const [leader] = graph.atSlot(6, Author(0));
  assert.ok(leader !== undefined);
  const ordered = (blocksMax: number, bytesMax: number): number[] =>
    linearize(graph, leader, {
      horizon: 0,
      isOrdered: () => false,
      bytesOf: () => 100,
      blocksMax,
      bytesMax,
    }).map(({ ref }) => ref.round);
  assert.equal(ordered(1000, 1e9).length, 21);
  assert.deepEqual(ordered(6, 1e9), [1, 1, 1, 1, 2, 2]);
  assert.deepEqual(ordered(1000, 550), [1, 1, 1, 1, 2]);
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

  test("of what waits for the sake of one author the lowest rounds stay, whatever came first", () => {
    const room = new WaitingRoom(4, () => undefined);
    const parked = Array.from({ length: 400 }, (_, i) => junk(1, i % 2 === 0 ? 500 - i : 100 + i));
    for (const one of parked) room.park(one, one.header.parents);
    const here = parked.filter((one) => room.has(refKey(one.ref))).map(({ ref }) => ref.round);
    const gone = parked.filter((one) => !room.has(refKey(one.ref))).map(({ ref }) => ref.round);
    assert.ok(here.length > 100 && gone.length > 50);
    assert.ok(Math.max(...here) <= Math.min(...gone), "no higher round stays than one that left");
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
    stuck.step({ type: "inventory", refs: informed.blocks.inventory(1), from: Author(0) }, 2);
    assert.deepEqual(stuck.admission.missing(), [secret.ref]);
    stuck.step({ type: "block", block: secret, from: Author(0), how: "fetched" }, 3);
    assert.ok(stuck.block(secret.ref) !== undefined);
    assert.deepEqual(stuck.admission.missing(), []);
  });

  test("a peer names a bounded number of blocks, and what it named before is forgotten", () => {
    const machine = machineOf(config, 0);
    for (let i = 0; i < 20; i++) {
      const refs = Array.from({ length: limits.inventoryRefsMax }, (_, k) =>
        invented(1 + (k % 400), k % 4),
      );
      machine.step({ type: "inventory", refs, from: Author(3) }, i);
    }
    assert.ok(machine.admission.missing().length <= 4 * limits.fetchRefsMax);
  });
});

describe("frames that a cheater sends", () => {
  const message = (peer: number, length: number): HostInput => ({
    type: "message",
    peer: Author(peer),
    frame: new Uint8Array(length),
  });

  test("a frame costs what it takes here: two bytes are not cheap", () => {
    const inbox = new Inbox<HostInput>();
    for (let i = 0; i < 1000; i++) inbox.push(message(3, 2));
    assert.equal(inbox.waiting(Author(3)), 1000 * (limits.frameOverheadBytes + 2));
    assert.equal(inbox.waiting(Author(1)), 0);
    while (!inbox.isEmpty) inbox.take();
    assert.equal(inbox.waiting(Author(3)), 0);
  });

  test("peers are served in turn, and this host's own doings with them", () => {
    const inbox = new Inbox<HostInput>();
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
    const inbox = new Inbox<HostInput>();
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

  test("blocks that nobody asked for are a fault, and close the link", () => {
    const driven = new Driven(0).meet();
    const wires = [blockOf(cast, { author: 3, round: 900 }).wire];
    for (let i = 0; i < 40; i++) driven.hear(3, { type: "blocks", wires });
    assert.ok(driven.drops.every((code) => code === "NOT_ASKED"));
    assert.ok(driven.effects.some(({ type }) => type === "disconnect"));
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

describe("whoever comes back", () => {
  test("has still said what it said", () => {
    const driven = new Driven(0).meet();
    const back = (): void => {
      driven.step({ type: "peer-down", peer: Author(3) });
      driven.step({ type: "peer-up", peer: Author(3), session: 2 });
      driven.hear(3, plainHello);
    };
    for (let i = 0; i < limits.peerFaultsMax; i++) {
      driven.hear(3, { type: "range", range: { commits: [], voters: [] } });
      back();
    }
    const closed = (): number => driven.effects.filter(({ type }) => type === "disconnect").length;
    assert.equal(closed(), 0);
    driven.hear(3, { type: "range", range: { commits: [], voters: [] } });
    assert.equal(closed(), 1, "the fault after the last one that is borne");
    driven.wait(6000);
    back();
    driven.hear(3, { type: "range", range: { commits: [], voters: [] } });
    assert.equal(closed(), 1, "one is forgiven after a while");
  });

  test("is sent the newest blocks only, as many as an answer holds", () => {
    const texts = Array.from({ length: 8 }, () => "x".repeat(60_000));
    const blocks: VerifiedBlock[] = [];
    for (let round = 1; round <= 24; round++) {
      const below =
        round === 1 ? genesisParents(config, 0) : blocks.slice(-4).map(({ ref }) => ref);
      for (let author = 0; author < 4; author++) {
        const parents = ownFirst(below, author);
        blocks.push(forge(config, { author, round, parents, texts: author === 0 ? texts : [] }));
      }
    }
    const machine = machineOf(config, 0, { ...freshRecovery, blocks, signedRound: 24 });
    const rounds = machine.blocks.ownAbove(0).map(({ ref }) => ref.round);
    assert.deepEqual(
      rounds,
      Array.from({ length: 17 }, (_, i) => i + 8),
      "17 blocks of 480 kB are 8 MiB",
    );
    assert.equal(machine.blocks.ownAbove(20).length, 4);
  });
});

describe("a writer that has lost its disk", () => {
  test("builds upon its own block that comes when it has begun to sign again", () => {
    const machine = machineOf(config, 0, { ...freshRecovery, maySign: false });
    const rounds = fullRounds(config, 5);
    const [withheld] = rounds[3]?.filter(({ ref }) => ref.author === 3) ?? [];
    machine.step({ type: "reachable", authors: new Set([1, 2, 3].map(Author)) }, 1);
    for (const block of rounds.slice(0, 4).flat())
      if (block !== withheld) machine.step(pushed(block), 2);
    const [own] = rounds[4] ?? [];
    const [one, two] = rounds[4]?.slice(1) ?? [];
    assert.ok(withheld && own && one && two);
    // Its own last block waits for one that a cheater keeps from it.
    machine.step({ type: "block", block: own, from: Author(3), how: "fetched" }, 3);
    machine.step({ type: "resume", minRound: 6 }, 4);
    for (const block of [one, two]) machine.step(pushed(block), 5);
    machine.step({ type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("on")]) }, 6);
    machine.step({ type: "block", block: withheld, from: Author(3), how: "fetched" }, 7);
    const effects = machine.step({ type: "tick" }, 5000);
    const [next] = effects.flatMap((effect) => (effect.type === "broadcast" ? [effect.block] : []));
    assert.equal(next?.ref.round, 6);
    assert.equal(next.header.parents[0]?.digest, own.ref.digest);
  });
});

test("what a convicted writer alone wants ordered makes nobody propose", () => {
  const machine = machineOf(config, 0);
  const rounds = fullRounds(config, 5);
  machine.step({ type: "reachable", authors: new Set([1, 2, 3].map(Author)) }, 1);
  machine.step({ type: "standing", shunned: [], corrupt: new Set([Author(3)]) }, 1);
  for (const block of rounds.flat()) machine.step(pushed(block), 2);
  assert.equal(machine.wantsRound, false);
  const below = rounds.at(-1)?.map(({ ref }) => ref) ?? [];
  const payload = (author: number): VerifiedBlock =>
    forge(config, { author, round: 6, parents: ownFirst(below, author), texts: ["more"] });
  machine.step(pushed(payload(3)), 3);
  assert.equal(machine.wantsRound, false, "of the convicted one");
  machine.step(pushed(payload(2)), 3);
  assert.equal(machine.wantsRound, true, "of another one");
});

test("encodings of small questions are what a flood is made of", () => {
  assert.equal(encodeMessage({ type: "probe" }).length, 2);
});
