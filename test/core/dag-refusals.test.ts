import assert from "node:assert/strict";
import { test } from "node:test";
import { Digest, limits, Round } from "../../src/core/base/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import { type DagEffect, refKey, type VerifiedBlock } from "../../src/core/dag/index.ts";
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
import { cheaterWorld, twinChain } from "../support/dag-siege.ts";
import { ruleOf } from "../support/dag-world.ts";

const three = ruleOf("three", 4, 1);

test("each refusal says why: below the horizon, known, a twin, upon a refused one", () => {
  const codes = (effects: readonly DagEffect[]): string[] =>
    effects.flatMap((effect) => (effect.type === "dropped" ? [effect.code] : []));
  const world = cheaterWorld(30);
  const machine = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of world.honest.flat()) machine.step(fetched(block, 1), 1);
  const [newest] = world.honest.at(-1) ?? [];
  assert.ok(newest !== undefined);
  assert.deepEqual(codes(machine.step(fetched(newest, 1), 1)), ["DUPLICATE"]);
  const [[shown], [twin, upon]] = [twinChain(world, 1, 1), twinChain(world, 2, 2)];
  assert.ok(shown !== undefined && twin !== undefined && upon !== undefined);
  assert.deepEqual(codes(machine.step(pushed(shown), 2)), []);
  assert.deepEqual(codes(machine.step(pushed(twin), 2)), ["TWIN_PUSHED"]);
  assert.deepEqual(codes(machine.step(pushed(upon), 2)), ["ON_REFUSED"]);
  const rounds = fullRounds(world.config, 120).flat();
  const far = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of rounds) far.step(fetched(block, 1), 1);
  const [first] = rounds;
  assert.ok(first !== undefined && far.horizon >= first.ref.round, "it has ordered far beyond it");
  assert.deepEqual(codes(far.step(fetched(first, 1), 2)), ["BELOW_HORIZON"]);
});

test("what stands on a refused twin is not asked for again and again", () => {
  const world = cheaterWorld(30);
  const machine = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of world.honest.flat()) machine.step(fetched(block, 1), 1);
  const [shown, hidden] = [twinChain(world, 1, 1), twinChain(world, 30, 2)];
  for (const block of shown) machine.step(pushed(block), 2);
  // The cheater goes on upon the twin that it did not show, and answers whatever it is asked.
  const known = new Map(hidden.map((block) => [refKey(block.ref), block]));
  let asked = 0;
  for (const block of hidden.slice(1)) {
    const queue: VerifiedBlock[] = [];
    const ask = (effects: readonly DagEffect[]): void => {
      for (const effect of effects)
        if (effect.type === "missing")
          for (const ref of effect.refs) queue.push(known.get(refKey(ref)) as VerifiedBlock);
    };
    ask(machine.step(pushed(block), 3));
    for (let next = queue.shift(); next !== undefined && asked < 1000; next = queue.shift()) {
      asked++;
      ask(machine.step(fetched(next, 3), 3));
    }
    // What is still missing is asked for again after a while.
    for (const ref of machine.admission.missing())
      queue.push(known.get(refKey(ref)) as VerifiedBlock);
    for (const again of queue) {
      asked++;
      machine.step(fetched(again, 3), 3);
    }
  }
  assert.equal(asked, 1, "the one below all of them, once");
});

test("what stands on a refused twin is taken once another writer builds upon it", () => {
  const world = cheaterWorld(30);
  const machine = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of world.honest.flat()) machine.step(fetched(block, 1), 1);
  const [shown, hidden] = [twinChain(world, 1, 1), twinChain(world, 30, 2)];
  for (const block of [...shown, ...hidden]) machine.step(pushed(block), 2);
  assert.equal(machine.sizes.waiting, 0, "all of it is refused");
  const known = new Map(hidden.map((block) => [refKey(block.ref), block]));
  /** Whatever is asked for comes. */
  const take = (block: VerifiedBlock): void => {
    let asked = machine.step(pushed(block), 3);
    for (let i = 0; i < 100 && asked.some(({ type }) => type === "missing"); i++)
      asked = asked.flatMap((effect) =>
        effect.type === "missing"
          ? effect.refs.flatMap((ref) =>
              machine.step(fetched(known.get(refKey(ref)) as VerifiedBlock, 1), 3),
            )
          : [],
      );
  };
  const top = world.honest.at(-1)?.map(({ ref }) => ref) ?? [];
  const [below, last] = hidden.slice(-2).map(({ ref }) => ref);
  assert.ok(below !== undefined && last !== undefined);
  take(forge(world.config, { author: 1, round: 31, parents: ownFirst([...top, below], 1) }));
  assert.ok(machine.block(below) !== undefined, "it is needed for the order");
  // The block between was refused; what it rests on is here now.
  const next = forge(world.config, { author: 3, round: 31, parents: ownFirst([...top, last], 3) });
  take(next);
  assert.ok(machine.block(next.ref) !== undefined, "its author is heard again");
});

