import { test } from "node:test";
import { checkFigure } from "../support/dag-figure.ts";
import { ruleOf } from "../support/dag-world.ts";

// dag.md §8 drawn. One leader a round unless said: B1, C2, D3, … The notation: test/support/dag-figure.ts.

const three = ruleOf("three", 4, 1); // certificate 3 of 4, commit 3, skip 3
const two = ruleOf("two", 6, 1); // fast 5 of 6, skip 5, weak 3
const dual = ruleOf("dual", 6, 1, 0, 2); // certificate 4 of 6, commit 3, fast 5, skip 5, weak 3

const full = (from: number, to: number, writers: string): string => {
  const lines: string[] = [];
  for (let round = from; round <= to; round++)
    lines.push(`round ${round}  ${[...writers].join("* ")}*`);
  return lines.join("\n");
};

test("THREE: three certificates commit directly; two do not, and block the prefix", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C* D-B1
    round 3  A* B* C*          # each holds three votes for B1
    → B1 commit direct`,
  );
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C* D-B1
    round 3  A* B* C-A2        # C3 sees two votes only
    → B1 undecided`,
  );
});

test("TWO: five votes commit directly; four do not", () => {
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* B* C* D* E* F-B1
    → B1 commit direct`,
  );
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* B* C* D* E-B1 F-B1
    → B1 undecided`,
  );
});

test("DUAL: five votes commit fast, three certificates of four votes commit slowly", () => {
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* C* D* E* F-B1
    → B1 commit direct`,
  );
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* C* D* E-B1 F-B1
    round 3  A* B* C*
    → B1 commit direct`,
  );
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* C* D* E-B1 F-B1
    round 3  A* B*             # two certificates are too few
    → B1 undecided`,
  );
});

test("a quorum of non-votes skips directly, whether the leader spoke or not", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A-B1 B* C-B1 D-B1
    → B1 skip direct`,
  );
  checkFigure(
    three,
    `
    round 1  A C D
    round 2  A* C* D*
    → B1 skip direct`,
  );
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A-B1 C-B1 D-B1 E-B1 F-B1
    → B1 skip direct`,
  );
  checkFigure(
    dual,
    `
    round 1  A C D E F
    round 2  A* C* D* E*       # four of the five
    → B1 undecided`,
  );
  checkFigure(
    dual,
    `
    round 1  A C D E F
    round 2  A* C* D* E* F*
    → B1 skip direct`,
  );
});

test("an anchor commits indirectly what one certificate in its past holds (THREE, DUAL)", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C* D-B1
    round 3  A* B-C2 C-A2 D-B2 # A3 alone certifies B1
    ${full(4, 6, "ABCD")}
    → B1 commit indirect · C2 commit direct · D3 commit direct · A4 commit direct · B5 undecided`,
  );
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* C* D* E-B1 F-B1
    round 3  A* B-A2 C-A2 D-B2 E-B2 F-C2
    round 4  A* B* C* D* E* F*
    round 5  A* B* C* D* E* F*
    → B1 commit indirect · C2 commit direct · D3 commit direct · E4 commit direct · F5 undecided`,
  );
});

test("an anchor skips indirectly what its past does not hold", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C-B1 D-B1   # two votes, two against
    ${full(3, 6, "ABCD")}
    → B1 skip indirect · C2 commit direct · D3 commit direct · A4 commit direct · B5 undecided`,
  );
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* B* C-B1 D-B1 E-B1 F-B1
    ${full(3, 4, "ABCDEF")}
    → B1 skip indirect · C2 commit direct · D3 commit direct · E4 undecided`,
  );
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* C-B1 D-B1 E-B1 F-B1
    ${full(3, 5, "ABCDEF")}
    → B1 skip indirect · C2 commit direct · D3 commit direct · E4 commit direct · F5 undecided`,
  );
});

test("an anchor commits indirectly what a weak quorum in its past voted for (TWO, DUAL)", () => {
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* B* C* D-B1 E-B1 F-B1
    ${full(3, 4, "ABCDEF")}
    → B1 commit indirect · C2 commit direct · D3 commit direct · E4 undecided`,
  );
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* C* D-B1 E-B1 F-B1
    ${full(3, 5, "ABCDEF")}
    → B1 commit indirect · C2 commit direct · D3 commit direct · E4 commit direct · F5 undecided`,
  );
});

