import assert from "node:assert/strict";
import { test } from "node:test";
import { Author, Digest, limits, Round } from "../../src/core/base/index.ts";
import { decode, encode } from "../../src/core/codec/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import { commitValue, genesisCommitDigest } from "../../src/core/dag/commit.ts";
import {
  commitDigest,
  type DagEffect,
  genesisRef,
  type Ref,
  refKey,
  type VerifiedBlock,
  verifyBlock,
  verifyCommitRange,
} from "../../src/core/dag/index.ts";
import { WaitingRoom } from "../../src/core/dag/waiting-room.ts";
import {
  authorsOf,
  configOf,
  fetched,
  forge,
  freshRecovery,
  fullRounds,
  genesisParents,
  machineOf,
  ownFirst,
  pushed,
  released,
} from "../support/dag-forge.ts";
import { DagNet } from "../support/dag-net.ts";
import { cheaterWorld, ranNet, twinChain } from "../support/dag-siege.ts";
import { storm } from "../support/dag-storm.ts";
import { fakeVerifier, ruleOf } from "../support/dag-world.ts";

const three = ruleOf("three", 4, 1);

test("nested CBOR of any depth is a fault of the peer, never a throw", () => {
  for (let depth = 500; depth <= 30_000; depth += 500) {
    const bomb = new Uint8Array(depth + 1).fill(0x81);
    bomb[depth] = 0;
    assert.doesNotThrow(() => decode(bomb), `an array nested ${depth} deep`);
    assert.doesNotThrow(
      () => verifyBlock(bomb, configOf(three), fakeVerifier),
      `a block nested ${depth} deep`,
    );
  }
});

test("a sync peer cannot plant blocks with bad signatures: what a host serves later must verify", () => {
  const { net, range } = ranNet((k) => `m${k}`);
  const spoil = (wire: Uint8Array): Uint8Array => {
    const decoded = decode(wire);
    assert.ok(decoded.ok && Array.isArray(decoded.value));
    return encode([decoded.value[0], new Uint8Array(64), decoded.value[2]]);
  };
  const spoiled = range.commits.map(({ commit, blocks }) => ({
    commit,
    blocks: blocks?.map(spoil),
  }));
  const machine = machineOf(net.config, 3);
  const verified = verifyCommitRange({ ...range, commits: spoiled }, machine.lastCommit, {
    config: net.config,
    verifier: fakeVerifier,
  });
  if (!verified.ok) return;
  machine.step({ type: "certified", ...verified.value }, 1);
  for (const ref of range.commits.flatMap(({ commit }) => commit.blocks)) {
    const block = machine.block(ref);
    if (block === undefined) continue;
    const again = verifyBlock(block.wire, net.config, fakeVerifier);
    assert.ok(
      again.ok,
      `an honest host now serves a block that convicts it: ${again.ok ? "" : again.error.code}`,
    );
  }
});

test("the smallest sync answer, one commit with all its blocks, fits a frame", () => {
  const world = cheaterWorld(45);
  const machine = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of world.honest.flat()) machine.step(fetched(block, 1), 1);
  // The cheater shows each correct writer another history; each names the tip that it saw.
  const chains = [0, 1, 2].map((flavour) => twinChain(world, 45, flavour));
  for (const block of chains.flat()) machine.step(fetched(block, 3), 2);
  let below = [0, 1, 2]
    .map((author) => world.honest[44]?.[author]?.ref)
    .filter((ref) => ref !== undefined);
  const effects: DagEffect[] = [];
  for (let round = 46; round <= 52; round++) {
    const blocks = [0, 1, 2].map((author) => {
      const tip =
        round === 47 ? [chains[author]?.at(-1)?.ref].filter((ref) => ref !== undefined) : [];
      return forge(world.config, { author, round, parents: ownFirst([...below, ...tip], author) });
    });
    for (const block of blocks) effects.push(...machine.step(pushed(block), 3));
    below = blocks.map((block) => block.ref);
  }
  const sizes = effects.flatMap((effect) =>
    effect.type === "persist-commit" ? [effect.commit.blocks.length] : [],
  );
  const most = Math.max(0, ...sizes);
  assert.ok(sizes.length > 0, "commits were made");
  const bytes = most * limits.payloadBytesMax;
  assert.ok(
    bytes <= limits.frameBytesMax,
    `one commit orders ${most} blocks: up to ${bytes} bytes in one answer`,
  );
});

