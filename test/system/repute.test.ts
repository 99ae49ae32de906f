import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { appendVia } from "../support/load.ts";
import { type HostProcess, type Net, type Ran, smalti, startNet, until } from "../support/net.ts";
import {
  convictedAt,
  convictionAt,
  evidenceOf,
  isQuiet,
  opinionsOf,
  publishFiles,
  setLie,
} from "../support/repute.ts";

const nobody = "http://127.0.0.1:1";

describe("a writer that signs two blocks for one round", () => {
  let net: Net;
  let honest: readonly HostProcess[];
  let liar: HostProcess;
  let proof: string;
  /** A client's home that has nothing: no keys, no genesis. */
  let bare: string;

  before(async () => {
    net = await startNet({ writers: 4, readers: 1, liars: new Map([["w3", "equivocate"]]) });
    honest = ["w0", "w1", "w2", "r0"].map((name) => net.host(name));
    liar = net.host("w3");
    proof = join(net.directory, "twins.evidence");
    bare = join(net.directory, "bare");
    await mkdir(bare);
  });
  after(() => net.stop());

  const offline = (...args: string[]): Promise<Ran> =>
    smalti([...args, "--genesis", net.testnet.genesisFile, "--from", nobody], { home: bare });

  test("it is convicted at every honest host within seconds of traffic", async () => {
    for (let i = 0; i < 5; i++) await appendVia(net.host("w0"), `traffic ${i}`);
    await publishFiles(net, "demo", { "a.txt": "a\n" });
    const rows = await convictedAt(honest, "w3", 10_000);
    for (const row of rows) assert.deepEqual([row.role, row.kind], ["writer", "equivocation"]);
    for (const at of honest) assert.deepEqual((await opinionsOf(at)).leaving, ["w3"]);
    for (const at of honest)
      assert.deepEqual(
        (await opinionsOf(at)).convicted.map(({ host }) => host),
        ["w3"],
        "nobody else is accused",
      );
  });

  test("the network quietens, and has each proof once, the same at all hosts", async () => {
    await isQuiet(honest);
    const ids: string[] = [];
    for (const at of honest) {
      const rows = await evidenceOf(at);
      assert.equal(new Set(rows.map(({ id }) => id)).size, rows.length, at.host.name);
      const ordered = rows.filter(({ state }) => state === "ordered").map(({ id }) => id);
      ids.push(ordered.join(" "));
      assert.equal((await convictionAt(at, "w3"))?.count, ordered.length);
      assert.ok(ordered.length <= 16, "a limit");
    }
    assert.equal(new Set(ids).size, 1, ids.join("\n"));
  });

  test("anybody can check its proof with the genesis and nothing else", async () => {
    const rows = JSON.parse(await net.must("evidence", "ls", "-o", "json")) as { id: string }[];
    const id = rows[0]?.id ?? "";
    assert.match(await net.must("evidence", "ls"), /w3 +w3 signed two blocks of round \d+/);
    assert.match(await net.must("evidence", "show", id.slice(0, 12)), /proven: w3 signed/);
    await net.must("evidence", "export", id.slice(0, 16), "--out", proof);
    assert.equal((await net.run("evidence", "export", id, "--out", proof)).code, 1, "kept");
    const verified = await offline("evidence", "verify", proof, "-o", "json");
    assert.equal(verified.code, 0, verified.stderr);
    const said = JSON.parse(verified.stdout) as Record<string, unknown>;
    assert.deepEqual([said["ok"], said["id"], said["kind"]], [true, id, "equivocation"]);
    assert.equal((await offline("evidence", "show", proof)).code, 0);
    assert.equal((await offline("evidence", "show", id)).code, 5, "nobody answers");
    assert.equal((await net.run("evidence", "show", "00000000")).code, 1, "no such proof");
    assert.equal((await offline("evidence", "verify", join(bare, "none"))).code, 1);
  });

  test("no other bytes are a proof, nor is this one for another network", async () => {
    const wire = await readFile(proof);
    const file = join(net.directory, "forged.evidence");
    for (let at = 0; at < wire.length; at += 23) {
      const forged = Buffer.from(wire);
      forged.writeUInt8(forged.readUInt8(at) ^ 1, at);
      await writeFile(file, forged);
      const { code, stdout } = await offline("evidence", "verify", file);
      assert.equal(code, 3, `byte ${at}: ${stdout}`);
    }
    await writeFile(file, "");
    assert.equal((await offline("evidence", "verify", file)).code, 3);
    assert.notEqual((await net.run("evidence", "submit", file)).code, 0);
    const other = join(net.directory, "other");
    await smalti(["testnet", "-o", other]);
    const genesis = join(other, "genesis.json");
    const ran = await smalti(["evidence", "verify", proof, "--genesis", genesis], { home: bare });
    assert.equal(ran.code, 3, ran.stdout);
  });

  test("a proof that the order has is not ordered again", async () => {
    for (const { http } of net.writers.slice(0, 3))
      await net.must("evidence", "submit", proof, "--from", http);
    await appendVia(net.host("w0"), "later");
    await isQuiet(honest);
    for (const at of honest) {
      const ordered = (await evidenceOf(at)).filter(({ state }) => state === "ordered");
      assert.equal(new Set(ordered.map(({ id }) => id)).size, ordered.length, "each stands once");
      // The liar goes on, and may have been convicted of more meanwhile; of nothing twice.
      assert.equal((await convictionAt(at, "w3"))?.count, ordered.length, at.host.name);
    }
  });

  test("it is known after kill -9 and restart of all hosts", async () => {
    const before = await convictionAt(net.host("w0"), "w3");
    const ids = (await evidenceOf(net.host("w0"))).map(({ id }) => id);
    await Promise.all([...net.hosts.values()].map((host) => host.end("SIGKILL")));
    await setLie(liar, "no");
    await Promise.all([...net.hosts.values()].map((host) => host.start()));
    await appendVia(net.host("w0"), "after");
    for (const at of honest) {
      const metrics = await (await fetch(`${at.host.admin}/metrics`)).text();
      assert.match(metrics, /^smalti_evidence_total\{[^}]*offender="w3"\} [1-9]/m, "alerts go on");
      assert.deepEqual(await convictionAt(at, "w3"), before, at.host.name);
      const rows = await evidenceOf(at);
      assert.deepEqual(new Set(rows.map(({ id }) => id)), new Set(ids), at.host.name);
    }
  });

  test("explain tells what is proven and what follows", async () => {
    const told = await net.must("opinion", "explain", "w3");
    assert.match(told, /^corrupt: w3 \(writer\): equivocation/);
    assert.match(told, /signed two blocks of round \d+/);
    assert.match(told, /smalti evidence verify/);
    assert.match(told, /not waited for/);
    assert.match(await net.must("opinion", "explain", "w1"), /nothing is proven/);
    assert.equal((await net.run("opinion", "explain", "w9")).code, 2);
  });

  test("nobody but an administrator pardons", async () => {
    const key = join(net.directory, "stranger.json");
    await net.must("keys", "gen", "administrator", "--out", key);
    const appeal = ["opinion", "appeal", "w3", "--why", "a disk was copied"];
    const stranger = await net.run(...appeal, "--key", key);
    assert.notEqual(stranger.code, 0, stranger.stderr);
    assert.match(stranger.stderr, /not an administrator's/);
    const publisher = await net.run(...appeal, "--key", net.testnet.publisherKey);
    assert.equal(publisher.code, 2, publisher.stderr);
    assert.equal((await net.run("opinion", "appeal", "w1", "--why", "no")).code, 1);
    for (const at of honest) assert.equal((await convictionAt(at, "w3"))?.pardon, "");
  });

  test("pardoned, it takes part again; its proof does not convict it again", async () => {
    await net.must("opinion", "appeal", "w3", "--why", "a disk was copied");
    for (const at of [...honest, liar])
      await until(
        async () => (await convictionAt(at, "w3"))?.pardon === "a disk was copied",
        10_000,
        `${at.host.name} knows of the pardon`,
      );
    await appendVia(liar, "it is heard again");
    await net.must("evidence", "submit", proof);
    await appendVia(liar, "still");
    for (const at of honest) {
      assert.equal((await convictionAt(at, "w3"))?.pardon, "a disk was copied");
      assert.deepEqual((await opinionsOf(at)).leaving, []);
    }
    assert.match(await net.must("opinion", "explain", "w3"), /^pardoned/);
    const again = await net.run("opinion", "appeal", "w3", "--why", "again");
    assert.equal(again.code, 1, again.stderr);
  });

  test("its next misdeed convicts it again", async () => {
    await liar.end("SIGKILL");
    await setLie(liar, "equivocate");
    await liar.start();
    // It takes part only once it has caught up, and it can cheat only while there is something to order.
    const isKnown = async (): Promise<boolean> => {
      await appendVia(net.host("w1"), "more");
      return (await convictionAt(net.host("w1"), "w3"))?.pardon === "";
    };
    await until(isKnown, 60_000, "w3 cheats again");
    await convictedAt(honest, "w3");
    await publishFiles(net, "demo", { "a.txt": "b\n" });
  });
});