test("only the host says who cheats: a pardoned writer's twin is no reason to leave it out again", () => {
  const world = cheaterWorld(2);
  const machine = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  const standing = (...corrupt: number[]): readonly DagEffect[] =>
    machine.step({ type: "standing", corrupt: authorsOf(corrupt), shunned: [] }, 1);
  for (const block of world.honest.flat()) machine.step(fetched(block, 1), 1);
  const said = (author: number, texts: string[]): VerifiedBlock =>
    forge(world.config, { author, round: 1, parents: genesisParents(world.config, author), texts });
  standing(3);
  machine.step(pushed(said(3, ["before its pardon"])), 2);
  assert.equal(machine.wantsRound, false);
  standing();
  assert.equal(machine.wantsRound, true, "what it wanted ordered is worth a round now");

  const other = machineOf(world.config, 0, { ...freshRecovery, maySign: false });
  for (const block of world.honest.flat()) other.step(fetched(block, 1), 1);
  const [first] = twinChain(world, 1, 1);
  assert.ok(first !== undefined);
  other.step(pushed(first), 2);
  const found = other.step(pushed(said(3, ["twin"])), 2);
  assert.ok(found.some(({ type }) => type === "equivocation"));
  const honest = world.honest[0]?.map(({ ref }) => ref) ?? [];
  const parents = ownFirst([...honest, first.ref], 3);
  other.step(pushed(forge(world.config, { author: 3, round: 2, parents, texts: ["after"] })), 3);
  assert.equal(other.wantsRound, true);
});

test("a writer that nobody listens to signs nothing", () => {
  const machine = machineOf(configOf(three), 0);
  const segment = segmentOf(0, [Buffer.from("a message")]);
  machine.step({ type: "submit", ticket: 1, segment }, 1);
  for (const few of [[], [1]]) {
    machine.step({ type: "reachable", authors: authorsOf(few) }, 2);
    assert.deepEqual(released(machine.step({ type: "tick" }, 1000)), [], `${few.length} listen`);
  }
  assert.equal(
    released(machine.step({ type: "reachable", authors: authorsOf([1, 2]) }, 2000)).length,
    1,
  );
});

test("a writer that may have signed more than it knows signs nothing, until it is told", () => {
  const machine = machineOf(configOf(three), 0, { ...freshRecovery, maySign: false });
  const segment = segmentOf(0, [Buffer.from("a message")]);
  machine.step({ type: "reachable", authors: authorsOf([1, 2, 3]) }, 1);
  assert.deepEqual(released(machine.step({ type: "submit", ticket: 1, segment }, 2)), []);
  assert.deepEqual(released(machine.step({ type: "tick" }, 5000)), []);
  const [block] = released(machine.step({ type: "resume", minRound: 1 }, 6000));
  assert.equal(block?.ref.round, 1);
});

test("a block is in the log and its round in the guard before anybody hears of it", () => {
  const machine = machineOf(configOf(three), 0);
  const segment = segmentOf(0, [Buffer.from("a message")]);
  machine.step({ type: "reachable", authors: authorsOf([1, 2, 3]) }, 1);
  const effects = machine.step({ type: "submit", ticket: 1, segment }, 2);
  const order = effects.map(({ type }) => type).filter((type) => type !== "wake");
  assert.deepEqual(order, ["persist-block", "guard", "broadcast"]);
});

test("no round is signed that the guard knows of, whatever the log has", () => {
  const machine = machineOf(configOf(three), 0, { ...freshRecovery, signedRound: 1 });
  const segment = segmentOf(0, [Buffer.from("a message")]);
  machine.step({ type: "reachable", authors: authorsOf([1, 2, 3]) }, 1);
  assert.deepEqual(released(machine.step({ type: "submit", ticket: 1, segment }, 2)), []);
  assert.deepEqual(released(machine.step({ type: "tick" }, 5000)), []);
  assert.equal(machine.signedRound, 1);
});

test("a quorum certifies another commit than the one that this host made: it stops for good", () => {
  const config = configOf(three);
  const machine = machineOf(config, 0, { ...freshRecovery, maySign: false });
  const rounds = fullRounds(config, 8);
  for (const block of rounds.flat()) machine.step(pushed(block), 1);
  const { index } = machine.lastCommit;
  assert.ok(index > 3);
  const below = (rounds.at(-1) ?? []).map(({ ref }) => ref);
  const commitVotes = [{ index, digest: Digest("cd".repeat(32)) }];
  const said = [1, 2, 3].flatMap((author) => {
    const parents = ownFirst(below, author);
    return machine.step(pushed(forge(config, { author, round: 9, parents, commitVotes })), 2);
  });
  assert.ok(said.some(({ type }) => type === "violation"));
  assert.deepEqual(machine.step({ type: "tick" }, 3), [], "nothing is done any more");
});

test("a block of the far future is dropped, and its author asked for it later", () => {
  const config = configOf(three);
  const machine = machineOf(config, 0, { ...freshRecovery, maySign: false });
  const ahead = (round: number): readonly DagEffect[] => {
    const parents = ownFirst(
      (fullRounds(config, 1)[0] ?? []).map(({ ref }) => ({ ...ref, round: Round(round - 1) })),
      1,
    );
    return machine.step(pushed(forge(config, { author: 1, round, parents })), 1);
  };
  const codes = (effects: readonly DagEffect[]): string[] =>
    effects.flatMap((effect) => (effect.type === "dropped" ? [effect.code] : []));
  assert.deepEqual(codes(ahead(limits.roundsAheadMax)), []);
  assert.deepEqual(codes(ahead(limits.roundsAheadMax + 2)), ["FAR_FUTURE"]);
});