test("a quorum of votes for another digest halts the host as f+1 of them do (pitfall 8)", () => {
  const config = configOf(three, { leadersPerRound: 1 });
  for (const liars of [2, 3]) {
    const machine = machineOf(config, 3);
    const lie = { index: 1, digest: Digest("ee".repeat(32)) };
    const effects: DagEffect[] = [];
    let below = config.keys.map((_, author) =>
      forge(config, {
        author,
        round: 1,
        parents: genesisParents(config, author),
        commitVotes: author < liars ? [lie] : [],
      }),
    );
    for (let round = 2; round <= 8; round++) {
      for (const block of below) effects.push(...machine.step(pushed(block), round));
      const refs = below.map((block) => block.ref);
      below = config.keys.map((_, author) =>
        forge(config, { author, round, parents: ownFirst(refs, author) }),
      );
    }
    const accepted = effects.filter((effect) => effect.type === "accept").length;
    assert.ok(
      effects.some((effect) => effect.type === "violation"),
      `${liars} votes against: ${accepted} commits went on`,
    );
  }
});

test("a certified commit that names a block twice halts the host, and orders nothing", () => {
  const config = configOf(three, { leadersPerRound: 1 });
  const machine = machineOf(config, 3);
  const [leader] = fullRounds(config, 1)[0] ?? [];
  assert.ok(leader !== undefined);
  const prev = genesisCommitDigest(config.group, config.epoch);
  const commit = { index: 1, prev, leader: leader.ref, blocks: [leader.ref, leader.ref], tsMs: 1 };
  const bytes = encode(commitValue(commit));
  const digest = commitDigest(bytes);
  const effects = machine.step(
    {
      type: "certified",
      commits: [{ commit, bytes, digest, blocks: [leader, leader] }],
      certificate: { index: 1, digest, voters: [] },
    },
    1,
  );
  const types = effects.map(({ type }) => type);
  assert.ok(types.includes("violation") && !types.includes("accept"), String(types));
});

// ── pacing and liveness ──

test("a clock that steps back an hour does not silence the writer for an hour", () => {
  const machine = machineOf(configOf(ruleOf("three", 1, 0), { leadersPerRound: 1 }), 0);
  const submit = { type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("x")]) } as const;
  const before = 10_000_000;
  assert.ok(released(machine.step(submit, before)).length > 0, "it proposes");
  const after = before - 3_600_000;
  const blocks = [...released(machine.step(submit, after))];
  for (let ms = 0; ms <= 10_000; ms += 100)
    blocks.push(...released(machine.step({ type: "tick" }, after + ms)));
  assert.ok(blocks.length > 0, "ten seconds after the clock stepped back nothing is proposed");
});

test("a clock that steps back does not stop a committee from going on without a leader", () => {
  const config = configOf(three, { leadersPerRound: 1 });
  const machine = machineOf(config, 0);
  const rounds = fullRounds(config, 2);
  const now = 10_000_000;
  machine.step({ type: "reachable", authors: authorsOf([1, 2, 3]) }, now);
  machine.step({ type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("x")]) }, now);
  // Leader of round 1 is writer 1, whose block never comes.
  for (const author of [2, 3]) {
    const block = rounds[0]?.[author];
    assert.ok(block !== undefined);
    machine.step(pushed(block), now);
  }
  const after = now - 3_600_000;
  const blocks: VerifiedBlock[] = [];
  for (let ms = 0; ms <= 10_000; ms += 100)
    blocks.push(...released(machine.step({ type: "tick" }, after + ms)));
  assert.ok(
    blocks.some((block) => block.ref.round === 2),
    "the leader timeout is counted on a clock that went back",
  );
});

test("after commit sync a host asks for the tips it dropped while it lagged", () => {
  const { net, range } = ranNet((k) => `m${k}`, 200);
  assert.ok(range.commits.length > limits.commitLagMax, `${range.commits.length} are a lag`);
  const source = net.faces[0]?.machine;
  const tips = [0, 1, 2].flatMap((author) => source?.blocks.newestOf(Author(author)) ?? []);
  const lagging = machineOf(net.config, 3);
  const before = [...tips, ...tips].flatMap((block) => lagging.step(pushed(block), 1));
  const isLag = (effect: DagEffect): boolean =>
    effect.type === "dropped" && effect.code === "COMMIT_LAG";
  assert.ok(before.some(isLag), "it drops for lag");
  const by = { config: net.config, verifier: fakeVerifier };
  const verified = verifyCommitRange(range, lagging.lastCommit, by);
  assert.ok(verified.ok);
  lagging.step({ type: "certified", ...verified.value }, 3);
  for (let i = 0; i < 50; i++) {
    for (const ref of lagging.admission.missing()) {
      const block = source?.block(ref);
      const from = Author(0);
      if (block !== undefined) lagging.step({ type: "block", block, from, how: "fetched" }, 4);
    }
  }
  const lost = tips.filter(({ ref }) => lagging.block(ref) === undefined);
  assert.deepEqual(
    lost.map(({ ref }) => refKey(ref)),
    [],
    "nobody will bring these again",
  );
});

