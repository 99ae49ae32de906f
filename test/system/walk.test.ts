import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { loadKeyFile } from "../../src/io/files/index.ts";
import { type Net, type Ran, startNet } from "../support/net.ts";

describe("the walking path, with real processes", () => {
  let net: Net;
  let work: string;

  before(async () => {
    net = await startNet({ writers: 4, readers: 2, liars: new Map([["r1", "corrupt"]]) });
    work = await mkdtemp(join(tmpdir(), "smalti-walk-"));
    await mkdir(join(work, "src", "sub"), { recursive: true });
    await writeFile(join(work, "src", "one.txt"), "one\n");
    await writeFile(join(work, "src", "sub", "two.bin"), Buffer.alloc(400_000, 7));
    await symlink("one.txt", join(work, "src", "link"));
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  test("publish, agree, get, verify, receipt offline", async () => {
    const receipt = join(work, "receipt.json");
    await net.must("publish", join(work, "src"), "demo", "--receipt", receipt);
    const states = await net.agree(1);
    assert.equal(new Set(states.map((state) => state.stateDigest)).size, 1);
    assert.equal(states.length, 6);
    const out = join(work, "out");
    await net.must("get", "demo", out, "--from", net.host("r0").http);
    assert.equal(await readFile(join(out, "one.txt"), "utf8"), "one\n");
    assert.match(await net.must("verify", out, "demo"), /verified/);
    const offline = await net.run(
      "verify",
      "--receipt",
      receipt,
      "--genesis",
      net.testnet.genesisFile,
      "--from",
      "http://127.0.0.1:1",
    );
    assert.equal(offline.code, 0, offline.stderr);
    const forged = JSON.parse(await readFile(receipt, "utf8")) as { record: string };
    forged.record = forged.record.replace(/[A-Z]/, (letter) => (letter === "A" ? "B" : "A"));
    await writeFile(receipt, JSON.stringify(forged));
    assert.equal((await net.run("verify", "--receipt", receipt)).code, 3);
  });

  test("a second publish through another writer moves only what changed; past heights stay", async () => {
    await writeFile(join(work, "src", "one.txt"), "one, changed\n");
    const [, w1] = net.writers;
    const ran = JSON.parse(
      await net.must("publish", join(work, "src"), "demo", "-o", "json", "--from", w1?.http ?? ""),
    ) as {
      changed: number;
      uploadedBytes: number;
      height: number;
    };
    assert.deepEqual([ran.changed, ran.uploadedBytes, ran.height], [1, 13, 2]);
    await net.agree(2);
    const old = join(work, "old");
    await net.must("get", "demo", old, "--height", "1", "--from", net.host("r0").http);
    assert.equal(await readFile(join(old, "one.txt"), "utf8"), "one\n");
    assert.equal(
      await net.must("cat", "demo/one.txt", "--from", net.host("r0").http),
      "one, changed\n",
    );
  });

  test("what an earlier run remembers of the tree hides nothing: not what stayed, nor what others did", async () => {
    const publish = async (source: string, ...flags: string[]): Promise<object> => {
      const ran = await net.must("publish", join(work, source), "shared", "-o", "json", ...flags);
      const { added, changed, deleted, height } = JSON.parse(ran) as Record<string, number>;
      return { added, changed, deleted, height };
    };
    await mkdir(join(work, "mine"));
    await mkdir(join(work, "theirs"));
    for (const name of ["a", "b"]) await writeFile(join(work, "mine", name), name);
    await writeFile(join(work, "theirs", "a"), "theirs");
    const none = { added: 0, changed: 0, deleted: 0 };
    assert.deepEqual(await publish("mine"), { ...none, added: 2, height: 3 });
    assert.deepEqual(await publish("mine"), { ...none, height: 3 });
    await rm(join(work, "mine", "b"));
    await writeFile(join(work, "mine", "a"), "a, changed");
    assert.deepEqual(await publish("mine"), { ...none, changed: 1, height: 4 });
    assert.deepEqual(await publish("mine", "--delete"), { ...none, deleted: 1, height: 5 });
    assert.deepEqual(await publish("mine", "--delete"), { ...none, height: 5 });
    assert.deepEqual(await publish("theirs"), { ...none, changed: 1, height: 6 });
    assert.deepEqual(await publish("mine", "--delete"), { ...none, changed: 1, height: 7 });
    assert.equal(await net.must("cat", "shared/a", "--from", net.host("r0").http), "a, changed");
  });

  test("more small files than one request takes: several are on their way at once, and each arrives as it is", async () => {
    const many = join(work, "many");
    await mkdir(many);
    for (let i = 0; i < 120; i++) await writeFile(join(many, `f${i}`), randomBytes(260_000 - i));
    await net.must("publish", many, "many");
    await net.agree(8);
    const out = join(work, "many-out");
    await net.must("get", "many", out, "--from", net.host("r0").http);
    for (let i = 0; i < 120; i++) {
      const [sent, got] = await Promise.all(
        [many, out].map((from) => readFile(join(from, `f${i}`))),
      );
      assert.ok(got?.equals(sent ?? Buffer.alloc(0)), `f${i}`);
    }
  });

  test("a lying reader is refused and named, and another server is used", async () => {
    const liar = net.host("r1").http;
    const ran = await net.run("cat", "demo/one.txt", "--from", liar, net.host("r0").http);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stdout, "one, changed\n");
    assert.match(ran.stderr, new RegExp(`refused ${liar}`));
    const alone = await net.run("cat", "demo/one.txt", "--from", liar);
    assert.equal(alone.code, 3, alone.stderr);
    assert.equal(alone.stdout, "");
  });

  test("a publisher who has had his updates of the hour is told so, and everybody sees how many he has", async () => {
    const file = join(work, "limited.json");
    await net.must("keys", "gen", "publisher", "--out", file);
    const { publicKey } = await loadKeyFile(file, "publisher");
    const rights = [publicKey, "limited", "--name", "limited", "--per-hour", "1"];
    await net.must("publisher", "grant", ...rights);
    assert.match(await net.must("publisher", "ls"), /limited .* 1 updates/);
    const source = join(work, "limited");
    await mkdir(source);
    const publish = (text: string): Promise<Ran> =>
      writeFile(join(source, "file"), text).then(() =>
        net.run("publish", source, "limited", "--key", file),
      );
    // An hour that ends just now gives him another one.
    const hour = Math.floor(Date.now() / 3_600_000);
    const first = await publish("first");
    assert.equal(first.code, 0, first.stderr);
    const second = await publish("second");
    if (Math.floor(Date.now() / 3_600_000) === hour) {
      assert.notEqual(second.code, 0);
      assert.match(second.stderr, /OVER_QUOTA/);
      assert.match(second.stderr, /--per-hour/);
    }
    const bad = await net.run("publisher", "grant", publicKey, "limited", "--per-hour", "-1");
    assert.equal(bad.code, 2, bad.stderr);
  });

  test("the totally ordered broadcast by itself", async () => {
    const [w0, w1] = net.writers;
    assert.equal(
      (await net.must("log", "append", "hello", "world", "--from", w0?.http ?? "")).trim(),
      "0…1",
    );
    assert.equal((await net.must("log", "append", "again", "--from", w1?.http ?? "")).trim(), "2");
    const tail = await net.must(
      "log",
      "tail",
      "--index",
      "1",
      "--count",
      "2",
      "--from",
      net.host("r0").http,
    );
    assert.equal(tail, "1\tworld\n2\tagain\n");
  });

  test("a host that is told to stop does not wait for readers that wait for news", async () => {
    for (const { http } of net.writers) {
      const signal = AbortSignal.timeout(60_000);
      void fetch(`${http}/.smalti/head?after=1000000&wait=30`, { signal }).catch(() => undefined);
    }
    const ended = net.writers.map((writer) => writer.end());
    const late = sleep(10_000, "late", { ref: false });
    const first = await Promise.race([Promise.all(ended), late]);
    assert.deepEqual(first, [0, 0, 0, 0]);
  });
});
