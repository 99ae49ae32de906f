import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { limits } from "../../src/core/base/index.ts";
import { leafHash, readNote } from "../../src/core/crypto/index.ts";
import { decodeLeaf } from "../../src/core/mirror/index.ts";
import { type Net, until } from "../support/net.ts";
import { startTuned } from "../support/repute.ts";

describe("proofs that are carried away", () => {
  let net: Net;
  let work: string;
  before(async () => {
    net = await startTuned({ writers: 4, readers: 1 }, ({ host }) =>
      host.role === "writer" ? "\n[consensus]\nlease_every_s = 2\n" : "",
    );
    work = await mkdtemp(join(tmpdir(), "smalti-proof-"));
    await publish({ "a.txt": "first\n", "deep/er/b.bin": "b" });
    await publish({ "a.txt": "second\n", "deep/er/b.bin": "b", "c d": "space" });
    await net.agree(2);
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  async function publish(files: Readonly<Record<string, string>>): Promise<void> {
    const source = await mkdtemp(join(work, "source-"));
    for (const [name, content] of Object.entries(files)) {
      await mkdir(join(source, name, ".."), { recursive: true });
      await writeFile(join(source, name), content);
    }
    await net.must("publish", source, "demo", "--key", net.testnet.publisherKey);
  }

  const check = async (file: string, ...args: string[]) => net.run("proof", "check", file, ...args);

  test("a file's proof holds without any network, and for these bytes only", async () => {
    const file = join(work, "a.tlog-proof");
    await net.must("proof", "make", "demo/a.txt", "--out", file);
    const [right, wrong] = [join(work, "right"), join(work, "wrong")];
    await writeFile(right, "second\n");
    await writeFile(wrong, "first\n");
    // Nobody listens at the only server that is named.
    const good = await check(file, right, "--from", "http://127.0.0.1:9");
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /valid: demo\/a\.txt at height 2 .* as .*right is/);
    const bad = await check(file, wrong);
    assert.equal(bad.code, 3, bad.stdout);
    assert.match(bad.stderr, /OTHER_BYTES/);
    const json = JSON.parse((await check(file, "-o", "json")).stdout) as { signers: string[] };
    assert.ok(json.signers.length >= 3);
    const shown = await net.must("proof", "show", file);
    assert.match(shown, /demo\/a\.txt/);
    assert.match(shown, /not checked/);
  });

  test("the past, links to nothing, directories, absence, and names that need escapes", async () => {
    const proven = async (target: string, ...args: string[]) => {
      const file = join(work, "some.tlog-proof");
      await net.must("proof", "make", target, "--out", file, ...args);
      return (await check(file)).stdout;
    };
    assert.match(await proven("demo/a.txt", "--height", "1"), /at height 1 .*6 B/);
    assert.match(await proven("demo/deep"), /is a directory of 1 entries/);
    assert.match(await proven("demo/c d"), /demo\/c d at height 2/);
    assert.match(await proven("demo/a.txt/below"), /nothing stands at demo\/a\.txt\/below/);
    assert.match(await proven("demo/deep/er/nothing"), /nothing stands at demo\/deep\/er\/nothing/);
    assert.match(await proven("other"), /nothing stands at other/);
  });

  test("any changed byte is refused with code 3, and so is a proof of another network", async () => {
    const file = join(work, "a.tlog-proof");
    const written = await readFile(file, "utf8");
    const lines = written.split("\n");
    const broken = join(work, "broken");
    for (const [i, line] of lines.entries()) {
      if (line === "") continue;
      const at = line.startsWith("— ") ? line.length - 20 : Math.floor(line.length / 2);
      const letter = line[at] === "A" ? "B" : "A";
      const changed = lines.with(i, line.slice(0, at) + letter + line.slice(at + 1)).join("\n");
      await writeFile(broken, changed);
      const ran = await check(broken);
      // One of four cosignatures may be lost: a quorum of three is left.
      const isSpare =
        line.startsWith("— ") && lines.filter((one) => one.startsWith("— ")).length > 3;
      assert.equal(
        ran.code,
        isSpare ? 0 : ran.code === 5 ? 5 : 3,
        `line ${i}: ${line}\n${ran.stdout}`,
      );
    }
    await writeFile(broken, written.replaceAll("\n", "\r\n"));
    assert.equal((await check(broken)).code, 3);
    await writeFile(broken, Buffer.alloc(limits.proofBytesMax + 1, "a"));
    assert.equal((await check(broken)).code, 3);
  });

  test("consistency between checkpoints, made by a host, checked offline", async () => {
    const { logSize } = await net.host("r0").status();
    const old = await firstKept(logSize);
    const file = join(work, "grew");
    await net.must("proof", "make", "--since", String(old), "--out", file);
    const good = await check(file);
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, new RegExp(`log of ${old} leaves is the beginning of that of`));
    const written = await readFile(file, "utf8");
    await writeFile(file, written.replace(/^[A-Za-z0-9+/]{43}=$/m, `${"A".repeat(43)}=`));
    assert.equal((await check(file)).code, 3);
    assert.equal((await net.run("proof", "make", "--since", "0")).code !== 0, true);
  });

  async function firstKept(size: number): Promise<number> {
    for (let at = 1; at < size; at++) {
      const answer = await fetch(`${net.host("r0").http}/.smalti/checkpoint/${at}`);
      if (answer.ok) return at;
    }
    throw new Error("no older checkpoint is kept");
  }

  test("the log as tiles: every entry hashes to its place, partial tiles fit the checkpoint", async () => {
    const base = `${net.host("r0").http}/.smalti`;
    const note = readNote(await (await fetch(`${base}/checkpoint`)).text());
    assert.ok(note.ok);
    const { size } = note.value.checkpoint;
    assert.ok(size < 256, "one tile");
    const bytesOf = async (path: string): Promise<Buffer> => {
      const answer = await fetch(`${base}/tile/${path}`);
      assert.equal(answer.status, 200, path);
      assert.match(answer.headers.get("cache-control") ?? "", /immutable/);
      return Buffer.from(await answer.arrayBuffer());
    };
    const [hashes, entries] = [
      await bytesOf(`0/000.p/${size}`),
      await bytesOf(`entries/000.p/${size}`),
    ];
    assert.equal(hashes.length, 32 * size);
    let at = 0;
    const kinds = new Set<string>();
    for (let i = 0; i < size; i++) {
      const length = entries.readUInt16BE(at);
      const leaf = entries.subarray(at + 2, at + 2 + length);
      at += 2 + length;
      assert.deepEqual(Buffer.from(leafHash(leaf)), hashes.subarray(32 * i, 32 * i + 32));
      const decoded = decodeLeaf(new Uint8Array(leaf));
      kinds.add(decoded.ok ? decoded.value.kind : "?");
    }
    assert.equal(at, entries.length);
    assert.ok(kinds.has("commit") && kinds.has("update") && kinds.has("state"));
    for (const path of [
      `0/000.p/${size + 1}`,
      "0/000",
      "0/001.p/1",
      "1/000.p/1",
      "entries/x001/000",
    ])
      assert.equal((await fetch(`${base}/tile/${path}`)).status, 404, path);
    for (const path of [
      "64/000",
      "0/0",
      "0/000.p/0",
      "0/000.p/257",
      "00/000",
      "0/x000/001",
      "x/000",
    ])
      assert.equal((await fetch(`${base}/tile/${path}`)).status, 400, path);
  });

  test("in a quiet network the newest checkpoint is vouched for again", async () => {
    const leaseAt = async (): Promise<number> => {
      const note = readNote(
        await (await fetch(`${net.host("r0").http}/.smalti/checkpoint`)).text(),
      );
      assert.ok(note.ok);
      return [...note.value.lines.map(({ timeS }) => timeS)].sort((a, b) => b - a)[2] ?? 0;
    };
    const before = await leaseAt();
    await until(async () => (await leaseAt()) > before, 30_000, "the lease is renewed");
  });
});
