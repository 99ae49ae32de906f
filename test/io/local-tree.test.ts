import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { findChanged } from "../../src/app/client/find-changed.ts";
import {
  LocalTreeError,
  planPublish,
  refuseMassDeletion,
  scanDirectory,
} from "../../src/app/client/index.ts";
import { changedWhile } from "../../src/app/client/local-error.ts";
import type { Digest } from "../../src/core/base/index.ts";
import type { Difference, Leaf } from "../../src/core/mirror/index.ts";

const file = (digit: string): Leaf => ({
  kind: "file",
  digest: digit.repeat(64) as Digest,
  size: 1,
  executable: false,
});

describe("a directory that is read", () => {
  let work: string;
  before(() => {
    work = mkdtempSync(join(tmpdir(), "smalti-local-"));
  });
  after(() => rmSync(work, { recursive: true, force: true }));
  beforeEach(() => {
    rmSync(join(work, "t"), { recursive: true, force: true });
    mkdirSync(join(work, "t"));
  });
  const at = (name: string): string => join(work, "t", name);
  const raw = (text: string): Buffer =>
    Buffer.concat([Buffer.from(`${join(work, "t")}/`), Buffer.from(text, "latin1")]);

  async function scanned(): Promise<{
    paths: string[];
    omitted: Map<string, string>;
    empty: string[];
  }> {
    const omitted = new Map<string, string>();
    const empty: string[] = [];
    const leaves = await scanDirectory(join(work, "t"), {
      onOmitted: (path, why) => void omitted.set(path, why),
      onEmptyDirectory: (path) => void empty.push(path),
    });
    return { paths: [...leaves.keys()], omitted, empty: empty.sort() };
  }

  test("what a tree cannot hold is left out and named, and the rest is read", async () => {
    writeFileSync(at("plain"), "1");
    writeFileSync(at("true \ufffd sign"), "2");
    writeFileSync(raw("not-\xff-text"), "3");
    mkdirSync(raw("dir-\xfe"));
    writeFileSync(raw("dir-\xfe/inside"), "4");
    symlinkSync(Buffer.from("to-\xff", "latin1"), at("bad-target"));
    symlinkSync("elsewhere", at("link"));
    writeFileSync(at("tab\tname"), "5");
    execFileSync("mkfifo", [at("pipe")]);
    const { paths, omitted } = await scanned();
    assert.deepEqual(paths, ["link", "plain", "true \ufffd sign"]);
    assert.match(omitted.get("pipe") ?? "", /neither a file nor a link/);
    assert.match(omitted.get("bad-target") ?? "", /target is not UTF-8/);
    assert.match(omitted.get("tab\tname") ?? "", /control character/);
    const names = [...omitted].filter(([, why]) => why === "the name is not UTF-8");
    assert.equal(names.length, 2, JSON.stringify([...omitted]));
    assert.equal(omitted.size, 5);
  });

  test("without anybody to tell, the first such thing is an error", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    await assert.rejects(scanDirectory(join(work, "t")), (error: unknown) => {
      assert.ok(error instanceof LocalTreeError);
      assert.match(error.message, /"pipe" cannot be in a tree: it is neither a file nor a link/);
      return true;
    });
  });

  test("directories without files are told, the innermost ones", async () => {
    mkdirSync(at("a/b/c"), { recursive: true });
    mkdirSync(at("d"));
    writeFileSync(at("d/x"), "1");
    const { paths, empty } = await scanned();
    assert.deepEqual([paths, empty], [["d/x"], ["a/b/c"]]);
  });

  test("the root may be a link; nothing below is followed", async () => {
    writeFileSync(at("x"), "1");
    symlinkSync(join(work, "t"), join(work, "root-link"));
    const leaves = await scanDirectory(join(work, "root-link"));
    assert.deepEqual([...leaves.keys()], ["x"]);
    await rm(join(work, "root-link"));
  });

  test("a file that was touched after it was read is found, and no other", async () => {
    for (const name of ["a", "b", "c"]) await writeFile(at(name), name);
    const leaves = [...(await scanDirectory(join(work, "t"))).values()];
    assert.equal(await findChanged(leaves), undefined);
    const found = async (): Promise<string | undefined> => (await findChanged(leaves))?.message;
    const expected = changedWhile(at("b")).message;
    await writeFile(at("b"), "B");
    assert.equal(await found(), expected, "of the same size");
    await writeFile(at("b"), "longer");
    assert.equal(await found(), expected);
    await rm(at("b"));
    assert.equal(await found(), expected, "gone");
    await mkdir(at("b"));
    assert.equal(await found(), expected, "a directory now");
    await rm(at("b"), { recursive: true });
    await writeFile(at("new"), "b");
    await rename(at("new"), at("b"));
    assert.equal(await found(), undefined, "the same content again");
  });
});

describe("what publishing would change", () => {
  const plan = (differences: readonly Difference[], isDeleting: boolean) =>
    planPublish({ tree: "t", baseHeight: 1, differences, delete: isDeleting });
  const added = (path: string): Difference => ({ path, before: undefined, after: file("1") });
  const gone = (path: string): Difference => ({ path, before: file("1"), after: undefined });

  test("a change of kind needs --delete, and says so", () => {
    assert.throws(
      () => plan([added("a"), gone("a/x")], false),
      /"a" is a directory in the tree "t", and a file or a link here; .*--delete/,
    );
    assert.throws(
      () => plan([gone("a"), added("a/b/c")], false),
      /"a" is a file or a link in the tree "t", and a directory here/,
    );
    assert.equal(plan([added("a"), gone("a/x")], true).changes.length, 2);
    assert.equal(
      plan([added("ab"), gone("a/x")], false).kept,
      1,
      "a name beside is not in the way",
    );
  });

  test("an empty source does not delete a tree", () => {
    const all = Array.from({ length: 60 }, (_, i) => gone(`f${i}`));
    const refuse = (count: number, localFiles: number, share = 0.5): void => {
      const differences = all.slice(0, count);
      const { deleted, before } = planPublish({
        tree: "t",
        baseHeight: 1,
        differences,
        delete: true,
        localFiles,
      });
      refuseMassDeletion(deleted.length, { of: before, where: '"t"', share });
    };
    assert.throws(() => refuse(60, 0), /60 of 60 files of "t" would be deleted.*--max-delete 100%/);
    assert.throws(() => refuse(31, 29), /31 of 60/);
    assert.doesNotThrow(() => refuse(30, 30));
    assert.doesNotThrow(() => refuse(10, 0), "a few, whatever their share");
    assert.doesNotThrow(() => refuse(60, 0, 1));
  });
});
