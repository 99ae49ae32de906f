import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { appendVia } from "../support/load.ts";
import { type HostProcess, type Net, smalti, until } from "../support/net.ts";
import { startTuned } from "../support/repute.ts";
import {
  founded,
  freshReader,
  must,
  operate,
  pause,
  proposed,
  splitsOf,
  wake,
  wish,
} from "../support/split.ts";

const opinion = "\n[opinion]\ndead_after_ms = 2000\nsplit_after_s = 3\n";

describe("a network that splits", () => {
  let net: Net;
  let a: readonly HostProcess[];
  let b: readonly HostProcess[];
  let reader: HostProcess;
  let fresh: HostProcess | undefined;
  let root: string;
  let groupA = "";
  let groupB = "";
  let receipt: string;

  before(async () => {
    net = await startTuned({ writers: 4, readers: 2 }, ({ host }) =>
      host.role === "writer" ? opinion : "",
    );
    a = [net.host("w0"), net.host("w1")];
    b = [net.host("w2"), net.host("w3")];
    reader = net.host("r0");
    receipt = join(net.directory, "receipt.json");
    root = (await reader.status()).group;
    await publish(net.host("w0"), { a: "hello\n" }, "--receipt", receipt);
    await net.agree(1);
  });
  after(async () => {
    for (const host of b) if (host.isRunning) wake([host]);
    await fresh?.end("SIGKILL");
    await net.stop();
  });

  async function publish(
    via: HostProcess,
    files: Readonly<Record<string, string>>,
    ...args: string[]
  ): Promise<void> {
    const directory = await mkdtemp(join(net.directory, "source-"));
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    await must(via, "publish", directory, "debian", "--key", net.testnet.publisherKey, ...args);
  }

  const groupsAt = async (hosts: readonly HostProcess[]): Promise<string[]> =>
    Promise.all(hosts.map(async (host) => (await host.status()).group));

  test("there is no reason to split while the order goes on", async () => {
    for (const host of a) {
      const ran = await operate(host, "split", "propose");
      assert.equal(ran.code, 1, ran.stdout);
      assert.match(ran.stderr, /NOT_STALLED/);
    }
    const ran = await operate(reader, "split", "propose");
    assert.match(ran.stderr, /NOT_A_WRITER/);
    assert.match(await net.must("split", "show"), /nobody proposes to split/);
    assert.notEqual((await operate(net.host("w0"), "split", "join", "00")).code, 0);
    assert.equal((await operate(net.host("w0"), "split", "join")).code, 2);
  });

  test("the consent of one binds nobody", async () => {
    pause(b);
    const [w0, w1] = a;
    assert.ok(w0 && w1);
    wish(w0);
    await sleep(1000);
    const early = await operate(w0, "split", "propose");
    assert.match(early.stderr, /NOT_STALLED.*|stood still for \d s/);
    const plan = await proposed(w0);
    await until(
      async () => (await splitsOf(w1)).plans.some(({ id }) => id === plan),
      5000,
      "w1 knows of it",
    );
    const row = (await splitsOf(w1)).plans.find(({ id }) => id === plan);
    assert.deepEqual(row?.sides, [
      ["w0", "w1"],
      ["w2", "w3"],
    ]);
    assert.deepEqual([row?.height, row?.joining, row?.signed], [1, ["w0"], []]);
    await sleep(1500);
    assert.deepEqual(await groupsAt(a), [root, root]);
    assert.match(await must(w0, "split", "show"), /w0 w1 +w2 w3 +w0 /);
    for (const host of a) assert.equal((await host.status()).isSigning, true);
  });

  test("after kill -9, a member and its peer agree on whether it consents", async () => {
    const [w0, w1] = a;
    assert.ok(w0 && w1);
    await w0.end("SIGKILL");
    await w0.start();
    const knows = async (): Promise<boolean> => (await splitsOf(w0)).plans.length === 1;
    await until(knows, 10_000, "w0 was told of the plan again");
    const isSame = async (): Promise<boolean> => {
      const [mine, theirs] = [(await splitsOf(w0)).plans[0], (await splitsOf(w1)).plans[0]];
      return mine?.joining.join() === theirs?.joining.join();
    };
    await until(isSame, 4000, "both say the same of w0's consent");
  });

  test("killed after it joined and before the other did, a member keeps its place", async () => {
    const [w0, w1] = a;
    assert.ok(w0 && w1);
    const plan = (await splitsOf(w1)).plans[0]?.id ?? "";
    await must(w1, "split", "join", plan.slice(0, 12));
    // Its consent is its operator's word, given again after a restart.
    await must(w0, "split", "join", plan.slice(0, 12));
    groupA = await founded(a, root);
    assert.equal((await readGenesis(w0)).includes("splits"), true);
  });

  const readGenesis = (host: HostProcess): Promise<string> =>
    readFile(join(host.host.home, "config", "genesis.json"), "utf8");

  test("the first group goes on by itself, also after kill -9 of all its hosts", async () => {
    const [w0, w1] = a;
    assert.ok(w0 && w1);
    await publish(w0, { a: "hello from A\n" });
    await Promise.all(a.map((host) => host.end("SIGKILL")));
    await Promise.all(a.map((host) => host.start()));
    assert.deepEqual(await groupsAt(a), [groupA, groupA]);
    await publish(w1, { a: "hello from A\n", more: "A\n" });
    assert.equal(await must(w1, "cat", "debian/more"), "A\n");
    const states = await Promise.all(a.map((host) => host.status()));
    assert.ok(states.every(({ height }) => height === 3));
  });

  test("those that were away make the other group, at the same checkpoint", async () => {
    wake(b);
    const [w2, w3] = b;
    assert.ok(w2 && w3);
    assert.deepEqual(await groupsAt(b), [root, root]);
    wish(w2);
    const plan = await proposed(w2);
    await until(
      async () => (await splitsOf(w3)).plans.some(({ id }) => id === plan),
      5000,
      "w3 knows of it",
    );
    await must(w3, "split", "join", plan);
    groupB = await founded(b, root);
    assert.notEqual(groupB, groupA);
    await publish(w2, { b: "from B\n" });
  });

  test("both keep the common past, and each its own future", async () => {
    for (const [group, own] of [
      [a, "a"],
      [b, "b"],
    ] as const)
      for (const host of group) {
        assert.equal(await must(host, "cat", "debian/a", "--height", "1"), "hello\n");
        const { plans, groups, lineage } = await splitsOf(host);
        assert.ok(plans.every(({ height }) => height === 1));
        const mine = groups.find((row) => row.group === (own === "a" ? groupA : groupB));
        assert.deepEqual([mine?.height, mine?.parent], [1, root], host.host.name);
        assert.deepEqual(lineage, [root, mine?.group]);
        assert.match(await must(host, "ls", "debian"), new RegExp(`\\b${own}\\b`));
      }
    assert.notEqual((await operate(net.host("w2"), "cat", "debian/more")).code, 0);
    assert.notEqual((await operate(net.host("w0"), "cat", "debian/b")).code, 0);
  });

  test("a reader sees both, serves the past, and does not switch", async () => {
    const seesBoth = async (): Promise<boolean> => {
      const { note = "" } = await reader.status();
      return [groupA, groupB].every((group) => note.includes(group.slice(0, 16)));
    };
    await until(seesBoth, 90_000, "the reader knows of both groups");
    const { group, height, note } = await reader.status();
    assert.deepEqual([group, height], [root, 1]);
    assert.match(note ?? "", /has split \(.*\); choose with: smalti split follow GROUP/);
    assert.equal(await (await fetch(`${reader.http}/debian/a`)).text(), "hello\n");
    const told = JSON.parse(await net.must("split", "show", "-o", "json")) as {
      network: string;
      groups: { group: string; height: number }[];
    };
    assert.equal(told.network, root);
    assert.deepEqual(new Set(told.groups.map((row) => row.group)), new Set([groupA, groupB]));
  });

  test("a receipt from before the split holds in both groups", async () => {
    for (const host of [net.host("r1"), net.host("w0"), net.host("w2")]) {
      const ran = await operate(host, "verify", "--receipt", receipt);
      assert.equal(ran.code, 0, `${host.host.name}: ${ran.stderr}`);
    }
  });

  test("told to follow one, a reader does so from its next start on", async () => {
    await must(reader, "split", "follow", groupB.slice(0, 16));
    assert.equal((await reader.status()).group, root);
    await reader.end();
    await reader.start();
    await until(async () => (await reader.status()).height === 2, 20_000, "it has B's height");
    assert.equal((await reader.status()).group, groupB);
    assert.equal(await (await fetch(`${reader.http}/debian/b`)).text(), "from B\n");
    assert.equal(await (await fetch(`${reader.http}/@1/debian/a`)).text(), "hello\n");
    const back = await operate(reader, "split", "follow", groupA);
    assert.notEqual(back.code, 0, "A did not split from B");
    const names = await readdir(join(reader.host.home, "config"));
    assert.ok(names.some((name) => name.startsWith("genesis.json.before-")));
  });

  test("a new reader syncs from the beginning through the split", async () => {
    fresh = await freshReader(net, "fresh", net.host("w1"));
    await fresh.start();
    const it = fresh;
    // It starts itself again where the groups part, and does not answer for a moment.
    await until(
      async () => (await it.tryStatus())?.height === 3,
      15_000,
      "it has A's height, by itself",
    );
  });

  test("after another start it still is", async () => {
    assert.ok(fresh);
    const it = fresh;
    await it.end();
    await it.start();
    await until(async () => (await it.status()).height === 3, 30_000, "it has A's height");
    const [w0] = a;
    const [mine, theirs] = [await it.status(), await w0?.status()];
    assert.deepEqual([mine.group, mine.stateDigest], [groupA, theirs?.stateDigest]);
    assert.equal(await (await fetch(`${it.http}/@1/debian/a`)).text(), "hello\n");
  });

  test("what the other group published is submitted again here, once", async () => {
    const [w0] = a;
    assert.ok(w0);
    const rejoin = ["split", "rejoin", "--other", net.host("w2").http, "-o", "json"];
    const rows = JSON.parse(await must(w0, ...rejoin)) as { tree: string; outcome: string }[];
    assert.deepEqual(
      rows.map(({ tree, outcome }) => [tree, outcome]),
      [["debian", rows[0]?.outcome]],
    );
    const { height } = await w0.status();
    const listed = await must(w0, "ls", "debian");
    const again = JSON.parse(await must(w0, ...rejoin)) as { outcome: string }[];
    assert.equal(again.length, 1);
    assert.equal((await w0.status()).height, height, "the second time changes nothing");
    assert.equal(await must(w0, "ls", "debian"), listed);
    assert.equal(rows[0]?.outcome, "published");
    assert.equal(await must(w0, "cat", "debian/b"), "from B\n");
  });

  test("no group is left for a second time, and strangers have nothing to rejoin", async () => {
    const mine = await operate(net.host("w0"), "split", "rejoin", "--other", net.host("w1").http);
    assert.notEqual(mine.code, 0, "its own group");
    const client = await net.run("split", "rejoin", "--other", net.host("w0").http);
    assert.match(client.stderr, /came from no split/);
    for (const host of [...a, ...b]) await appendVia(host, "both go on");
    const unknown = await smalti(["split", "follow", "0".repeat(16)], { home: net.directory });
    assert.notEqual(unknown.code, 0);
  });
});
