import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { type Evidence, encodeEvidence, judge } from "../../src/core/accountability/index.ts";
import { Author } from "../../src/core/base/index.ts";
import { encode } from "../../src/core/codec/index.ts";
import { type Opinion, signStatement } from "../../src/core/opinion/index.ts";
import type { CertifiedPoint, JoinRecord } from "../../src/core/replica/index.ts";
import { type SplitEffect, Splitting } from "../../src/core/replica/splitting.ts";
import {
  encodeGroup,
  encodePlan,
  fractionOf,
  readGroup,
  readPlan,
  type SplitPlan,
  signJoin,
} from "../../src/core/split/index.ts";
import { castOf, digestOf, logOf, noteOf } from "../support/evidence-cast.ts";
import { misdeeds } from "../support/evidence-deeds.ts";

const cast = castOf();
const { network, verifier, signer, court } = cast;
const all = [0, 1, 2, 3].map(Author);

const says = (by: number, about: number, opinion: Opinion = "dead", of = network): Uint8Array => {
  const reason = { code: "silent", sinceMs: 5, rounds: 6, unanswered: 7 } as const;
  const statement = { by: Author(by), about: Author(about), opinion, reason, serial: 1 };
  return signStatement(of, statement, signer(`w${by} node`)).wire;
};

const stateThere = {
  height: 8,
  commit: { index: 9, digest: digestOf("commit 9") },
  tsMs: 1_700_000_009_000,
};
const pointOf = (size: number): CertifiedPoint => ({
  ...stateThere,
  size,
  root: logOf(size).root,
});

function parentOf(size = 6, cosignatures = network.quorum): SplitPlan["parent"] {
  const { root } = logOf(size);
  const checkpoint = { origin: network.origin, size, root };
  return {
    group: network.group,
    epoch: 0,
    size,
    root,
    note: noteOf(cast, checkpoint, cosignatures),
    ...stateThere,
  };
}

type Parts = Parameters<typeof encodePlan>[0];

/** 0 and 1 hold 2 and 3 dead, unless told otherwise. */
function planOf(over: Partial<Parts> = {}): SplitPlan {
  return encodePlan({
    parent: parentOf(),
    sides: [[0, 1].map(Author), [2, 3].map(Author)],
    statements: [says(0, 2), says(1, 3), says(3, 0)],
    evidence: [],
    ...over,
  });
}

const sidesOf = (...sides: [number[], number[]]): Parts["sides"] => [
  sides[0].map(Author),
  sides[1].map(Author),
];
const codeOf = (plan: SplitPlan): string => {
  const read = readPlan(plan.wire, { network, verifier });
  return read.ok ? "ok" : read.error.code;
};

