import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { createGuard, type GuardRow, openGuard } from "../../src/io/files/index.ts";
import { flipByte } from "../support/signed-blocks.ts";

const rowOf = (round: number): GuardRow => ({
  round,
  isReturning: false,
  checkpointSize: round * 2,
  checkpointRoot: Buffer.alloc(32, round),
});

describe("guard file", () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-guard-"));
    path = join(directory, "guard");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function look(): Promise<{ readonly round: number; readonly isWhole: boolean }> {
    const { guard, row, isWhole } = await openGuard(path);
    await guard.close();
    return { round: row.round, isWhole };
  }

  async function written(rounds: number): Promise<void> {
    await createGuard(path);
    const { guard } = await openGuard(path);
    for (let round = 1; round <= rounds; round++) await guard.write(rowOf(round));
    await guard.close();
  }

  test("a fresh one vouches that nothing was signed; a second is refused", async () => {
    await createGuard(path);
    assert.deepEqual(await look(), { round: 0, isWhole: true });
    await assert.rejects(createGuard(path), /EEXIST/);
  });

  test("the last row written is the one that is read", async () => {
    for (let rounds = 1; rounds <= 5; rounds++) {
      await written(rounds);
      const { guard, row, isWhole } = await openGuard(path);
      await guard.close();
      assert.ok(isWhole);
      assert.deepEqual({ ...row, checkpointRoot: Buffer.from(row.checkpointRoot) }, rowOf(rounds));
      await rm(path);
    }
  });

  test("one that says that more may have been signed is not whole, until a row takes it back", async () => {
    await createGuard(path);
    const { guard } = await openGuard(path);
    for (const round of [7, 8]) await guard.write({ ...rowOf(round), isReturning: true });
    assert.deepEqual(await look(), { round: 8, isWhole: false });
    await guard.write(rowOf(9));
    await guard.close();
    assert.deepEqual(await look(), { round: 9, isWhole: true });
  });

  test("a missing, empty or cut one is not whole, also the second time, until both slots are new", async () => {
    for (const size of [undefined, 0, 1, 100, 512, 540]) {
      await written(4);
      if (size === undefined) await rm(path);
      else await truncate(path, size);
      assert.equal((await look()).isWhole, false, `${size} bytes`);
      assert.equal((await look()).isWhole, false, `${size} bytes, opened again`);
      const { guard } = await openGuard(path);
      await guard.write(rowOf(9));
      assert.equal((await look()).round, 9);
      await guard.write(rowOf(10));
      await guard.close();
      assert.deepEqual(await look(), { round: 10, isWhole: true });
      await rm(path);
    }
  });

  test("any flipped byte is noticed, or is padding and changes nothing", async () => {
    await written(7);
    const whole = await readFile(path);
    for (let offset = 0; offset < whole.length; offset++) {
      await flipByte(path, offset, 1 << (offset % 8));
      const { round, isWhole } = await look();
      assert.ok(isWhole ? round === 7 : round <= 7, `byte ${offset}: round ${round}`);
      const slot = whole.subarray(offset - (offset % 512));
      const isPadding = offset % 512 >= 34 + slot.readUInt16BE(0);
      assert.equal(isWhole, isPadding, `byte ${offset}`);
      await writeFile(path, whole);
    }
  });
});
