import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  decodeEvidence,
  type Evidence,
  encodeEvidence,
  evidenceId,
  evidenceKinds,
  filePathOf,
  judge,
  signatureBase,
} from "../../src/core/accountability/index.ts";
import { equalBytes } from "../../src/core/base/index.ts";
import { encode, type Value } from "../../src/core/codec/index.ts";
import { type DagMisbehaviour, dag } from "../../src/core/dag/index.ts";
import {
  blockOf,
  type Cast,
  castOf,
  digestOf,
  halfOf,
  ofDag,
  published,
  rootOfText,
  served,
} from "../support/evidence-cast.ts";
import { honestWorks, joinOf, misdeeds } from "../support/evidence-deeds.ts";

const cast = castOf();
const kinds = Object.keys(misdeeds) as readonly (keyof typeof misdeeds)[];
const deed = (kind: keyof typeof misdeeds, by: Cast): Evidence => misdeeds[kind](by);

test("there is a misdeed of every kind", () => {
  assert.deepEqual([...evidenceKinds(dag.misbehaviours).values()].sort(), [...kinds].sort());
});

const verdictOf = (evidence: Evidence, { network, court }: Cast = cast) =>
  judge(encodeEvidence(network, evidence), court);

/** 200 bytes more would hurt nobody: the order is what is paid for. */
const wireBytesMax = 4096;

describe("every kind of evidence", () => {
  for (const kind of kinds) {
    test(`${kind}: a misdeed convicts, offline and with the genesis alone`, (t) => {
      for (const isReal of [false, true]) {
        const by = castOf(4, { isReal });
        const wire = encodeEvidence(by.network, deed(kind, by));
        const verdict = judge(wire, by.court);
        assert.ok(verdict.ok, verdict.ok ? "" : verdict.error.detail);
        assert.equal(verdict.value.kind, kind);
        assert.equal(verdict.value.culprit, by.signer("w1 node").publicKey);
        assert.equal(verdict.value.author, 1);
        assert.equal(verdict.value.id, evidenceId(wire));
        assert.match(verdict.value.detail, /^w1 /);
        if (isReal) t.diagnostic(`${kind}: ${wire.length} bytes`);
        assert.ok(wire.length <= wireBytesMax, `${wire.length} bytes`);
      }
    });

    test(`${kind}: survives its encoding, and has one form`, () => {
      const wire = encodeEvidence(cast.network, deed(kind, cast));
      const decoded = decodeEvidence(wire, dag.misbehaviours);
      assert.ok(decoded.ok);
      assert.equal(decoded.value.id, evidenceId(wire));
      assert.equal(decoded.value.group, cast.network.group);
      assert.deepEqual(encodeEvidence(cast.network, decoded.value.evidence), wire);
      const { evidence } = decoded.value;
      const pair = evidence.kind === "consensus" ? evidence.proof : evidence;
      if (!("first" in pair && "second" in pair)) return;
      const swapped = { ...pair, first: pair.second, second: pair.first };
      const other = evidence.kind === "consensus" ? ofDag(swapped as DagMisbehaviour) : swapped;
      assert.deepEqual(encodeEvidence(cast.network, other as Evidence), wire);
    });

    test(`${kind}: convicts nobody in another network, and nobody without good signatures`, () => {
      const wire = encodeEvidence(cast.network, deed(kind, cast));
      const other = castOf(4, { name: "another" });
      const elsewhere = judge(wire, other.court);
      assert.equal(elsewhere.ok ? "" : elsewhere.error.code, "WRONG_GROUP");
      // The same proof under the other name: the group stands in everything that is signed.
      const moved = verdictOf(deed(kind, cast), other);
      assert.equal(moved.ok, false);
      const unsigned = judge(wire, { ...cast.court, verifier: { verify: () => false } });
      assert.equal(unsigned.ok, false);
    });
  }

  test("the halves of a pair in the wrong order are refused: one misdeed, one id", () => {
    const evidence = misdeeds.equivocation(cast);
    assert.ok(evidence.kind === "consensus");
    const { author, epoch, round, first, second } = evidence.proof as Twins;
    const inWrongOrder = [first, second].sort((a, b) => (a.body < b.body ? 1 : -1));
    const halves = inWrongOrder.map(({ body, signature }) => [Buffer.from(body, "hex"), signature]);
    const group = Buffer.from(cast.network.group, "hex");
    const wire = encode([1, group, 0, [author, epoch, round, ...(halves as Value[])]]);
    const read = decodeEvidence(wire, dag.misbehaviours);
    assert.equal(read.ok ? "" : read.error.code, "NOT_CANONICAL");
  });

  test("two blocks of one slot take the same few bytes, however long their headers are", (t) => {
    const sizes = [0, 64].map((votes) => {
      const [first, second] = ["a", "b"].map((text) =>
        halfOf(blockOf(cast, { author: 1, round: 3, text, votes })),
      );
      assert.ok(first !== undefined && second !== undefined);
      const evidence = ofDag({ ...slot(3), first, second });
      assert.ok(verdictOf(evidence).ok);
      return encodeEvidence(cast.network, evidence).length;
    });
    t.diagnostic(`equivocation: ${sizes} bytes`);
    assert.equal(sizes[0], sizes[1]);
    assert.ok((sizes[0] ?? 0) < 300);
  });
});

