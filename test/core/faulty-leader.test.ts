import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../src/core/base/index.ts";
import type { CommitRule } from "../../src/core/dag/index.ts";
import { checkFigure } from "../support/dag-figure.ts";
import { forge, genesisParents } from "../support/dag-forge.ts";
import { ruleOf } from "../support/dag-world.ts";
import { LeaderWorld, leader } from "../support/leader-world.ts";

// The three cases of a faulty primary (University of Washington, CSE 452, lecture on PBFT): what it sends reaches all
// correct hosts, f+1 of them, or fewer, and then it falls silent. In the DAG a reference is a vote, so the case is the
// number of votes, and there is no view change: the next slots decide this one (dag.md §8).

const four = ruleOf("three", 4, 1); // certificate 3 of 4, commit 3, skip 3
const seven = ruleOf("three", 7, 2); // certificate 5 of 7, commit 5, skip 5

// ── drawn: writer B leads round 1 and is not heard again ──

const others = (rule: CommitRule): string => "ACDEFG".slice(0, rule.n - 1);

const full = (from: number, to: number, writers: string): string => {
  const lines: string[] = [];
  for (let round = from; round <= to; round++)
    lines.push(`round ${round}  ${[...writers].join("* ")}*`);
  return lines.join("\n");
};

/** Round 2 of the others, of which the first `votes` got the leader's block. */
const votedBy = (votes: number, rule: CommitRule): string =>
  [...others(rule)].map((writer, i) => (i < votes ? `${writer}*` : `${writer}-B1`)).join(" ");

const afterwards = new Map([
  [four, "C2 commit direct · D3 commit direct · A4 commit direct · B5 skip direct · C6 undecided"],
  [seven, "C2 commit direct · D3 commit direct · E4 commit direct · F5 undecided"],
]);

const byVotes: readonly (readonly [CommitRule, readonly string[]])[] = [
  [four, ["skip direct", "skip indirect", "skip indirect", "commit direct"]],
  [
    seven,
    [
      "skip direct",
      "skip direct",
      "skip indirect",
      "skip indirect",
      "skip indirect",
      "commit direct",
      "commit direct",
    ],
  ],
];
for (const [rule, decisions] of byVotes) {
  for (const [votes, decision] of decisions.entries()) {
    const f1 = rule.f + 1;
    const name = votes === rule.n - 1 ? "all" : votes === f1 ? `f+1 = ${f1}` : `${votes}`;
    test(`n=${rule.n}: a block that reached ${name} of the ${rule.n - 1} others is decided by ${decision}`, () => {
      checkFigure(
        rule,
        `
        round 1  B ${[...others(rule)].join(" ")}
        round 2  ${votedBy(votes, rule)}
        ${full(3, 6, others(rule))}
        → B1 ${decision} · ${afterwards.get(rule)}`,
      );
    });
  }
}

test("f+1 votes decide nothing by themselves: the slot waits for its anchor, and only for that", () => {
  checkFigure(
    four,
    `
    round 1  A B C D
    round 2  A* C* D-B1
    ${full(3, 5, "ACD")}       # the anchor A4 has no certificates yet
    → B1 undecided`,
  );
  checkFigure(
    seven,
    `
    round 1  A B C D E F G
    round 2  A* C* D* E-B1 F-B1 G-B1
    ${full(3, 5, "ACDEFG")}
    → B1 undecided`,
  );
});

test("one vote of seven is skipped as soon as five did not vote; of four, two are too few to skip", () => {
  checkFigure(
    seven,
    `
    round 1  A B C D E F G
    round 2  A* C-B1 D-B1 E-B1 F-B1 G-B1
    → B1 skip direct`,
  );
  checkFigure(
    four,
    `
    round 1  A B C D
    round 2  A* C-B1 D-B1
    ${full(3, 5, "ACD")}
    → B1 undecided`,
  );
});