// ── amnesia ──

test("a returning writer does not build on an own block of which it has only heard", () => {
  const { config, honest } = cheaterWorld(6);
  const refs = (round: number): Ref[] => honest[round - 1]?.map((block) => block.ref) ?? [];
  const machine = machineOf(config, 3, { ...freshRecovery, maySign: false });
  machine.step({ type: "reachable", authors: authorsOf([0, 1, 2]) }, 1);
  for (const block of honest.flat()) machine.step(pushed(block), 1);
  machine.step({ type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("x")]) }, 2);
  machine.step({ type: "resume", minRound: 7 }, 3);
  const [mine] = released(machine.step({ type: "tick" }, 5000));
  const found = mine?.ref ?? machine.blocks.newestOf(Author(3))?.ref;
  assert.ok(found !== undefined, "it signs again");
  let below = refs(6);
  assert.doesNotThrow(() => {
    for (let round = 7; round <= 12; round++) {
      const named = round === 8 ? [found] : [];
      const parents = [...below, ...named];
      const blocks = [0, 1, 2].map((author) =>
        forge(config, { author, round, parents: ownFirst(parents, author) }),
      );
      for (const block of blocks) machine.step(pushed(block), 6000 + round);
      below = blocks.map((block) => block.ref);
    }
  }, "peers that have the old block order it, and this host crashes");
});

test("a writer that lost its last rounds does not sign them anew while its old blocks arrive", () => {
  const config = configOf(three);
  const rounds = fullRounds(config, 4);
  const machine = machineOf(config, 3, freshRecovery);
  machine.step({ type: "reachable", authors: authorsOf([0, 1, 2]) }, 1);
  const old = rounds[3]?.[3];
  assert.ok(old !== undefined);
  // The peers show it its own newest block first; its parents follow in order.
  const signed: VerifiedBlock[] = [...released(machine.step(fetched(old, 0), 2))];
  for (const block of rounds.flat()) {
    if (block.ref.author === 3) continue;
    signed.push(...released(machine.step(pushed(block), 3)));
    signed.push(...released(machine.step({ type: "tick" }, 5000)));
  }
  assert.deepEqual(
    signed.filter((block) => block.ref.round <= 4).map((block) => block.ref.round),
    [],
  );
});

test("one cheating writer cannot fill the graph with twins that no correct writer names", () => {
  const world = cheaterWorld(45);
  const machine = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of world.honest.flat()) machine.step(fetched(block, 1), 1);
  const before = machine.sizes.graph;
  // Each pushed tip is the first block of its slot; what it stands on is asked for, and the cheater brings it.
  for (let top = 10; top <= 45; top++) {
    const [tip, ...rest] = twinChain(world, top, top).toReversed();
    assert.ok(tip !== undefined);
    machine.step(pushed(tip), 2);
    for (const block of rest)
      if (machine.admission.isWanted(block.ref)) machine.step(fetched(block, 3), 2);
  }
  const grown = machine.sizes.graph + machine.sizes.waiting - before;
  assert.ok(
    grown <= 2 * 45,
    `36 pushed tips of one cheater brought ${grown} blocks, each of up to half a megabyte`,
  );
});

test("what waits for parents is bounded in bytes, a writer at a time", () => {
  const config = configOf(three);
  const machine = machineOf(config, 0);
  const invented = (round: number, author: number): Ref => ({
    round: Round(round),
    author: Author(author),
    digest: Digest("dd".repeat(32)),
  });
  const texts = Array.from({ length: 4 }, () => "x".repeat(60_000));
  let bytes = 0;
  for (let round = 2; round <= 301; round++) {
    const parents = [3, 0, 1, 2].map((author) => invented(round - 1, author));
    const block = forge(config, { author: 3, round, parents, texts });
    machine.step(pushed(block), 1);
    bytes += block.payload.length;
  }
  const held = (bytes * machine.sizes.waiting) / 300;
  assert.ok(
    held <= limits.suspendedBytesMax + 4 * limits.payloadBytesMax,
    `one cheater makes a host hold ${held} bytes that nobody asked for`,
  );
});

