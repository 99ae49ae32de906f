import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { limits } from "../../src/core/base/index.ts";
import { consistencyProof, sha256 } from "../../src/core/crypto/index.ts";
import {
  checkConsistency,
  checkPathProof,
  readPathProof,
  writeConsistency,
  writePathProof,
} from "../../src/core/proof/index.ts";
import { castOf } from "../support/evidence-cast.ts";
import { type Committee, Log, provenIn } from "../support/made-log.ts";

const { network, verifier, signer } = castOf();
const trust = { network, verifier };
const committee: Committee = { network, cosigner: (writer) => signer(`w${writer} cosign`) };

const name = fc.stringMatching(/^[a-z]{1,3}$/);
const paths = fc
  .array(
    fc.array(name, { minLength: 2, maxLength: 3 }).map((names) => names.join("/")),
    { minLength: 1, maxLength: 60 },
  )
  .map((all) => all.filter((one) => !all.some((other) => other.startsWith(`${one}/`))));

describe("a proof of what stands at a path", () => {
  test("holds for what is there, with its digest, and for what is not", () => {
    fc.assert(
      fc.property(paths, name, (all, other) => {
        if (all.length === 0) return;
        const [first = ""] = all;
        const there = checkPathProof(trust, provenIn(committee, all, `demo/${first}`));
        assert.ok(there.ok && there.value.entry?.kind === "file");
        assert.equal(there.value.entry.digest, sha256(Buffer.from(first)));
        const absent = checkPathProof(trust, provenIn(committee, all, `demo/${first}/${other}`));
        assert.ok(absent.ok && absent.value.entry === undefined && absent.value.height === 7);
      }),
      { numRuns: 40 },
    );
  });

  test("no other path can be put upon it: what it lacks makes it incomplete, never another truth", () => {
    const all = Array.from({ length: 400 }, (_, i) => `f${i}`);
    const written = provenIn(committee, all, "demo/f1");
    const read = readPathProof(written);
    assert.ok(read.ok);
    let incomplete = 0;
    for (const path of ["demo/f2", "demo/f399", "demo/none", "other", "demo/f1/x"]) {
      const checked = checkPathProof(trust, writePathProof({ ...read.value, path }));
      if (!checked.ok) {
        assert.equal(checked.error.code, "INCOMPLETE_PROOF");
        incomplete++;
      } else
        assert.equal(checked.value.entry === undefined, path !== "demo/f2" && path !== "demo/f399");
    }
    assert.ok(incomplete > 0);
  });

  test("the state is the one that the log names, not another of the same height", () => {
    const [mine, theirs] = [["a"], ["a", "b"]].map((files) =>
      readPathProof(provenIn(committee, files, "demo/b")),
    );
    assert.ok(mine?.ok && theirs?.ok);
    const { body, nodes } = theirs.value;
    const grafted = checkPathProof(trust, writePathProof({ ...mine.value, body, nodes }));
    assert.ok(!grafted.ok && grafted.error.code === "WRONG_PROOF");
  });

  test("any changed byte is a fault, never another answer", () => {
    const written = provenIn(committee, ["a", "b/c"], "demo/a");
    const right = JSON.stringify(checkPathProof(trust, written));
    const besides = checkPathProof(trust, provenIn(committee, ["a", "b/c"], "demo/b"));
    assert.ok(besides.ok && besides.value.entry?.kind === "directory");
    fc.assert(
      fc.property(fc.nat(written.length - 1), fc.integer({ min: 1, max: 127 }), (at, by) => {
        const code = written.charCodeAt(at) ^ by;
        const changed = written.slice(0, at) + String.fromCharCode(code) + written.slice(at + 1);
        const checked = checkPathProof(trust, changed);
        if (!checked.ok) return;
        // It may speak of another path, truly; of this one it says what it said before.
        const { path, entry } = checked.value;
        if (path === "demo/a") assert.equal(JSON.stringify(checked), right);
        else assert.deepEqual(entry, path === "demo/b" ? besides.value.entry : undefined);
      }),
      { numRuns: 3000 },
    );
  });

  test("a quorum is needed: two of three that are faulty prove nothing", () => {
    const written = provenIn(committee, ["a"], "demo/a");
    const lines = written.split("\n");
    const fewer = lines
      .filter((line, i) => !(line.startsWith("— ") && i === lines.length - 2))
      .join("\n");
    const checked = checkPathProof(trust, fewer);
    assert.ok(!checked.ok && checked.error.code === "NO_QUORUM");
    const twice = written.replace(/(— .*\n)(— .*\n)(— .*\n)$/, "$1$2$2");
    const again = checkPathProof(trust, twice);
    assert.ok(!again.ok && again.error.code === "NO_QUORUM", "one writer counts once");
  });

  test("many files in one directory, many leaves: 8 KB", (t) => {
    // SMALTI_FILES=1000000 takes most of a minute.
    const files = Number(process.env["SMALTI_FILES"] ?? 40_000);
    const all = Array.from({ length: files }, (_, i) => `package-${i}_1.0-${i % 9}_amd64.deb`);
    const written = provenIn(committee, all, `demo/${all[12_345]}`, files / 2);
    t.diagnostic(`${written.length} bytes`);
    assert.ok(written.length <= 8192, `${written.length} bytes`);
    const startedAt = performance.now();
    for (let i = 0; i < 20; i++) assert.ok(checkPathProof(trust, written).ok);
    t.diagnostic(
      `${((performance.now() - startedAt) / 20).toFixed(2)} ms to check it, with pretended signatures`,
    );
  });

  test("text that is no proof is refused", () => {
    for (const text of [
      "",
      "\n\n",
      "c2sp.org/tlog-proof@v1\n\n",
      "x".repeat(limits.proofBytesMax + 1),
    ])
      assert.equal(checkPathProof(trust, text).ok, false);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => !checkPathProof(trust, text).ok),
    );
  });
});

describe("a proof that a log only grew", () => {
  const grown = (from: number, to: number): { log: Log; older: string; newer: string } => {
    const log = new Log(committee);
    for (let i = 0; i < from; i++) log.add(Buffer.from(`leaf ${i}`));
    const older = log.note();
    for (let i = from; i < to; i++) log.add(Buffer.from(`leaf ${i}`));
    return { log, older, newer: log.note() };
  };

  test("holds between any two sizes, and not for another beginning", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.nat(300), (from, more) => {
        const { log, older, newer } = grown(from, from + more);
        const hashes = consistencyProof(from, from + more, log.read);
        const checked = checkConsistency(trust, writeConsistency({ older, newer, hashes }));
        assert.ok(checked.ok);
        const other = new Log(committee);
        for (let i = 0; i < from; i++) other.add(Buffer.from(`other ${i}`));
        const forked = checkConsistency(
          trust,
          writeConsistency({ older: other.note(), newer, hashes }),
        );
        assert.ok(!forked.ok && forked.error.code === "INCONSISTENT");
      }),
      { numRuns: 60 },
    );
  });

  test("neither of the two is believed without a quorum", () => {
    const { log, newer } = grown(3, 8);
    const hashes = consistencyProof(3, 8, log.read);
    const small = new Log(committee);
    for (let i = 0; i < 3; i++) small.add(Buffer.from(`leaf ${i}`));
    const older = small.note([0, 1]);
    assert.equal(checkConsistency(trust, writeConsistency({ older, newer, hashes })).ok, false);
    const swapped = writeConsistency({ older: newer, newer: small.note(), hashes });
    assert.equal(checkConsistency(trust, swapped).ok, false, "the longer is not the older");
  });
});