test("a silent leader is skipped by a quorum of others, not by one less, nor by the twin of one", () => {
  checkFigure(four, "round 1  A C D \n round 2  A* C*       → B1 undecided");
  checkFigure(four, "round 1  A C D \n round 2  A* C* C'*   → B1 undecided");
  checkFigure(four, "round 1  A C D \n round 2  A* C* D*    → B1 skip direct");
  checkFigure(
    seven,
    `
    round 1  A B C D E F G
    round 2  A* C-B1 D-B1 E-B1 G-B1 G'-B1      # four writers against
    → B1 undecided`,
  );
});

test("f+1 votes and the leader's own next block make a certificate, if anybody saw all of them", () => {
  const drawn = (round3: string): string => `
    round 1  A B C D
    round 2  A* B* C* D-B1     # B votes for itself, and is silent from here on
    round 3  ${round3}
    ${full(4, 6, "ACD")}`;
  const rest = afterwards.get(four);
  checkFigure(four, `${drawn("A* C* D*")} → B1 commit direct · ${rest}`);
  checkFigure(four, `${drawn("A* C-B2 D-B2")} → B1 commit indirect · ${rest}`);
  checkFigure(four, `${drawn("A-B2 C-B2 D-A2")} → B1 skip indirect · ${rest}`);
});

test("a quorum of votes commits by five certificates, or by one in the anchor's past; without one it is skipped", () => {
  const drawn = (round3: string): string => `
    round 1  A B C D E F G
    round 2  A* C* D* E* F* G-B1
    round 3  ${round3}
    ${full(4, 6, "ACDEFG")}`;
  const rest = afterwards.get(seven);
  const five = "A* C* D* E* F* G-A2";
  const one = "A* C-D2 D-E2 E-F2 F-A2 G-A2";
  const none = "A-D2 C-D2 D-E2 E-F2 F-A2 G-A2";
  checkFigure(seven, `${drawn(five)} → B1 commit direct · ${rest}`);
  checkFigure(seven, `${drawn(five.replace("F*", "F-A2"))} → B1 commit indirect · ${rest}`);
  checkFigure(seven, `${drawn(one)} → B1 commit indirect · ${rest}`);
  checkFigure(seven, `${drawn(none)} → B1 skip indirect · ${rest}`);
});

test("n=4: a leader with two faces gets a certificate for one of them at most", () => {
  const rest = afterwards.get(four);
  checkFigure(
    four,
    `
    round 1  A B B' C D
    round 2  A* C* D-B1+B1'                    # two for B1, one for B1'
    ${full(3, 6, "ACD")}
    → B1 skip indirect · ${rest}`,
  );
  checkFigure(
    four,
    `
    round 1  A B B' B'' C D
    round 2  A* C-B1+B1' D-B1+B1''             # one vote each
    ${full(3, 6, "ACD")}
    → B1 skip indirect · ${rest}`,
  );
  // Its own next blocks, one for each face, help the face with two votes: the other has two with them.
  checkFigure(
    four,
    `
    round 1  A B B' C D
    round 2  A* B* B'-B1+B1' C* D-B1+B1'
    round 3  A* C-B2+B2' D-B2+B2'
    ${full(4, 6, "ACD")}
    → B1 commit indirect · ${rest}`,
  );
  checkFigure(
    four,
    `
    round 1  A B B' C D
    round 2  A-B1+B1' B-B1+B1' C* D-B1+B1'
    round 3  A* C* D*
    ${full(4, 6, "ACD")}
    → B1' commit direct · ${rest}`,
  );
});