test("a full waiting room turns away the farthest block, and keeps the one that is wanted next", () => {
  const room = new WaitingRoom(4, () => undefined);
  const config = configOf(three);
  const block = (round: number): VerifiedBlock => {
    const parents = [3, 0, 1, 2].map((author): Ref => {
      return { round: Round(round - 1), author: Author(author), digest: Digest("dd".repeat(32)) };
    });
    return forge(config, { author: 3, round, parents });
  };
  const first = block(2);
  room.park(first, first.header.parents);
  for (let round = 3; round <= limits.suspendedBlocksMax + 2; round++) {
    const next = block(round);
    room.park(next, next.header.parents);
  }
  assert.ok(
    room.has(refKey(first.ref)),
    "the block nearest to the clock was evicted for the farthest",
  );
});

test("a segment that the machine takes never makes a block that nobody else accepts", () => {
  const config = configOf(three);
  const full = limits.payloadBytesMax / limits.messageBytesMax;
  const segment = segmentOf(
    0,
    Array.from({ length: full }, () => Buffer.alloc(limits.messageBytesMax)),
  );
  const machine = machineOf(config, 0);
  let effects: readonly DagEffect[] = [];
  try {
    machine.step({ type: "submit", ticket: 1, segment }, 1);
    effects = machine.step({ type: "reachable", authors: authorsOf([1, 2, 3]) }, 1);
  } catch {
    return; // Refusing loudly is an answer.
  }
  for (const block of released(effects)) {
    const verified = verifyBlock(block.wire, config, fakeVerifier);
    assert.ok(
      verified.ok,
      `the writer's own chain is dead from here on: ${verified.ok ? "" : verified.error.detail}`,
    );
  }
});

test("empty blocks of one cheater do not keep an idle network spinning", () => {
  const net = new DagNet({ config: configOf(three, { leadersPerRound: 1 }), seed: 5 });
  net.kill(3);
  const newest = (i: number): Ref | undefined =>
    net.faces[0]?.machine.blocks.newestOf(Author(i))?.ref;
  let own: Ref = genesisRef(net.config, Author(3));
  const seconds = 40;
  const until = net.now + 1000 * seconds;
  while (net.now < until) {
    net.run(net.now + 30);
    const round = net.faces[0]?.machine.round ?? 0;
    if (round <= own.round) continue;
    const below = [0, 1, 2].map(newest).filter((ref) => ref?.round === round - 1) as Ref[];
    const parents = round === 1 ? genesisParents(net.config, 3) : ownFirst([...below, own], 3);
    const block = forge(net.config, { author: 3, round, parents });
    own = block.ref;
    for (const to of [0, 1, 2]) net.deliver(to, block, { from: 3, how: "pushed" });
  }
  const rounds = net.faces[0]?.machine.round ?? 0;
  assert.ok(
    rounds <= 16 + seconds + 3,
    `${rounds} rounds in ${seconds} s of an idle network (dag.md §6: a heartbeat every 1–5 s)`,
  );
});

test("a writer that jumped ahead does not wait for its own block of the round it missed", () => {
  const config = configOf(three, { leadersPerRound: 1 });
  const machine = machineOf(config, 1);
  for (const block of fullRounds(config, 1).flat())
    if (block.ref.author !== 1) machine.step(pushed(block), 1000);
  machine.step({ type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("x")]) }, 1000);
  const reached = machine.step({ type: "reachable", authors: authorsOf([0, 2, 3]) }, 1000);
  assert.equal(
    released(reached).length,
    1,
    "nobody else can be awaited: all other blocks of round 1 are here",
  );
});

// ── the whole, in a storm ──

const stormRules = [
  three,
  ruleOf("dual", 4, 1),
  ruleOf("dual", 6, 1, 0, 2),
  ruleOf("dual", 7, 1, 1, 1),
  ruleOf("two", 6, 1),
];
for (const rule of stormRules) {
  test(`${rule.name} n=${rule.n}: storms of crashes and two-faced writers leave one order, all of it, and quiet`, () => {
    let commits = 0;
    let adopted = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const outcome = storm(rule, seed);
      commits += outcome.commits;
      adopted += outcome.adopted;
    }
    assert.ok(adopted > 0, "commit sync took part");
    assert.ok(commits > 100, `only ${commits} commits`);
  });
}