test("only the anchor's past counts, not what else is here", () => {
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* B* C* D-B1 E-B1 F-B1
    round 3  A* B* C* D=A2,B2,D2,E2,F2 E* F*   # the anchor D3 has not seen C2's vote
    round 4  A* B* C* D* E* F*
    → B1 skip indirect · C2 commit direct · D3 commit direct · E4 undecided`,
  );
});

test("an equivocating leader: the twin with the quorum is committed, split votes skip both", () => {
  checkFigure(
    three,
    `
    round 1  A B B' C D
    round 2  A-B1+B1' B* C-B1+B1' D-B1+B1'
    round 3  A* C* D*
    → B1' commit direct`,
  );
  checkFigure(
    three,
    `
    round 1  A B B' C D
    round 2  A* B-B1+B1' C-B1 D-B1             # one vote each, and three against each
    → B1 skip direct`,
  );
  checkFigure(
    two,
    `
    round 1  A B B' C D E F
    round 2  A-B1+B1' B* C-B1+B1' D-B1+B1' E-B1+B1' F-B1+B1'
    → B1' commit direct`,
  );
  checkFigure(
    dual,
    `
    round 1  A B B' C D E F
    round 2  A-B1+B1' B* C-B1+B1' D-B1+B1' E-B1+B1' F-B1+B1'
    → B1' commit direct`,
  );
});

test("twins of a voter count once", () => {
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* A'* B* C* D* E-B1 F-B1
    → B1 undecided`,
  );
});

test("DUAL: a certificate beats a weak quorum of the smaller digest", () => {
  checkFigure(
    dual,
    `
    round 1  A B B' C D E F
    round 2  A* B* C* D-B1+B1' E-B1+B1' F-B1+B1' C'-B1+B1'
    round 3  A* B* C* D* E-C2+C2' F*           # E3 certifies B1' through C's other block
    ${full(4, 5, "ABCDEF")}
    → B1' commit indirect · C2 commit direct · D3 commit direct · E4 commit direct · F5 undecided`,
  );
});

test("an ambiguous weak rung takes the smallest digest, in whatever order the twins came (TWO, DUAL)", () => {
  for (const twins of ["B B'", "B' B"]) {
    checkFigure(
      two,
      `
      round 1  A ${twins} C D E F
      round 2  A* B* C* D-B1+B1' E-B1+B1' F-B1+B1'
      ${full(3, 4, "ABCDEF")}
      → B1 commit indirect · C2 commit direct · D3 commit direct · E4 undecided`,
    );
    checkFigure(
      dual,
      `
      round 1  A ${twins} C D E F
      round 2  A* B* C* D-B1+B1' E-B1+B1' F-B1+B1'
      ${full(3, 5, "ABCDEF")}
      → B1 commit indirect · C2 commit direct · D3 commit direct · E4 commit direct · F5 undecided`,
    );
  }
});

test("an undecided slot blocks all that follows, committed or not", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C-B1 D-B1
    ${full(3, 4, "ABCD")}
    → B1 undecided`,
  ); // C2 has its certificates, and waits.
});

test("trailing skips are decided and move the cursor", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* D*          # the leader C2 is silent
    round 3  A* B* C*          # and D3
    round 4  A* B* C*
    → B1 commit direct · C2 skip direct · D3 skip direct · A4 undecided`,
  );
  checkFigure(
    two,
    `
    round 1  A B C D E F
    round 2  A* B* D* E* F*
    round 3  A* B* D* E* F*
    → B1 commit direct · C2 skip direct · D3 undecided`,
  );
  checkFigure(
    dual,
    `
    round 1  A B C D E F
    round 2  A* B* D* E* F*
    round 3  A* B* D* E* F*
    → B1 commit direct · C2 skip direct · D3 undecided`,
  );
});

test("skipped slots are no anchors: the first that is not decides", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C-B1 D-B1
    round 3  A* B* C* D*
    round 4  B* C* D*          # the anchor A4 is silent, and skipped
    ${full(5, 7, "BCD")}
    → B1 skip indirect · C2 commit direct · D3 commit direct · A4 skip direct · B5 commit direct · C6 undecided`,
  );
});

test("several leaders a round are decided in the order of their rank", () => {
  checkFigure(
    three,
    `
    round 1  A B C D
    round 2  A* B* C* D-C1
    round 3  A* B* C* D*
    → B1 commit direct · C1 commit direct · D1 commit direct · A1 commit direct · C2 undecided`,
    4,
  );
});

test("n = 1: every block commits two rounds later, alone", () => {
  checkFigure(
    ruleOf("three", 1, 0),
    `
    round 1  A
    round 2  A*
    round 3  A*
    round 4  A*
    → A1 commit direct · A2 commit direct · A3 undecided`,
  );
});

test("n = 1 by the other rows: two rounds suffice", () => {
  for (const name of ["two", "dual"] as const) {
    checkFigure(
      ruleOf(name, 1, 0),
      `
      round 1  A
      round 2  A*
      → A1 commit direct · A2 undecided`,
    );
  }
});