test("n=7: a face with five votes is committed, four to two and three to three skip both", () => {
  const split = (votes: string): string => `
    round 1  A B B' C D E F G
    round 2  ${votes}
    ${full(3, 6, "ACDEFG")}`;
  const rest = afterwards.get(seven);
  checkFigure(seven, `${split("A* C* D* E* F* G-B1+B1'")} → B1 commit direct · ${rest}`);
  checkFigure(seven, `${split("A* C* D* E* F-B1+B1' G-B1+B1'")} → B1 skip indirect · ${rest}`);
  checkFigure(
    seven,
    `${split("A* C* D* E-B1+B1' F-B1+B1' G-B1+B1'")} → B1 skip indirect · ${rest}`,
  );
});

test("n=7: six faces, one to each: five are against every one of them, and the skip is direct", () => {
  checkFigure(
    seven,
    `
    round 1  A B B' B'' B''' B'''' B''''' C D E F G
    round 2  A* C-B1+B1' D-B1+B1'' E-B1+B1''' F-B1+B1'''' G-B1+B1'''''
    → B1 skip direct`,
  );
});

test("n=7: two cheaters that vote for both faces bring one over, never both", () => {
  checkFigure(
    seven,
    `
    round 1  A B B' C D E F G
    round 2  A* B* B'-B1+B1' C* D* E-B1+B1' F-B1+B1' G* G'-B1+B1'
    round 3  A* C-G2+G2' D-G2+G2' E-B2-G2+B2'+G2' F-B2-G2+B2'+G2'   # A3 alone sees five votes for B1
    ${full(4, 6, "ACDEF")}
    → B1 commit indirect · ${afterwards.get(seven)}`,
  );
  checkFigure(
    seven,
    `
    round 1  A B B' C D E F G
    round 2  A* B-B1+B1' C* D* E-B1+B1' F-B1+B1' G-B1+B1'   # the same votes, all for the weaker face
    ${full(3, 6, "ACDEF")}
    → B1 skip indirect · ${afterwards.get(seven)}`,
  );
});

// ── alive: the real machines in virtual time, and a leader in the hands of the test ──

/** What the leader of round 1 does, and what comes of it. Writers are digits: `02|3` shows one face to 0 and 2, another to 3. */
interface Case {
  readonly rule: CommitRule;
  readonly shown: string;
  /** Who gets its next block, which votes for its first face. */
  readonly next?: string;
  readonly decision: string;
}

/** Time in which everything is ordered, if it ever is. */
const settledMs = 1500;

const digits = (text: string): number[] => [...text].map(Number);
const facesOf = ({ shown }: { readonly shown: string }): number[][] => shown.split("|").map(digits);

/** Plays a case in step: every message takes as long as every other one. */
function played(one: Omit<Case, "decision">, isAwaited = false): LeaderWorld {
  const faces = facesOf(one);
  const world = new LeaderWorld({ rule: one.rule, faces: faces.length, delayMs: 10 });
  world.silence(isAwaited);
  world.submitAll("first");
  for (const [face, to] of faces.entries()) world.show(face, to);
  world.run(world.now + 15); // Round 2 is made, and not yet here.
  if (one.next !== undefined) world.vote(digits(one.next));
  world.run(world.now + settledMs);
  return world;
}

function goesOn(world: LeaderWorld, name: string): void {
  const before = world.hosts[0]?.log.commits.length ?? 0;
  world.submitAll("second");
  world.run(world.now + settledMs);
  world.check(["first", "second"], name);
  assert.ok((world.hosts[0]?.log.commits.length ?? 0) > before, `${name}: commits go on`);
}

const silent: readonly Case[] = [
  { rule: four, shown: "023", decision: "face 0 commit direct" },
  { rule: four, shown: "02", decision: "skip indirect" },
  { rule: four, shown: "0", decision: "skip indirect" },
  { rule: four, shown: "02", next: "023", decision: "face 0 commit direct" },
  { rule: four, shown: "02", next: "0", decision: "face 0 commit indirect" },
  { rule: seven, shown: "023456", decision: "face 0 commit direct" },
  { rule: seven, shown: "02345", decision: "face 0 commit direct" },
  { rule: seven, shown: "0234", decision: "skip indirect" },
  // Writer 4 leads round 4: its own certificate stands in the anchor's past, that of writer 0 does not.
  { rule: seven, shown: "0234", next: "4", decision: "face 0 commit indirect" },
  { rule: seven, shown: "0234", next: "0", decision: "skip indirect" },
  { rule: seven, shown: "023", decision: "skip indirect" },
  { rule: seven, shown: "02", decision: "skip indirect" },
  { rule: seven, shown: "0", decision: "skip direct" },
];

