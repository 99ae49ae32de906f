import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author } from "../../src/core/base/index.ts";
import { encode } from "../../src/core/codec/index.ts";
import { signingBytes, taggedDigest } from "../../src/core/crypto/index.ts";
import {
  matrixOf,
  type Opinion,
  type OpinionMatrix,
  opinionIn,
  opinions,
  type Reason,
  readStatement,
  reasonText,
  removals,
  type Statement,
  signStatement,
  statementValue,
  withStatement,
} from "../../src/core/opinion/index.ts";
import { castOf } from "../support/evidence-cast.ts";

const cast = castOf();
const { network, verifier, signer } = cast;
const reason: Reason = { code: "no-block", sinceMs: 7, rounds: 8, unanswered: 9 };

const statementOf = (by: number, about: number, over: Partial<Statement> = {}): Statement => ({
  by: Author(by),
  about: Author(about),
  opinion: "dead",
  reason,
  serial: 1,
  ...over,
});
const signed = (statement: Statement, by = `w${statement.by} node`): Uint8Array =>
  signStatement(network, statement, signer(by)).wire;
const codeOf = (wire: Uint8Array, of = network): string => {
  const read = readStatement(wire, of, verifier);
  return read.ok ? "ok" : read.error.code;
};

describe("a signed opinion", () => {
  test("is read as it was written", () => {
    const codes = ["punctual", "no-link", "no-block", "silent", "operator"] as const;
    const statements = fc.record({
      opinion: fc.constantFrom(...opinions),
      reason: fc.record({
        code: fc.constantFrom(...codes),
        sinceMs: fc.nat(2 ** 31 - 1),
        rounds: fc.nat(2 ** 31 - 1),
        unanswered: fc.nat(65_535),
      }),
      serial: fc.maxSafeNat().map((serial) => serial % 2 ** 48),
    });
    fc.assert(
      fc.property(statements, (over) => {
        const statement = statementOf(1, 2, over);
        const read = readStatement(signed(statement), network, verifier);
        assert.ok(read.ok);
        assert.deepEqual(read.value.statement, { ...statement, reason: { ...statement.reason } });
      }),
    );
  });

  test("is refused where another signed it, for another network, or about oneself", () => {
    const statement = statementOf(1, 2);
    for (const by of ["w2 node", "w1 block", "w1 cosign", "administrator"])
      assert.equal(codeOf(signed(statement, by)), "BAD_SIGNATURE");
    const other = castOf(4, { name: "another" });
    assert.equal(codeOf(signed(statement), other.network), "WRONG_GROUP");
    assert.equal(codeOf(signed(statement), { ...network, epoch: 1 }), "WRONG_GROUP");
    for (const [by, about] of [
      [1, 1],
      [1, 4],
      [4, 1],
    ] as const)
      assert.equal(codeOf(signed(statementOf(by, about), "w1 node")), "UNKNOWN_WRITER");
  });

  test("is refused where a signature of its maker was made for something else", () => {
    const body = encode([Buffer.from(network.group, "hex"), 0, statementValue(statementOf(1, 2))]);
    const under = (kind: "opinion" | "split" | "possession") => {
      const message = signingBytes(kind, taggedDigest("opinion", body));
      return encode([body, signer("w1 node").sign(message)]);
    };
    assert.equal(codeOf(under("opinion")), "ok");
    assert.equal(codeOf(under("split")), "BAD_SIGNATURE");
    assert.equal(codeOf(under("possession")), "BAD_SIGNATURE");
  });

  test("no change of its bytes goes unseen, and none is more than refused", () => {
    const wire = signed(statementOf(1, 2));
    for (let at = 0; at < wire.length; at++) {
      for (const bit of [1, 128]) {
        const bent = Uint8Array.from(wire);
        bent[at] = (bent[at] ?? 0) ^ bit;
        assert.notEqual(codeOf(bent), "ok", `byte ${at}`);
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.notEqual(codeOf(bytes), "ok");
      }),
    );
  });
});

