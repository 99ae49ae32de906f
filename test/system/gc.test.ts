import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFile, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { CollectionReport } from "../../src/app/node/index.ts";
import { type HostProcess, type Net, smalti, until } from "../support/net.ts";
import { startTuned } from "../support/repute.ts";
import { freshReader } from "../support/split.ts";

/** What each height has of its own: a small file, a large one, and one that they share. */
describe("what no kept height names is removed, while the host goes on", () => {
  let net: Net;
  let work: string;
  let reader: HostProcess;
  let fresh: HostProcess | undefined;
  const larges = Array.from({ length: 6 }, () => randomBytes(700_000));

  const publish = async (version: number): Promise<void> => {
    await writeFile(join(work, "version.txt"), `version ${version}\n`);
    await writeFile(join(work, "large.bin"), larges[version - 1] ?? "");
    await writeFile(join(work, "same.txt"), "always the same");
    await net.must("publish", work, "demo");
  };
  const at = (height: number | string, path: string, host = reader): Promise<Response> =>
    fetch(`${host.http}/@${height}/demo/${path}`);
  const gc = async (host: HostProcess, ...args: string[]): Promise<CollectionReport> => {
    const ran = await smalti(["gc", "--home", host.host.home, "-o", "json", ...args]);
    assert.equal(ran.code, 0, ran.stderr);
    return JSON.parse(ran.stdout) as CollectionReport;
  };

  before(async () => {
    work = await mkdtemp(join(tmpdir(), "smalti-gc-"));
    net = await startTuned({ writers: 4, readers: 2 }, ({ host }) =>
      host.name === "r1" ? "" : '\n[retain]\nheights = "2"\nevery_s = 100000\n',
    );
    reader = net.host("r0");
    for (const version of [1, 2, 3, 4]) {
      await publish(version);
      // The second of them has a name; heights are those of the tree `demo` but for the one that gives the name.
      if (version === 2) await net.must("snapshot", "create", "second");
    }
    await net.agree(5);
  });
  after(async () => {
    await fresh?.end("SIGKILL");
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  test("a dry run says what would go, and nothing goes", async () => {
    const report = await gc(reader, "--dry-run");
    assert.deepEqual(report.heights, { newest: 5, from: 4, more: [2] });
    assert.equal(report.removed, 2, JSON.stringify(report));
    assert.ok(report.removedBytes > 700_000);
    for (const height of [1, 2, 3, 4, 5]) assert.equal((await at(height, "large.bin")).status, 200);
  });

  test("old content goes; what the newest, the kept and the named heights have stays", async () => {
    const report = await gc(reader);
    assert.equal(report.removed, 2);
    const files = await readdir(join(reader.host.home, "data", "blobs", "large"));
    assert.equal(files.filter((name) => !name.endsWith(".chunks")).length, 3);
    for (const [height, version] of [
      [2, 2],
      [3, 2],
      [4, 3],
      [5, 4],
      ["second", 2],
    ] as const) {
      assert.equal(
        await (await at(height, "version.txt")).text(),
        `version ${version}\n`,
        `height ${height}`,
      );
      const large = Buffer.from(await (await at(height, "large.bin")).arrayBuffer());
      assert.ok(large.equals(larges[version - 1] ?? Buffer.alloc(0)), `height ${height}`);
    }
    for (const path of ["version.txt", "large.bin"]) {
      const gone = await at(1, path);
      assert.equal(gone.status, 410, path);
      assert.equal(((await gone.json()) as { code: string }).code, "NOT_KEPT");
    }
    // What later heights have too is here, by whatever height it is asked for.
    assert.equal(await (await at(1, "same.txt")).text(), "always the same");
    // What the height was is known and proven as before; its content is elsewhere.
    assert.match(
      await net.must("ls", "demo", "--height", "1", "--from", reader.http),
      /version\.txt/,
    );
    assert.equal((await at(1, "version.txt", net.host("r1"))).status, 200);
    const cat = [
      "cat",
      "demo/version.txt",
      "--height",
      "1",
      "--from",
      reader.http,
      net.host("r1").http,
    ];
    assert.equal(await net.must(...cat), "version 1\n");
    const again = await gc(reader);
    assert.deepEqual([again.removed, again.missing], [0, 0]);
  });

  test("removed content can be published again", async () => {
    for (const host of net.writers) assert.equal((await gc(host)).removed, 2, host.host.name);
    await writeFile(join(work, "version.txt"), "version 1\n");
    await writeFile(join(work, "large.bin"), larges[0] ?? "");
    await net.must("publish", work, "demo");
    await net.agree(6);
    const large = Buffer.from(await (await at(6, "large.bin")).arrayBuffer());
    assert.ok(large.equals(larges[0] ?? Buffer.alloc(0)));
  });

  test("collections without end lose nothing of what is being published", async () => {
    const height = (await reader.status()).height;
    let isDone = false;
    let runs = 0;
    const collecting = (async () => {
      while (!isDone) {
        await Promise.all(
          [...net.writers, reader].map(({ host }) =>
            fetch(`${host.admin}/gc`, { method: "POST" }).then((answer) => answer.json()),
          ),
        );
        runs++;
      }
    })();
    // Old content comes back each time, as soon as it was removed or just before.
    for (let i = 0; i < 12; i++) await publish(1 + ((i + 1) % 4));
    isDone = true;
    await collecting;
    assert.ok(runs > 12, `${runs} collections`);
    await net.agree(height + 12);
    for (const host of net.hosts.values()) {
      const large = Buffer.from(await (await at(height + 12, "large.bin", host)).arrayBuffer());
      assert.ok(large.equals(larges[0] ?? Buffer.alloc(0)), host.host.name);
      assert.equal(await (await at(height + 12, "version.txt", host)).text(), "version 1\n");
    }
    // Everybody has the same left: what is kept, and all change lists.
    const left = await Promise.all(
      net.writers.map(async (host) => {
        const { blobs, removed } = await gc(host);
        return blobs - removed;
      }),
    );
    assert.equal(new Set(left).size, 1, left.join(" "));
    assert.ok((left[0] ?? 0) > height + 12, left.join(" "));
    const dropped = 'smalti_dropped_total{code="BLOB_LOST"}';
    for (const host of net.hosts.values()) assert.equal(await host.metric(dropped), 0);
  });

  test("a height that gets its name late is brought back from whoever has it", async () => {
    await gc(reader);
    assert.equal((await at(3, "version.txt")).status, 200, "height 3 is what the named one was");
    await publish(5);
    await publish(6);
    await net.agree(20);
    await gc(reader);
    assert.equal((await at(5, "large.bin")).status, 410);
    await net.must("snapshot", "create", "fourth", "--height", "5");
    await net.agree(21);
    // Only the one that keeps everything has it.
    await reader.end();
    await appendFile(
      join(reader.host.home, "config", "config.toml"),
      `\n[sync]\nfrom = ["${net.host("r1").http}", "${net.host("w0").http}"]\n`,
    );
    await reader.start();
    await net.agree(21);
    const report = await gc(reader);
    assert.ok(report.fetched >= 1 && report.fetched === report.missing, JSON.stringify(report));
    assert.equal(await (await at("fourth", "version.txt")).text(), "version 4\n");
  });

  test("a new reader comes to the newest height though its neighbours have the past no more", async () => {
    fresh = await freshReader(net, "late", net.host("w1"));
    const sources = net.writers.map(({ http }) => `"${http}"`).join(", ");
    await appendFile(
      join(fresh.host.home, "config", "config.toml"),
      `\n[sync]\nfrom = [${sources}]\n`,
    );
    for (const host of net.writers) await gc(host);
    await fresh.start();
    const it = fresh;
    await until(
      async () => (await it.status()).height === 21,
      60_000,
      "the new reader is at height 21",
    );
    const large = Buffer.from(await (await at(21, "large.bin", it)).arrayBuffer());
    assert.equal(
      larges.findIndex((one) => one.equals(large)),
      5,
      String(large.length),
    );
  });

  test("fsck asks for nothing that is not kept, and finds what is", async () => {
    await reader.end();
    const fsck = (): ReturnType<typeof smalti> =>
      smalti(["fsck", "--home", reader.host.home, "-o", "json"]);
    const whole = await fsck();
    assert.equal(whole.code, 0, whole.stdout + whole.stderr);
    const large = join(reader.host.home, "data", "blobs", "large");
    const [name = ""] = (await readdir(large)).filter((one) => !one.endsWith(".chunks"));
    assert.ok((await stat(join(large, name))).size > 0);
    await rm(join(large, name));
    assert.notEqual((await fsck()).code, 0);
  });
});
