import assert from "node:assert/strict";
import { test } from "node:test";
import { algorithms, formatGenesis, parseGenesis } from "../../src/app/genesis/index.ts";
import { type Genesis, networkOf } from "../../src/core/committee/index.ts";
import { dagConfigOf } from "../../src/core/dag/index.ts";
import { castOf } from "../support/evidence-cast.ts";
import { sequencer } from "../support/sequencer.ts";

const { genesis, group } = castOf().network;
const codeOf = (change: Partial<Genesis>): string => {
  const made = networkOf({ ...genesis, ...change }, algorithms);
  return made.ok ? "a network" : made.error.code;
};
const dagWith = (parameters: unknown): string =>
  codeOf({ consensus: { algorithm: "dag", parameters } });

test("a genesis that contradicts itself is refused, and says in what", () => {
  assert.equal(codeOf({}), "a network");
  assert.equal(codeOf({ faults: { n: 5, f: 1, c: 0, k: 0 } }), "GENESIS_COUNT");
  assert.equal(codeOf({ faults: { n: 4, f: 2, c: 0, k: 0 } }), "RULE_BUDGET");
  assert.equal(codeOf({ administrators: [] }), "a network", "the command line asks for one");
  assert.equal(codeOf({ name: "" }), "GENESIS_KEYS");
});

test("the algorithm that a genesis names checks its own parameters", () => {
  const unknown = codeOf({ consensus: { algorithm: "guessing", parameters: {} } });
  assert.equal(unknown, "GENESIS_CONSENSUS");
  for (const parameters of [
    undefined,
    null,
    "three",
    {},
    { rule: "four", leadersPerRound: 1 },
    { rule: "three", leadersPerRound: 1.5 },
    { rule: "three", leadersPerRound: "1" },
    { rule: "three", leadersPerRound: 1, colour: "red" },
  ])
    assert.equal(dagWith(parameters), "GENESIS_CONSENSUS", JSON.stringify(parameters));
  for (const leadersPerRound of [0, 5])
    assert.equal(dagWith({ rule: "three", leadersPerRound }), "GENESIS_LEADERS");
  assert.equal(dagWith({ rule: "two", leadersPerRound: 1 }), "RULE_BUDGET");
});

test("one key twice in a committee is refused: it would count twice", () => {
  const [first, second, ...others] = genesis.writers;
  assert.ok(first !== undefined && second !== undefined);
  for (const role of ["nodeKey", "blockKey", "cosignKey"] as const) {
    const twin: Genesis["writers"][number] = { ...second, [role]: first[role] };
    assert.equal(codeOf({ writers: [first, twin, ...others] }), "GENESIS_KEYS", role);
  }
  const both = { ...first, cosignKey: first.blockKey };
  assert.equal(codeOf({ writers: [both, second, ...others] }), "GENESIS_KEYS", "one key, one role");
});

test("two algorithms, or two sets of parameters, are two networks", () => {
  const groups = new Set([group]);
  for (const consensus of [
    { algorithm: "sequencer", parameters: {} },
    { algorithm: "dag", parameters: { rule: "three", leadersPerRound: 2 } },
    { algorithm: "dag", parameters: { rule: "dual", leadersPerRound: 1 } },
  ]) {
    const made = networkOf({ ...genesis, consensus }, [...algorithms, sequencer]);
    assert.ok(made.ok);
    groups.add(made.value.group);
  }
  assert.equal(groups.size, 4);
});

test("a file of version 1 is read as before, and means the same network", () => {
  const { faults: budget, consensus, ...others } = genesis;
  const { rule: name, leadersPerRound } = consensus.parameters as Record<string, unknown>;
  const old = JSON.stringify({ version: 1, ...others, rule: { name, budget }, leadersPerRound });
  const before = parseGenesis(old, "old.json");
  const now = parseGenesis(formatGenesis(genesis), "new.json");
  assert.equal(before.group, group);
  assert.equal(now.group, group);
  assert.deepEqual(dagConfigOf(before), dagConfigOf(now));
  assert.match(formatGenesis(genesis), /"version": 2/);
  for (const text of [old.replace('"version":1', '"version":2'), old.replace("1,", "3,"), "{}"])
    assert.throws(() => parseGenesis(text, "bent.json"), /bent\.json/);
});
