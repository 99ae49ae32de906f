import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKeyFile, loadKeyFile } from "../../src/io/files/index.ts";
import { put } from "../support/ecosystem.ts";
import { ecosystems } from "../support/ecosystems.ts";
import type { Net, Ran } from "../support/net.ts";
import { startTuned } from "../support/repute.ts";
import { needTools } from "../support/tools.ts";
import { Upstream } from "../support/upstream.ts";

interface Imported {
  readonly height: number;
  readonly added: number;
  readonly source: string;
  readonly receipt: unknown;
}

/** An archive that four writers follow, each with its own eyes. */
describe("smalti import", () => {
  let net: Net;
  let work: string;
  let upstream: Upstream;
  /** The same archive, as it shows itself to one victim. */
  let toVictim: Upstream;

  before(async () => {
    needTools("apt-ftparchive", "gpg", "dpkg-deb", "gpgv");
    work = await mkdtemp(join(tmpdir(), "smalti-import-"));
    const archive = join(work, "archive");
    await mkdir(join(archive, "apt"), { recursive: true });
    await ecosystems.get("apt")?.make(join(archive, "apt"), 1);
    await put(join(archive, "files/data.bin"), "as it is");
    upstream = await Upstream.open(archive);
    toVictim = await Upstream.open(archive);
    net = await startTuned({ writers: 4, readers: 1 }, ({ host }) => {
      const apt = `[[import]]\ntree = "debian"\nkind = "apt"\nurl = "${upstream.url}/apt"\n`;
      // Each by its own way: the address that counts is the importer's.
      const files = `[[import]]\ntree = "files"\nkind = "http"\nurl = "${toVictim.url}/files"\nfrom = "${upstream.url}/files"\n`;
      return host.role === "writer" && host.name !== "w3" ? `\n${apt}\n${files}` : "";
    });
  });
  after(async () => {
    await upstream?.close();
    await toVictim?.close();
    await net?.stop();
    await rm(work, { recursive: true, force: true });
  });

  const run = (...args: string[]): Promise<Ran> =>
    net.run("import", ...args, "--cache", join(work, "cache"), "-o", "json");
  const fetched = (path: string): Promise<Response> => fetch(`${net.host("r0").http}/${path}`);

  test("apt: admitted when three of four writers saw it; the receipt says where, and apt installs from it", async () => {
    const key = net.testnet.publisherKey;
    const apt = ["apt", `${upstream.url}/apt`, "debian", "--suite", "stable", "--key", key];
    const receipt = join(work, "receipt.json");
    upstream.asked.length = 0;
    const ran = await run(
      ...apt,
      "--keyring",
      join(work, "archive/apt/key.gpg"),
      "--observers",
      "--receipt",
      receipt,
    );
    assert.equal(ran.code, 0, ran.stderr);
    const imported = JSON.parse(ran.stdout) as Imported;
    assert.equal(imported.source, `apt ${upstream.url}/apt`);
    // The importer, and three that looked for themselves.
    const looks = upstream.asked.filter((path) => path.endsWith("demo_1.0_all.deb"));
    assert.equal(looks.length, 4, upstream.asked.join(" "));
    assert.match(
      await net.must("verify", "--receipt", receipt),
      /writers saw these bytes themselves at: apt http/,
    );
    await net.agree(imported.height);
    const apt1 = ecosystems.get("apt");
    await mkdir(join(work, "apt"), { recursive: true });
    await put(join(work, "apt/key.gpg"), await readFile(join(work, "archive/apt/key.gpg")));
    const into = await mkdtemp(join(work, "into-"));
    assert.equal(await apt1?.fetch(`${net.host("r0").http}/debian`, into), "old");
    // Followed: only what changed comes, and nothing is published where nothing changed.
    const nothing = JSON.parse((await run(...apt, "--observers")).stdout) as Imported;
    assert.deepEqual([nothing.added, nothing.height], [0, imported.height]);
    await apt1?.make(join(work, "archive/apt"), 2);
    const next = await run(...apt, "--observers", "3");
    assert.equal(next.code, 0, next.stderr);
    await net.agree((JSON.parse(next.stdout) as Imported).height);
    const again = await mkdtemp(join(work, "into-"));
    assert.equal(await apt1?.fetch(`${net.host("r0").http}/debian`, again), "new");
  });

  test("what the source shows to one victim only is not admitted, and the importer is told by whom", async () => {
    toVictim.lies.set("/files/data.bin", Buffer.from("for you only"));
    const before = (await net.host("w0").status()).height;
    const files = ["http", `${toVictim.url}/files`, "files", "--key", net.testnet.publisherKey];
    const ran = await run(...files, "--observers", "--patience", "4s");
    assert.equal(ran.code, 3, ran.stdout);
    assert.match(ran.stderr, /NOT_WITNESSED/);
    for (const name of ["w0", "w1", "w2"])
      assert.ok(
        ran.stderr.includes(
          `${net.host(name).http}: refused: data.bin: the source has other bytes`,
        ),
        ran.stderr,
      );
    assert.ok(ran.stderr.includes(`${net.host("w3").http}: not-asked`), ran.stderr);
    assert.equal((await net.host("w0").status()).height, before);
    assert.equal((await fetched("files/data.bin")).status, 404);
    // With the same eyes as the others the importer brings what they see.
    toVictim.lies.clear();
    await rm(join(work, "cache"), { recursive: true });
    const now = await run(...files, "--observers");
    assert.equal(now.code, 0, now.stderr);
    const { height } = JSON.parse(now.stdout) as Imported;
    await net.agree(height);
    assert.equal(await (await fetched("files/data.bin")).text(), "as it is");
  });

  test("more observers than see it: not admitted until they do", async () => {
    await put(join(work, "archive/files/more.bin"), "more");
    const files = ["http", `${toVictim.url}/files`, "files", "--key", net.testnet.publisherKey];
    const ran = await run(...files, "--observers", "4", "--patience", "3s");
    assert.equal(ran.code, 3, ran.stdout);
    assert.match(ran.stderr, /fewer than 4 writers saw the same/);
    const usage = await run(...files, "--observers", "5");
    assert.equal(usage.code, 2, usage.stderr);
    // The fourth is told to look, and the update that waits in the order is published.
    const before = (await net.host("w0").status()).height;
    const w3 = net.host("w3");
    await appendFile(
      join(w3.host.home, "config", "config.toml"),
      `\n[[import]]\ntree = "files"\nkind = "http"\nurl = "${toVictim.url}/files"\nfrom = "${upstream.url}/files"\n`,
    );
    await w3.end("SIGTERM");
    await w3.start();
    await net.agree(before + 1);
    assert.equal(await (await fetched("files/more.bin")).text(), "more");
  });

  test("a key that may only import cannot publish its own word", async () => {
    const keyFile = join(work, "importer.json");
    await createKeyFile(keyFile, "publisher");
    const { publicKey } = await loadKeyFile(keyFile, "publisher");
    const administrator = ["--key", join(net.testnet.directory, "keys", "administrator.json")];
    await net.must("publisher", "grant", publicKey, "import:files", ...administrator);
    const own = join(work, "own");
    await put(join(own, "own.txt"), "mine");
    const published = await net.run("publish", own, "files", "--key", keyFile);
    assert.notEqual(published.code, 0);
    assert.match(published.stderr, /NOT_PERMITTED/);
    await put(join(work, "archive/files/third.bin"), "third");
    const files = ["http", `${toVictim.url}/files`, "files", "--key", keyFile];
    const unseen = await run(...files);
    assert.match(unseen.stderr, /NOT_PERMITTED/);
    const seen = await run(...files, "--observers");
    assert.equal(seen.code, 0, seen.stderr);
    await net.agree((JSON.parse(seen.stdout) as Imported).height);
    assert.equal(await (await fetched("files/third.bin")).text(), "third");
  });
});
