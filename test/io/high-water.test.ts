import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { compareWithMark, MarkFile, markOf } from "../../src/app/client/high-water.ts";
import type { VerifiedHead } from "../../src/app/client/index.ts";
import { judge } from "../../src/core/accountability/index.ts";
import { Digest } from "../../src/core/base/index.ts";
import { consistencyProof, rootOf } from "../../src/core/crypto/index.ts";
import { castOf } from "../support/evidence-cast.ts";
import { type Committee, Log } from "../support/made-log.ts";

const { network, verifier, signer } = castOf();
const trust = { network, verifier };
const committee: Committee = { network, cosigner: (writer) => signer(`w${writer} cosign`) };

/** A log of so many leaves, and its head; `name` makes it another one. */
function grown(size: number, name = "leaf"): { log: Log; head: VerifiedHead } {
  const log = new Log(committee);
  for (let i = 0; i < size; i++) log.add(Buffer.from(`${name} ${i}`));
  const head: VerifiedHead = {
    height: size,
    trees: undefined,
    state: Digest("00".repeat(32)),
    tsMs: 1,
    logSize: size,
    logRoot: new Uint8Array(rootOf(log.frontier)),
    leaseS: 100,
    signers: [],
    note: log.note(),
  };
  return { log, head };
}

const none = (): Promise<readonly Uint8Array[]> => Promise.resolve([]);

describe("the newest head that a client has ever seen", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-marks-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  test("is read as it was written, by its owner only; a damaged file is no empty memory", async () => {
    const file = new MarkFile(join(directory, "deep"), network.group);
    assert.equal(await file.read(), undefined);
    const mark = markOf(grown(5).head);
    await file.write(mark);
    assert.deepEqual(await file.read(), { ...mark, version: 1 });
    assert.equal((await stat(file.path)).mode & 0o077, 0);
    const text = await readFile(file.path, "utf8");
    for (const damaged of [
      "",
      "{",
      text.slice(0, 40),
      text.replace('"logRoot":"', '"logRoot":"!'),
    ]) {
      await writeFile(file.path, damaged);
      await assert.rejects(file.read(), { code: "MARK_MALFORMED" });
    }
  });

  test("something shorter is refused, whatever it proves", async () => {
    const [old, now] = [grown(5), grown(9)];
    const mark = markOf(now.head);
    await assert.rejects(compareWithMark(trust, { mark, head: old.head }, none), {
      code: "ROLLED_BACK",
    });
  });

  test("something longer must continue it", async () => {
    const [old, now] = [grown(5), grown(9)];
    const mark = markOf(old.head);
    const honest = (from: number, to: number) =>
      Promise.resolve(consistencyProof(from, to, now.log.read));
    assert.ok((await compareWithMark(trust, { mark, head: now.head }, honest)).ok);
    for (const hashes of [none, honest]) {
      const head = hashes === none ? now.head : grown(9, "other").head;
      const compared = await compareWithMark(trust, { mark, head }, hashes);
      assert.ok(!compared.ok && compared.error.code === "UNPROVEN");
    }
  });

  test("another root of the same size convicts everybody who signed both", async () => {
    const mark = markOf(grown(7).head);
    assert.ok((await compareWithMark(trust, { mark, head: grown(7).head }, none)).ok, "the same");
    const error = await compareWithMark(trust, { mark, head: grown(7, "other").head }, none).then(
      () => assert.fail(),
      (thrown: unknown) => thrown as { code: string; evidence: readonly Uint8Array[] },
    );
    assert.equal(error.code, "FORK");
    const culprits = error.evidence.map((wire) => {
      const verdict = judge(wire, { network, verifier });
      return verdict.ok ? verdict.value.culprit : verdict.error.code;
    });
    assert.deepEqual(
      culprits,
      network.writers.slice(0, 3).map(({ nodeKey }) => nodeKey),
    );
  });
});
