import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type HostProcess, type Net, smalti, startNet } from "../support/net.ts";

describe("a host's data, checked and healed", () => {
  let net: Net;
  let work: string;
  let reader: HostProcess;
  const large = randomBytes(900_000);
  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
    reader = net.host("r0");
    work = await mkdtemp(join(tmpdir(), "smalti-fsck-"));
    for (const text of ["one", "two"]) {
      await writeFile(join(work, "a.txt"), text);
      await writeFile(join(work, "large.bin"), large);
      await net.must("publish", work, "demo");
    }
    await net.agree(2);
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  const fsck = (...args: string[]) => smalti(["fsck", "--home", reader.host.home, ...args]);
  const blobs = (): string => join(reader.host.home, "data", "blobs");

  /** Flips a bit in the middle, or in the first place where this stands. */
  async function damage(path: string, where?: string): Promise<void> {
    const bytes = await readFile(path);
    const at = where === undefined ? bytes.length >> 1 : bytes.indexOf(where);
    assert.ok(at >= 0, `${where} stands in ${path}`);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path, bytes);
  }

  test("not while the host runs", async () => {
    const ran = await fsck();
    assert.equal(ran.code, 8, ran.stderr);
    assert.match(ran.stderr, /IDENTITY_IN_USE/);
  });

  test("a whole one is whole: both heights, old content too", async () => {
    await reader.end();
    const ran = await fsck("-o", "json");
    assert.equal(ran.code, 0, ran.stderr);
    const report = JSON.parse(ran.stdout) as {
      heights: number;
      files: number;
      leaves: number;
      problems: unknown[];
    };
    assert.deepEqual([report.heights, report.files, report.problems], [2, 3, []]);
    assert.ok(report.leaves > 4);
  });

  test("damage is found, healed from neighbours, and gone", async () => {
    const [name = ""] = (await readdir(join(blobs(), "large"))).filter(
      (file) => !file.includes("."),
    );
    await damage(join(blobs(), "large", name));
    const packs = join(blobs(), "packs");
    for (const pack of await readdir(packs)) await damage(join(packs, pack), "two");
    const found = await fsck("-o", "json");
    assert.equal(found.code, 7, found.stderr);
    const { problems } = JSON.parse(found.stdout) as {
      problems: { kind: string; isRepaired: boolean }[];
    };
    assert.ok(
      problems.length >= 2 &&
        problems.every(({ kind, isRepaired }) => kind === "file" && !isRepaired),
    );
    const nobody = await fsck("--repair", "--from", "http://127.0.0.1:9");
    assert.equal(nobody.code, 7);
    const healed = await fsck("--repair");
    assert.equal(healed.code, 0, healed.stderr);
    assert.match(healed.stdout, /healed file/);
    assert.match((await fsck()).stdout, /all is as the log says/);
    await reader.start();
    const served = await fetch(`${reader.http}/demo/large.bin`);
    assert.deepEqual(Buffer.from(await served.arrayBuffer()), large);
    assert.equal(await (await fetch(`${reader.http}/@1/demo/a.txt`)).text(), "one");
  });
});