type Twins = Extract<DagMisbehaviour, { kind: "equivocation" }>;

const slot = (round: number) =>
  ({
    kind: "equivocation",
    author: cast.network.writers[1]?.index ?? 0,
    epoch: 0,
    round,
  }) as Twins;

describe("nobody is convicted for", () => {
  const half = (round: number, text: string) => halfOf(blockOf(cast, { author: 1, round, text }));
  const refused = (evidence: Evidence, code = "NOT_PROVEN"): void => {
    const verdict = verdictOf(evidence);
    assert.equal(verdict.ok ? "a verdict" : verdict.error.code, code);
  };

  test("one block shown twice, or blocks of two rounds", () => {
    refused(ofDag({ ...slot(3), first: half(3, "a"), second: half(3, "a") }));
    for (const round of [3, 4])
      refused(ofDag({ ...slot(round), first: half(3, "a"), second: half(4, "a") }));
  });

  test("blocks of another group or epoch", () => {
    const other = castOf(4, { name: "another" });
    const abroad = halfOf(blockOf(other, { author: 1, round: 3, text: "b" }));
    const later = halfOf(blockOf(cast, { author: 1, round: 3, text: "b", change: { epoch: 1 } }));
    for (const second of [abroad, later]) {
      refused(ofDag({ ...slot(3), first: half(3, "a"), second }));
      refused(ofDag({ ...slot(3), epoch: 1, first: half(3, "a"), second }));
    }
    const twin = halfOf(blockOf(cast, { author: 1, round: 3, text: "c", change: { epoch: 1 } }));
    refused(ofDag({ ...slot(3), epoch: 1, first: twin, second: later }));
  });

  test("what it signed for another purpose", () => {
    const body = digestOf("a body");
    const [a, b] = [1, 2].map((plan) => joinOf(cast, { author: 1, size: 6, body: `plan ${plan}` }));
    assert.ok(a !== undefined && b !== undefined);
    refused(ofDag({ ...slot(3), first: a, second: b }));
    const asJoins = { kind: "double-split", author: slot(3).author, size: 3 } as const;
    refused({ ...asJoins, first: half(3, "a"), second: half(3, "b") });
    refused({ ...asJoins, size: 6, first: a, second: { ...b, body } });
    const asRoots = [a, b].map(({ signature }, i) => ({
      root: rootOfText(`root ${i}`),
      timeS: 5,
      signature,
    }));
    const [first, second] = asRoots;
    assert.ok(first !== undefined && second !== undefined);
    refused({ kind: "contradicting-checkpoint", author: slot(3).author, size: 6, first, second });
  });

  test("anything at all, however honest work of all kinds is put together", () => {
    const works = honestWorks(cast, castOf(4, { name: "another" }));
    fc.assert(
      fc.property(works, (evidence) => {
        const verdict = verdictOf(evidence);
        assert.ok(!verdict.ok, verdict.ok ? verdict.value.detail : "");
      }),
      { numRuns: 20_000 },
    );
  });

  test("anything at all, however the bytes of such proofs are changed", () => {
    const works = honestWorks(cast, castOf(4, { name: "another" }));
    fc.assert(
      fc.property(works, edits, (evidence, edit) => {
        const wire = edited(encodeEvidence(cast.network, evidence), edit);
        const verdict = judge(wire, cast.court);
        assert.ok(!verdict.ok, verdict.ok ? verdict.value.detail : "");
      }),
      { numRuns: 5000 },
    );
  });
});

type Edit = {
  readonly at: number;
  readonly cut: number;
  readonly put: Uint8Array;
  readonly xor: number;
};
const edits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({
    at: fc.nat(1_000_000),
    cut: fc.nat(3),
    put: fc.uint8Array({ maxLength: 3 }),
    xor: fc.integer({ min: 0, max: 255 }),
  }),
  { minLength: 1, maxLength: 3 },
);

/** Bits flipped, bytes cut out, bytes put in. */
function edited(wire: Uint8Array, all: readonly Edit[]): Uint8Array {
  let bytes = Buffer.from(wire);
  for (const { at, cut, put, xor } of all) {
    const place = at % Math.max(1, bytes.length);
    if (xor !== 0) bytes[place] = (bytes[place] ?? 0) ^ xor;
    else bytes = Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + cut)]);
  }
  return bytes;
}