test("reasons are read as people say them", () => {
  const sinceMs = Date.UTC(2026, 10, 22, 12, 4, 10, 999);
  const rows: readonly (readonly [Opinion, Partial<Reason>, string])[] = [
    [
      "dead",
      { rounds: 412, unanswered: 3 },
      "dead: no block for 412 rounds, 3 probes unanswered since 12:04:10",
    ],
    [
      "suspected",
      { rounds: 412, unanswered: 1 },
      "suspected: no block for 412 rounds, 1 probe unanswered since 12:04:10",
    ],
    ["suspected", { rounds: 0, sinceMs: 0 }, "suspected: no block"],
    ["dead", { code: "no-link", rounds: 0 }, "dead: no link, nothing heard since 12:04:10"],
    ["dead", { code: "no-link", rounds: 5 }, "dead: no link, no block for 5 rounds since 12:04:10"],
    [
      "suspected",
      { code: "silent", rounds: 2 },
      "suspected: silent for longer than its habit, no block for 2 rounds since 12:04:10",
    ],
    ["ok", { code: "punctual" }, "ok: takes part since 12:04:10"],
    ["dead", { code: "operator" }, "dead: set by the operator since 12:04:10"],
    ["ok", { code: "punctual", sinceMs: 0 }, "ok: takes part"],
  ];
  for (const [opinion, over, text] of rows) {
    const all: Reason = { code: "no-block", sinceMs, rounds: 0, unanswered: 0, ...over };
    assert.equal(reasonText(opinion, all), text);
  }
});

describe("the matrix of opinions", () => {
  test("keeps the newest of each pair, in whatever order they come", () => {
    const one = fc.record({
      by: fc.nat(2),
      about: fc.nat(2),
      serial: fc.nat(5),
      opinion: fc.constantFrom(...opinions),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 30 }), (said) => {
        let matrix: OpinionMatrix = matrixOf([]);
        const dumb: Statement[] = [];
        for (const { by, about, serial, opinion } of said) {
          const statement = statementOf(by, about, { serial, opinion });
          const next = withStatement(matrix, statement);
          const earlier = dumb.filter((it) => it.by === by && it.about === about);
          const isNews = earlier.every((it) => it.serial < serial);
          assert.equal(next !== matrix, isNews);
          if (isNews) dumb.push(statement);
          matrix = next;
          assert.equal(
            opinionIn(matrix, Author(by), Author(about)),
            isNews ? opinion : earlier.at(-1)?.opinion,
          );
        }
      }),
    );
    assert.equal(opinionIn(matrixOf([]), Author(0), Author(1)), "ok");
  });

  /** `dead`: rows "by who about whom"; everybody else thinks well of everybody. */
  const leaving = (
    n: number,
    dead: readonly (readonly [number[], number])[],
    convicted: number[] = [],
  ) => {
    const quorum = n - Math.floor((n - 1) / 3);
    const matrix = matrixOf(
      dead.flatMap(([by, about]) => by.map((one) => statementOf(one, about))),
    );
    return removals(matrix, { n, quorum, convicted: new Set(convicted.map(Author)) });
  };
  const except = (n: number, ...not: number[]): number[] =>
    Array.from({ length: n }, (_, i) => i).filter((one) => !not.includes(one));

  for (const [n, quorum] of [
    [4, 3],
    [7, 5],
    [10, 7],
  ] as const) {
    test(`of ${n} hosts one is left out that ${quorum} others hold dead, and not one fewer`, () => {
      const others = except(n, 2);
      assert.deepEqual(leaving(n, [[others.slice(0, quorum), 2]]), [2]);
      assert.deepEqual(leaving(n, [[others.slice(0, quorum - 1), 2]]), []);
      assert.deepEqual(leaving(n, [[[2, ...others.slice(0, quorum - 1)], 2]]), [], "its own word");
      assert.deepEqual(leaving(n, []), []);
      assert.deepEqual(leaving(n, [], [3]), [3], "a proof needs no votes");
    });

    test(`of ${n} hosts only the dead are left out, not the suspected`, () => {
      const suspected = except(n, 2).map((by) => statementOf(by, 2, { opinion: "suspected" }));
      const by = { n, quorum, convicted: new Set<Author>() };
      assert.deepEqual(removals(matrixOf(suspected), by), []);
    });
  }

  test("several are left out only if four remain", () => {
    const both = (n: number) =>
      [
        [except(n, 1, 2), 1],
        [except(n, 1, 2), 2],
      ] as [number[], number][];
    assert.deepEqual(leaving(7, both(7)), [1, 2]);
    assert.deepEqual(leaving(10, both(10), [9]), [9, 1, 2], "the convicted first");
    assert.deepEqual(leaving(4, [], [3, 1]), [1], "one at a time, lowest first");
    assert.deepEqual(leaving(7, [], [5, 3, 1]), [1, 3, 5]);
    assert.deepEqual(leaving(7, [], [5, 3, 1, 0]), [0, 1, 3]);
  });
});