describe("a plan to split", () => {
  test("is read as it was written", () => {
    const plan = planOf();
    const read = readPlan(plan.wire, { network, verifier });
    assert.ok(read.ok);
    assert.deepEqual(encodePlan(read.value), { ...read.value });
    assert.deepEqual([read.value.id, read.value.wire], [plan.id, plan.wire]);
    assert.deepEqual(read.value.sides, plan.sides);
  });

  test("is refused where its sides are not what its statements ask for", () => {
    const bad: readonly Partial<Parts>[] = [
      { sides: sidesOf([0, 2], [1, 3]) },
      { sides: sidesOf([0, 1], [2]) },
      { sides: sidesOf([0, 1], [2, 2]) },
      { sides: sidesOf([0, 1, 2], [2, 3]) },
      { sides: sidesOf([0, 1], [2, 3, 4]) },
      { sides: sidesOf([0, 1, 2, 3], []) },
      { sides: sidesOf([0, 1, 3], [2]), statements: [says(0, 2)] },
      { statements: [] },
      { statements: [says(0, 2, "suspected"), says(1, 3, "ok")] },
      { statements: [says(0, 2), says(2, 3), says(3, 0)] },
      { statements: [...planOf().statements, says(0, 1)] },
    ];
    for (const over of bad) assert.equal(codeOf(planOf(over)), "WRONG_SIDES");
    assert.equal(codeOf(planOf({ statements: [says(0, 2)] })), "ok");
  });

  test("is refused with statements that are forged or of another network", () => {
    const other = castOf(4, { name: "another" });
    const forged = Uint8Array.from(says(0, 2));
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    for (const one of [forged, says(0, 2, "dead", other.network), Buffer.from("x")])
      assert.equal(codeOf(planOf({ statements: [...planOf().statements, one] })), "WRONG_SIDES");
  });

  test("leaves out those whom it convicts, and nobody else", () => {
    const wire = encodeEvidence(network, misdeeds.equivocation(cast));
    const evidence = [wire];
    assert.equal(codeOf(planOf({ evidence })), "WRONG_SIDES");
    const without1 = { sides: sidesOf([0], [2, 3]) };
    assert.equal(codeOf(planOf({ evidence, ...without1 })), "ok");
    assert.equal(codeOf(planOf(without1)), "WRONG_SIDES");
    const bent = Uint8Array.from(wire);
    bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1;
    assert.equal(codeOf(planOf({ evidence: [bent], ...without1 })), "WRONG_SIDES");
  });

  test("begins at a checkpoint of this network that a quorum cosigned, and at no other", () => {
    assert.equal(codeOf(planOf({ parent: parentOf(6, 2) })), "NO_QUORUM");
    const parent = parentOf();
    assert.equal(codeOf(planOf({ parent: { ...parent, size: 5 } })), "WRONG_SIDES");
    assert.equal(codeOf(planOf({ parent: { ...parent, root: logOf(5).root } })), "WRONG_SIDES");
    assert.equal(codeOf(planOf({ parent: { ...parent, note: parentOf(5).note } })), "WRONG_SIDES");
    assert.equal(codeOf(planOf({ parent: { ...parent, note: "no note" } })), "MALFORMED_NOTE");
    assert.equal(codeOf(planOf({ parent: { ...parent, epoch: 1 } })), "WRONG_GROUP");
    assert.equal(codeOf(planOf({ parent: { ...parent, group: digestOf("x") } })), "WRONG_GROUP");
  });

  test("bytes of any origin are never more than refused", () => {
    const { wire } = planOf();
    fc.assert(
      fc.property(fc.nat(wire.length - 1), fc.integer({ min: 1, max: 255 }), (at, xor) => {
        const bent = Uint8Array.from(wire);
        bent[at] = (bent[at] ?? 0) ^ xor;
        const read = readPlan(bent, { network, verifier });
        if (read.ok) assert.notEqual(read.value.id, planOf().id);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a founded group", () => {
  const plan = planOf();
  const signatures = new Map(
    all.map((author) => [author, signJoin(plan, author < 2 ? 0 : 1, signer(`w${author} node`))]),
  );
  const read = (wire: Uint8Array) => readGroup(wire, { network, verifier });

  test("has the signatures of all its members, and is a network of its own", () => {
    const groups = ([0, 1] as const).map((side) => {
      const group = read(encodeGroup(plan, side, signatures));
      assert.ok(group.ok);
      assert.deepEqual(group.value.members, plan.sides[side]);
      const fraction = fractionOf(network, group.value);
      assert.ok(fraction.ok);
      assert.equal(fraction.value.group, group.value.group);
      assert.equal(fraction.value.quorum, 2);
      assert.notEqual(fraction.value.origin, network.origin);
      return group.value.group;
    });
    assert.equal(new Set([...groups, network.group]).size, 3);
  });

  test("is none where one has not signed, or signed something else", () => {
    const other = planOf({ statements: [says(0, 2), says(1, 3)] });
    const wrong = [
      signJoin(plan, 1, signer("w1 node")),
      signJoin(other, 0, signer("w1 node")),
      signJoin(plan, 0, signer("w0 node")),
      signJoin(plan, 0, signer("w1 block")),
    ];
    for (const signature of wrong) {
      const group = read(encodeGroup(plan, 0, new Map([...signatures, [Author(1), signature]])));
      assert.equal(group.ok ? "" : group.error.code, "NOT_JOINED");
    }
    const lacking = new Map([...signatures].filter(([author]) => author !== 1));
    assert.equal(read(encodeGroup(plan, 0, lacking)).ok, false);
    const [first] = signatures.values();
    const short = read(encode([1, plan.wire, 0, [first ?? null]]));
    assert.equal(short.ok ? "" : short.error.code, "NOT_JOINED");
    // One signature too many: a group has one form.
    const long = read(encode([1, plan.wire, 0, [...signatures.values()].slice(0, 3)]));
    assert.equal(long.ok ? "" : long.error.code, "NOT_JOINED");
    const bad = planOf({ sides: sidesOf([0, 2], [1, 3]) });
    assert.equal(read(encodeGroup(bad, 0, signatures)).ok, false);
  });
});

/** Four hosts in memory; what one says, all others hear at once. */
class Hosts {
  readonly hosts: Splitting[];
  readonly certified: CertifiedPoint[] = all.map(() => pointOf(6));
  readonly guarded: (JoinRecord | undefined)[] = all.map(() => undefined);
  readonly founded: { host: number; wire: Uint8Array; isMine: boolean }[] = [];
  readonly evidence: Evidence[] = [];
  readonly signed: string[] = [];

  constructor() {
    this.hosts = all.map((author) => this.boot(author));
  }

  boot(author: Author, joined?: JoinRecord): Splitting {
    const hostSigner = signer(`w${author} node`);
    return new Splitting({ network, author, hostSigner, verifier, joined });
  }

  restart(author: number): void {
    this.hosts[author] = this.boot(Author(author), this.guarded[author]);
  }

  join(plan: SplitPlan, ...authors: readonly number[]): void {
    for (const author of authors) {
      const host = this.hosts[author];
      assert.ok(host?.learn(plan.wire).ok);
      host?.join(plan.id);
      this.settle();
    }
  }

  settle(): void {
    for (let isBusy = true; isBusy; ) {
      const effects = all.map((at) => this.hosts[at]?.look(this.certified[at]) ?? []);
      isBusy = effects.some(({ length }) => length > 0);
      for (const at of all) for (const effect of effects[at] ?? []) this.#on(at, effect);
    }
  }

  #on(at: Author, effect: SplitEffect): void {
    if (effect.type === "saw") this.evidence.push(effect.evidence);
    if (effect.type === "split")
      this.founded.push({ host: at, wire: effect.wire, isMine: effect.isMine });
    if (effect.type === "guard-split") {
      this.guarded[at] = effect.record;
      this.signed.push(`${at} ${effect.record.plan}`);
    }
    if (effect.type !== "say" || effect.message.type !== "split") return;
    for (const other of all)
      if (other !== at) assert.ok(this.hosts[other]?.hear(at, effect.message.wire, 0).ok);
  }

  left(): number[] {
    return all.filter((at) => this.hosts[at]?.hasLeft);
  }
}

describe("agreeing on a split", () => {
  const plan = planOf();
  const other = planOf({ statements: [says(0, 2), says(1, 3)] });
  let four: Hosts;
  beforeEach(() => {
    four = new Hosts();
  });

  test("consent binds nobody until all of one's side have consented", () => {
    four.join(plan, 0, 2);
    four.join(other, 0, 3);
    assert.deepEqual(four.left(), []);
    assert.deepEqual(four.signed, []);
    assert.deepEqual(four.hosts[1]?.plans[0]?.joining, [0, 2]);
    four.join(plan, 1);
    assert.deepEqual(four.left(), [0, 1]);
    assert.deepEqual(four.signed.sort(), [`0 ${plan.id}`, `1 ${plan.id}`]);
    // Both know that their side is founded, and so do the others.
    assert.deepEqual(four.founded.map(({ host, isMine }) => `${host} ${isMine}`).sort(), [
      "0 true",
      "1 true",
      "2 false",
      "3 false",
    ]);
    for (const { wire } of four.founded) assert.ok(readGroup(wire, { network, verifier }).ok);
    four.join(plan, 3);
    assert.deepEqual(four.left(), [0, 1, 2, 3]);
    assert.equal(four.founded.length, 8);
  });

  test("what is guarded is on its way before the signature is", () => {
    four.join(plan, 0);
    const host = four.hosts[1];
    host?.learn(plan.wire);
    host?.join(plan.id);
    const types = host?.look(pointOf(6)).map(({ type }) => type);
    assert.deepEqual(types, ["say", "guard-split", "say"]);
  });

  test("nobody signs two plans at one size, whatever its operator says, and however often it restarts", () => {
    four.join(plan, 0, 1);
    four.join(other, 0, 1, 2, 3);
    for (const at of [0, 1]) {
      assert.match(four.hosts[at]?.whyNot(other.id, pointOf(6)) ?? "", /joined another/);
      four.restart(at);
      assert.ok(four.hosts[at]?.hasLeft);
    }
    four.join(other, 0, 1);
    four.join(plan, 0, 1);
    const both = four.signed.filter((one) => one.startsWith("0 ") || one.startsWith("1 "));
    assert.deepEqual(new Set(both), new Set([`0 ${plan.id}`, `1 ${plan.id}`]));
    assert.equal(four.evidence.length, 0);
    assert.equal(four.founded.filter(({ host, isMine }) => host === 0 && isMine).length, 2);
  });

  test("a lock of another group is none here", () => {
    const abroad = { group: digestOf("another"), size: 6, plan: plan.id };
    assert.equal(four.boot(Author(0), abroad).hasLeft, false);
    assert.equal(four.boot(Author(0), { ...abroad, group: network.group }).hasLeft, true);
  });

  test("nobody signs from another place than the newest certified one", () => {
    const rows = [
      [undefined, /nothing is certified/],
      [pointOf(5), /caught up/],
      [pointOf(7), /propose anew/],
      [{ ...pointOf(6), root: logOf(5).root }, /another one here/],
      [{ ...pointOf(6), height: 7 }, /another one here/],
      [{ ...pointOf(6), commit: { ...stateThere.commit, index: 8 } }, /another one here/],
      [{ ...pointOf(6), tsMs: 1 }, /another one here/],
    ] as const;
    for (const [certified, why] of rows) {
      const host = four.boot(Author(0));
      host.learn(plan.wire);
      assert.match(host.whyNot(plan.id, certified) ?? "", why);
      host.hear(Author(1), encode([plan.wire, true, null]), 0);
      host.join(plan.id);
      assert.deepEqual(
        host.look(certified).map(({ type }) => type),
        ["say"],
      );
      assert.equal(host.hasLeft, false);
      assert.ok(host.look(pointOf(6)).some(({ type }) => type === "guard-split"));
    }
  });

  test("no peer can crowd out the plans of others", () => {
    const host = four.boot(Author(0));
    const flood = Array.from({ length: 20 }, (_, i) =>
      planOf({
        statements: [says(0, 2), says(1, 3), says(3, 0)].slice(0, 2 + (i % 2)),
        parent: { ...parentOf(), tsMs: i },
      }),
    );
    const codes = flood.map(({ wire }) => {
      const heard = host.hear(Author(3), encode([wire, false, null]), 0);
      return heard.ok ? "" : heard.error.code;
    });
    assert.ok(codes.includes("TOO_MANY_PLANS"), "a peer that floods is stopped");
    assert.ok(host.hear(Author(1), encode([plan.wire, true, null]), 0).ok, "another is heard");
    assert.ok(host.learn(plan.wire).ok, "and so is the operator");
  });

  test("not at a later checkpoint either is another group joined", () => {
    const host = four.boot(Author(0), { group: network.group, size: 6, plan: plan.id });
    const later = planOf({ parent: parentOf(7) });
    host.learn(later.wire);
    assert.match(host.whyNot(later.id, pointOf(7)) ?? "", /joined another/);
  });

  test("who signs two plans is seen by all who hear it, and convicted", () => {
    const both = [plan, other].map((one) =>
      encode([one.wire, true, signJoin(one, 1, signer("w3 node"))]),
    );
    for (const wire of both) for (const at of [0, 1, 2]) four.hosts[at]?.hear(Author(3), wire, 0);
    four.settle();
    assert.equal(four.evidence.length, 3);
    for (const evidence of four.evidence) {
      const verdict = judge(encodeEvidence(network, evidence), court);
      assert.ok(verdict.ok);
      assert.equal(verdict.value.author, 3);
      assert.equal(verdict.value.offence, `double-split ${network.group} 3 6`);
    }
  });

  test("signatures that are another's, or of plans at other sizes, convict nobody", () => {
    const forged = encode([plan.wire, true, signJoin(plan, 1, signer("w2 node"))]);
    const heard = four.hosts[0]?.hear(Author(3), forged, 0);
    assert.equal(heard?.ok === false ? heard.error.code : "", "BAD_SIGNATURE");
    assert.deepEqual(four.hosts[0]?.plans[0]?.signed, []);
    const later = planOf({ parent: parentOf(5) });
    for (const one of [plan, later])
      four.hosts[0]?.hear(
        Author(3),
        encode([one.wire, true, signJoin(one, 1, signer("w3 node"))]),
        0,
      );
    four.settle();
    assert.deepEqual(four.evidence, []);
  });

  test("bytes of any origin are never more than refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 99 }), (bytes) => {
        assert.equal(four.hosts[0]?.hear(Author(1), bytes, 0).ok, false);
        const around = encode([plan.wire, true, bytes]);
        assert.equal(four.hosts[0]?.hear(Author(1), around, 0).ok, false);
      }),
    );
  });
});