const twoFaced: readonly Case[] = [
  { rule: four, shown: "02|3", decision: "skip indirect" },
  { rule: four, shown: "0|23", decision: "skip indirect" },
  { rule: four, shown: "02|3", next: "0", decision: "face 0 commit indirect" },
  { rule: four, shown: "0|23", next: "023", decision: "skip indirect" },
  { rule: four, shown: "0|2|3", decision: "skip indirect" },
  { rule: seven, shown: "02345|6", decision: "face 0 commit direct" },
  { rule: seven, shown: "0|23456", decision: "face 1 commit direct" },
  { rule: seven, shown: "0234|56", decision: "skip indirect" },
  { rule: seven, shown: "0234|56", next: "4", decision: "face 0 commit indirect" },
  { rule: seven, shown: "023|456", decision: "skip indirect" },
  { rule: seven, shown: "02|34|56", decision: "skip indirect" },
  { rule: seven, shown: "0|2|3|4|5|6", decision: "skip direct" },
];

const textOf = ({ rule, shown, next }: Case): string => {
  const what = shown.includes("|")
    ? `its faces are shown to ${shown}`
    : `its block reaches ${shown}`;
  return `n=${rule.n}: ${what}${next === undefined ? "" : `, its next one ${next}`}`;
};

for (const one of silent) {
  const name = textOf(one);
  test(`${name}: ${one.decision}, one order with all payload in it, and on`, () => {
    const world = played(one);
    world.check(["first"], name);
    for (const i of world.correct) assert.equal(world.decision(i), one.decision, name);
    assert.deepEqual(world.votersOf(0), digits(one.shown), "who got it voted for it");
    // A skipped slot is no skipped block: what one correct host names is ordered by the next commit.
    assert.deepEqual(world.facesOrdered, ["face 0"], name);
    goesOn(world, name);
  });
}

for (const one of twoFaced) {
  const name = textOf(one);
  test(`${name}: ${one.decision}, one order, all have the proof, and on`, () => {
    const world = played(one);
    world.check(["first"], name);
    for (const i of world.correct) assert.equal(world.decision(i), one.decision, name);
    for (const [face, to] of facesOf(one).entries()) assert.deepEqual(world.votersOf(face), to);
    for (const { equivocations } of world.correctHosts)
      assert.deepEqual([...equivocations], [`${leader}`], `${name}: it is caught`);
    goesOn(world, name);
  });
}

test("a block that no correct host got is skipped directly, and nothing of it is ordered", () => {
  for (const rule of [four, seven]) {
    const world = played({ rule, shown: "" });
    world.check(["first"], `n=${rule.n}`);
    for (const i of world.correct) assert.equal(world.decision(i), "skip direct");
    assert.deepEqual(world.facesOrdered, []);
    goesOn(world, `n=${rule.n}`);
  }
});

test("where the leader is awaited, one correct host is enough: it passes the block on, and all vote", () => {
  for (const [rule, shown] of [
    [four, "0"],
    [four, "02"],
    [seven, "0"],
    [seven, "023"],
  ] as const) {
    const name = `n=${rule.n}, shown to ${shown}`;
    const world = played({ rule, shown }, true);
    world.check(["first"], name);
    assert.deepEqual(world.votersOf(0), world.correct, name);
    for (const i of world.correct) assert.equal(world.decision(i), "face 0 commit direct", name);
    goesOn(world, name);
  }
});

