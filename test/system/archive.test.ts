import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PublicKey } from "../../src/core/base/index.ts";
import { Ed25519Verifier, signingBytes, taggedDigest } from "../../src/core/crypto/index.ts";
import { aptBelow } from "../support/apt.ts";
import { must, put } from "../support/ecosystem.ts";
import { FaultyMirror } from "../support/faulty-mirror.ts";
import { LightProcess } from "../support/light.ts";
import { type Net, until } from "../support/net.ts";
import { startTuned } from "../support/repute.ts";
import { needTools, runTool } from "../support/tools.ts";

/** The past by height, time and name; where else a file stands; a mirror seen from outside. */
describe("an archive over time and over mirrors", () => {
  let net: Net;
  let work: string;
  let light: LightProcess;
  const times: number[] = [];
  const large = randomBytes(700_000);

  before(async () => {
    net = await startTuned({ writers: 4, readers: 2 }, ({ host }) =>
      host.name === "r1" ? '\n[unsafe]\nlie = "corrupt"\n' : "",
    );
    work = await mkdtemp(join(tmpdir(), "smalti-archive-"));
    for (const text of ["one", "two", "three"]) {
      await publish({ "a.txt": text, "dir/large.bin": large });
      await sleep(1100);
      times.push(Date.now());
      await sleep(100);
    }
    await net.agree(3);
    light = await LightProcess.start(net, [net.host("r0").http]);
  });
  after(async () => {
    await light?.end();
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  async function publish(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
    const source = await mkdtemp(join(work, "source-"));
    for (const [name, content] of Object.entries(files)) {
      await mkdir(join(source, name, ".."), { recursive: true });
      await writeFile(join(source, name), content);
    }
    await net.must("publish", source, "demo");
  }
  const iso = (i: number): string => new Date(times[i] ?? 0).toISOString().slice(0, 19);
  const everywhere = (): readonly string[] => [net.host("r0").http, light.url];

  test("a time names the height that was newest then; past ones are for ever", async () => {
    for (const base of everywhere()) {
      for (const [i, text] of ["one", "two", "three"].entries()) {
        const answer = await fetch(`${base}/@${iso(i)}Z/demo/a.txt`);
        assert.equal(await answer.text(), text, `${base} ${i}`);
        assert.equal(answer.headers.get("smalti-height"), String(i + 1));
        const isPast = i < 2;
        assert.equal(/immutable/.test(answer.headers.get("cache-control") ?? ""), isPast);
        const when = Date.parse(answer.headers.get("memento-datetime") ?? "");
        assert.ok(when <= (times[i] ?? 0) && when > (times[i] ?? 0) - 20_000);
      }
      assert.equal((await fetch(`${base}/@2001-01-01/demo/a.txt`)).status, 404);
      assert.equal((await fetch(`${base}/@2001-99-01/demo/a.txt`)).status, 404);
    }
  });

  test("Accept-Datetime leads to the height (RFC 7089)", async () => {
    const headers = { "accept-datetime": new Date(times[1] ?? 0).toUTCString() };
    for (const base of everywhere()) {
      const answer = await fetch(`${base}/demo/a.txt`, { headers, redirect: "manual" });
      assert.equal(answer.status, 302);
      assert.equal(answer.headers.get("location"), "/@2/demo/a.txt");
      assert.match(answer.headers.get("vary") ?? "", /accept-datetime/);
    }
    const bad = await fetch(`${light.url}/demo/a.txt`, { headers: { "accept-datetime": "soon" } });
    assert.equal(bad.status, 400);
  });

  test("a name is given through the order, once, and is the same on every mirror", async () => {
    await net.must("snapshot", "create", "release-1", "--height", "2");
    await net.agree(4);
    await light.end();
    light = await LightProcess.start(net, [net.host("r0").http]);
    for (const base of everywhere()) {
      assert.equal(await (await fetch(`${base}/@release-1/demo/a.txt`)).text(), "two", base);
      assert.equal((await fetch(`${base}/@release-2/demo/a.txt`)).status, 404);
    }
    assert.match(await net.must("snapshot", "ls"), /release-1 +.*2/);
    const again = await net.run("snapshot", "create", "release-1", "--height", "3");
    assert.equal(again.code, 9, again.stderr);
    assert.equal((await net.run("snapshot", "create", "1st")).code, 2);
    assert.notEqual((await net.run("snapshot", "create", "far", "--height", "99")).code, 0);
  });

  test("where else a file stands: Link, metalink, list; and a metalink client takes it", async () => {
    const base = net.host("r0").http;
    const link = (await fetch(`${base}/demo/dir/large.bin`)).headers.get("link") ?? "";
    assert.match(link, /rel=duplicate/);
    assert.match(link, /<\/demo\/dir\/large\.bin\.meta4>; rel=describedby/);
    const digest = createHash("sha256").update(large).digest("hex");
    const meta = await fetch(`${base}/demo/dir/large.bin.meta4`);
    assert.equal(meta.headers.get("content-type"), "application/metalink4+xml");
    const written = await meta.text();
    assert.ok(written.includes(digest) && written.includes(`${base}/demo/dir/large.bin`));
    const [, pieceBytes = ""] = /<pieces length="(\d+)" type="sha-256">/.exec(written) ?? [];
    const sums = [...written.matchAll(/<hash>([0-9a-f]{64})<\/hash>/g)].map(([, sum]) => sum);
    const first = createHash("sha256").update(large.subarray(0, Number(pieceBytes)));
    assert.equal(sums.length, Math.ceil(large.length / Number(pieceBytes)));
    assert.equal(sums[0], first.digest("hex"), "a part can be mended from another mirror");
    const list = (await (await fetch(`${base}/demo/dir/large.bin?mirrorlist`)).json()) as {
      sha256: string;
      urls: string[];
    };
    assert.equal(list.sha256, digest);
    assert.ok(list.urls.length >= 4);
    assert.equal((await fetch(`${base}/demo/dir/nothing.meta4`)).status, 404);
    const away = await fetch(`${base}/demo/dir/large.bin?redirect`, { redirect: "manual" });
    assert.equal(away.status, 302);
    assert.ok(list.urls.includes(away.headers.get("location") ?? ""), "to a mirror of the list");
    assert.match(away.headers.get("cache-control") ?? "", /private/);
    const there = await fetch(`${base}/demo/dir/large.bin?redirect`);
    assert.ok(Buffer.from(await there.arrayBuffer()).equals(large));
    assert.equal((await fetch(`${base}/demo/dir/nothing?redirect`)).status, 404);
    needTools("aria2c");
    const ran = await runTool(
      "aria2c",
      ["-q", "--follow-metalink=mem", `${base}/demo/dir/large.bin.meta4`],
      { cwd: work },
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.deepEqual(await readFile(join(work, "large.bin")), large);
    // One mirror that spoils what it sends, first of all. aria2 ends with the first piece that is wrong, if it had but one
    // connection; the pieces that are right it keeps, and goes on with them from whichever mirror it takes next.
    const spoiler = await FaultyMirror.open(base);
    spoiler.fault = "corrupt";
    try {
      const first = `<url priority="1">${spoiler.url}/demo/dir/large.bin</url>`;
      await writeFile(join(work, "spoiled.meta4"), written.replace("<url ", `${first}<url `));
      await rm(join(work, "large.bin"));
      const again = async (): Promise<boolean> =>
        (await runTool("aria2c", ["-q", "spoiled.meta4"], { cwd: work })).code === 0;
      let runs = 1;
      while (!(await again())) assert.ok(runs++ < 15, "another mirror has what is missing");
      assert.deepEqual(await readFile(join(work, "large.bin")), large);
    } finally {
      await spoiler.close();
    }
  });

  test("a status page and a trace file say how far a mirror is", async () => {
    const base = net.host("r0").http;
    const page = await (await fetch(`${base}/.smalti/status.html`)).text();
    assert.match(page, /<th>height<\/th><td>4<\/td>/);
    assert.ok(page.includes(net.host("w1").http));
    const trace = await (await fetch(`${base}/.smalti/trace/r0`)).text();
    assert.match(trace, /^\w{3}, .* GMT\nArchive serial: 4\n/);
    assert.equal((await fetch(`${base}/.smalti/trace/r1`)).status, 404);
  });

  test("an audit tells a whole mirror from one that lies, and proves the lie", async () => {
    const whole = await net.run("audit", net.host("r0").http, "--full", "-o", "json");
    assert.equal(whole.code, 0, whole.stderr);
    const report = JSON.parse(whole.stdout) as {
      height: number;
      newest: number;
      files: number;
      samples: { outcome: string }[];
    };
    assert.deepEqual([report.height, report.newest, report.files], [4, 4, 3]);
    assert.ok(report.samples.every(({ outcome }) => outcome === "right"));
    const proof = join(work, "proof");
    const liar = await net.run("audit", net.host("r1").http, "--evidence", proof);
    assert.equal(liar.code, 6, liar.stderr);
    assert.match(liar.stdout, /signed: proven/);
    await net.must("evidence", "verify", proof);
    const dead = await net.run("audit", "http://127.0.0.1:9", "--sample", "1");
    assert.equal(dead.code, 7, dead.stderr);
  });

  test("what an auditor signs, anybody can check", async () => {
    const told = await net.must(
      "audit",
      net.host("r0").http,
      "--sample",
      "2",
      "--sign",
      "--key",
      net.testnet.publisherKey,
      "-o",
      "json",
    );
    const { report, key, signature } = JSON.parse(told) as {
      report: string;
      key: string;
      signature: string;
    };
    const message = signingBytes("audit", taggedDigest("audit", Buffer.from(report)));
    assert.ok(new Ed25519Verifier().verify(PublicKey(key), message, Buffer.from(signature, "hex")));
    assert.equal((JSON.parse(report) as { samples: unknown[] }).samples.length, 2);
  });

  test("a trace file where Debian's own tools look for it: in trees that are archives of its form", async () => {
    const base = net.host("r0").http;
    const files = join(work, "archive-of-debian");
    await mkdir(join(files, "dists/stable"), { recursive: true });
    await writeFile(join(files, "dists/stable/Release"), "Suite: stable\n");
    await net.must("publish", files, "debian");
    await net.agree((await net.host("r0").status()).height);
    await until(
      async () => (await fetch(`${base}/debian/dists/stable/Release`)).status === 200,
      10_000,
      "the archive is served",
    );
    const there = await fetch(`${base}/debian/project/trace/r0`);
    assert.match(await there.text(), /^\w{3}, .* GMT\nArchive serial: \d+\n/);
    for (const path of [
      "/debian/project/trace/r1",
      "/demo/project/trace/r0",
      "/@1/debian/project/trace/r0",
    ])
      assert.equal((await fetch(`${base}${path}`)).status, 404, path);
  });

  test("a flat apt archive: apt asks for ./Packages, on a host, through light, and of an import of it", async () => {
    needTools("apt-ftparchive", "dpkg-deb");
    const flat = join(work, "flat");
    const build = join(work, "deb");
    const control =
      "Package: demo\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.invalid>\nDescription: demo\n";
    await put(join(build, "DEBIAN", "control"), control);
    await chmod(join(build, "DEBIAN"), 0o755);
    await mkdir(flat);
    await must("dpkg-deb", [
      "--build",
      "--root-owner-group",
      build,
      join(flat, "demo_1.0_all.deb"),
    ]);
    await put(
      join(flat, "Packages"),
      await must("apt-ftparchive", ["packages", "."], { cwd: flat }),
    );
    await put(join(flat, "Release"), await must("apt-ftparchive", ["release", "."], { cwd: flat }));
    const deb = await readFile(join(flat, "demo_1.0_all.deb"));
    await net.must("publish", flat, "flat");
    const fetched = async (base: string, tree: string): Promise<Buffer> => {
      const into = await mkdtemp(join(work, "apt-"));
      const flags = await aptBelow(into, `deb [trusted=yes] ${base}/${tree} ./`, {
        "APT::Update::Error-Mode": "any",
      });
      const updated = await runTool("apt-get", [...flags, "update"]);
      assert.equal(updated.code, 0, updated.stdout + updated.stderr);
      const out = { cwd: join(into, "out") };
      const got = await runTool("apt-get", [...flags, "download", "demo"], out);
      assert.equal(got.code, 0, got.stdout + got.stderr);
      return readFile(join(into, "out", "demo_1.0_all.deb"));
    };
    const reader = net.host("r0").http;
    for (const base of [reader, light.url])
      await until(async () => (await fetch(`${base}/flat/Release`)).ok, 20_000, `${base} has it`);
    for (const base of [reader, light.url]) assert.deepEqual(await fetched(base, "flat"), deb);
    await net.must("import", "apt", `${reader}/flat`, "flat-again", "--suite", "./");
    await until(async () => (await fetch(`${reader}/flat-again/Release`)).ok, 20_000, "r0 has it");
    assert.deepEqual(await fetched(reader, "flat-again"), deb);
  });
});