test("what a host signs under an answer is the signature base of RFC 9421 §2.5, byte for byte", () => {
  const { group } = cast.network;
  const key = cast.signer("w1 node").publicKey;
  const { claim } = served(cast, { content: digestOf(""), nonce: "n" });
  const parameters = `created=1700000002;keyid="${key}";alg="ed25519";tag="smalti-receipt"`;
  const hash = Buffer.from(digestOf(""), "hex").toString("base64");
  const found = [
    '"@method";req: GET',
    '"@path";req: /alpha/a%20file',
    '"@status": 200',
    `"repr-digest": sha-256=:${hash}:`,
    '"smalti-height": 7',
    `"smalti-network": ${group}`,
    `"@signature-params": ("@method";req "@path";req "@status" "repr-digest" "smalti-height" "smalti-network");${parameters};nonce="n"`,
  ];
  assert.equal(Buffer.from(signatureBase(claim)).toString(), found.join("\n"));
  const absent = { ...claim, status: 404, content: undefined, method: "HEAD", nonce: "" } as const;
  const missing = [
    '"@method";req: HEAD',
    '"@path";req: /alpha/a%20file',
    '"@status": 404',
    '"smalti-height": 7',
    `"smalti-network": ${group}`,
    `"@signature-params": ("@method";req "@path";req "@status" "smalti-height" "smalti-network");${parameters}`,
  ];
  assert.equal(Buffer.from(signatureBase(absent)).toString(), missing.join("\n"));
});

test("a path is read as hosts serve it, and no other request has receipts that convict", () => {
  assert.deepEqual(filePathOf("/alpha/a%20file"), ["alpha", "a file"]);
  assert.deepEqual(filePathOf("/alpha/sub%2Fdeep"), ["alpha", "sub", "deep"]);
  const none = ["", "alpha/x", "/alpha", "/alpha/", "/alpha//x", "//alpha/x", "/alpha/../x"];
  const own = [
    "/.smalti/x",
    "/@7/alpha/x",
    "/alpha/%",
    "/alpha/a%0Ab",
    "/alpha/a\nb",
    "/alpha%2F/",
  ];
  for (const path of [...none, ...own]) {
    assert.equal(filePathOf(path), undefined, path);
    const receipt = served(cast, { path, content: digestOf("a lie") });
    assert.equal(verdictOf({ kind: "wrong-answer", receipt, proof: published(cast) }).ok, false);
  }
  const receipt = served(cast, { nonce: '"\n', content: digestOf("a lie") });
  assert.equal(verdictOf({ kind: "wrong-answer", receipt, proof: published(cast) }).ok, false);
});

describe("a true proof with changed bytes", () => {
  for (const kind of kinds) {
    test(`${kind}: convicts the one who did it, of what it did, or nobody`, () => {
      const wire = encodeEvidence(cast.network, deed(kind, cast));
      const truth = judge(wire, cast.court);
      assert.ok(truth.ok);
      fc.assert(
        fc.property(edits, (edit) => {
          const changed = edited(wire, edit);
          const verdict = judge(changed, cast.court);
          if (!verdict.ok || equalBytes(changed, wire)) return;
          assert.equal(verdict.value.culprit, truth.value.culprit);
          assert.equal(verdict.value.offence, truth.value.offence);
        }),
        { numRuns: 3000 },
      );
    });

    test(`${kind}: every bit of every signature counts`, () => {
      const evidence = deed(kind, cast);
      for (const signature of signaturesIn(evidence)) {
        for (const bit of [0, 255, 511]) {
          const at = bit >> 3;
          signature[at] = (signature[at] ?? 0) ^ (1 << (bit & 7));
          assert.equal(verdictOf(evidence).ok, false);
          signature[at] = (signature[at] ?? 0) ^ (1 << (bit & 7));
        }
      }
      assert.ok(verdictOf(evidence).ok);
    });
  }

  test("bytes of any origin are never more than refused", () => {
    const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
      value: fc.oneof(
        { depthSize: "medium", withCrossShrink: true },
        fc.nat(),
        fc.string({ maxLength: 9 }),
        fc.constant(null),
        fc.boolean(),
        fc.uint8Array({ maxLength: 4 }),
        fc.constantFrom(new Uint8Array(32), new Uint8Array(64)),
        fc.array(tie("value"), { maxLength: 9 }),
      ),
    })).value;
    const group = Buffer.from(cast.network.group, "hex");
    fc.assert(
      fc.property(fc.nat(6), value, (kind, body) => {
        assert.equal(judge(encode([1, group, kind, body]), cast.court).ok, false);
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.equal(judge(bytes, cast.court).ok, false);
      }),
    );
  });
});

/** Those by which the culprit convicts itself. */
function signaturesIn(evidence: Evidence): readonly Uint8Array[] {
  switch (evidence.kind) {
    case "consensus": {
      const proof = evidence.proof as DagMisbehaviour;
      if (proof.kind === "invalid-block") return [proof.signed.signature];
      return [proof.first.signature, proof.second.signature];
    }
    case "wrong-answer":
      return [evidence.receipt.signature];
    case "false-possession":
      return [evidence.claim.signature];
    default:
      return [evidence.first.signature, evidence.second.signature];
  }
}