test("n=7: the leaders of two rounds show two faces each: both slots are skipped, nobody else's payload is", () => {
  const [other, honest] = [2, [0, 3, 4, 5, 6]];
  const world = new LeaderWorld({ rule: seven, faces: 2, delayMs: 10 });
  world.silence(false);
  world.kill(other);
  for (const i of honest) world.submit(i, [`first of ${i}`]);
  const parents = genesisParents(world.config, other);
  const quiet = forge(world.config, { author: other, round: 1, parents });
  for (const i of honest) world.deliver(other, i, quiet);
  world.show(0, [0, 3, 4]);
  world.show(1, [5, 6]);
  world.run(world.now + 15);
  for (const [text, to] of [
    ["one", [0, 3]],
    ["two", [4, 5, 6]],
  ] as const) {
    const block = world.second(quiet, [`face ${text}`]);
    for (const i of to) world.deliver(other, i, block);
  }
  world.run(world.now + settledMs);
  for (const i of honest) world.submit(i, [`second of ${i}`]);
  world.run(world.now + settledMs);
  assert.equal(world.halted, undefined);
  const [order = [], ...rest] = honest.map((i) => world.messages(i));
  for (const one of rest) assert.deepEqual(one, order);
  const sent = ["first", "second"].flatMap((wave) => honest.map((i) => `${wave} of ${i}`));
  assert.deepEqual(order.filter((text) => !text.startsWith("face")).toSorted(), sent.toSorted());
  for (const i of honest) {
    const slots = world.hosts[i]?.log.commits.map((commit) => commit.leader) ?? [];
    const cheaters = slots.filter(({ author }) => author === leader || author === other);
    assert.deepEqual(cheaters, [], "no slot of a cheater is committed");
    assert.deepEqual([...(world.hosts[i]?.equivocations ?? [])].toSorted(), ["1", "2"]);
  }
});

/** Drawn delays, faces, audiences and leaders a round; what must hold whatever was drawn. Returns the decision. */
function drawnCase(rule: CommitRule, seed: number): string {
  const random = new Prng(seed);
  const faces = 1 + random.below(3);
  const leaders = 1 + random.below(3);
  const world = new LeaderWorld({ rule, faces, seed, leaders });
  world.silence(random.chance(0.3));
  world.submitAll("first");
  // The last share of the draw is left out: it gets nothing.
  const drawn = world.correct.map((i) => [i, random.below(faces + 1)] as const);
  const show = random.chance(0.3) ? drawn.map(([i]) => [i, 0] as const) : drawn;
  for (const [i, face] of show) if (face < faces) world.show(face, [i]);
  world.run(world.now + settledMs);
  const name = `n=${rule.n} seed ${seed}`;
  world.check(["first"], name);
  const decision = world.decision(0);
  const votes = world.faces.map((_, face) => world.votersOf(face).length);
  const committed = world.committedFace(0);
  const quorum = rule.n - rule.f;
  if (committed >= 0) assert.ok((votes[committed] ?? 0) >= quorum, `${name}: by a quorum of votes`);
  if (decision === "skip direct")
    for (const count of votes)
      assert.ok(rule.n - 1 - count >= quorum, `${name}: a quorum is against`);
  if (Math.max(...votes) === rule.n - 1) assert.match(decision, /commit direct/, name);
  goesOn(world, name);
  return decision.replace(/face \d /, "");
}

for (const rule of [four, seven]) {
  test(`n=${rule.n}: whatever a silent or two-faced leader shows whom, one order, all of it, and on`, () => {
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= 60; seed++) {
      const decision = drawnCase(rule, seed);
      seen.set(decision, (seen.get(decision) ?? 0) + 1);
    }
    for (const kind of ["commit direct", "skip direct", "skip indirect"])
      assert.ok((seen.get(kind) ?? 0) > 0, `${kind} was drawn: ${JSON.stringify([...seen])}`);
  });
}
