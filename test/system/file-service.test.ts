import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { verifyHead } from "../../src/app/client/index.ts";
import { type Digest, fromHex } from "../../src/core/base/index.ts";
import { decode, encode, type Value } from "../../src/core/codec/index.ts";
import { commitDigest } from "../../src/core/dag/commit.ts";
import {
  Bank,
  bankOf,
  base,
  cat,
  digestOf,
  type Files,
  get,
  invented,
  newest,
  onlyB,
  states,
  writeA,
  writeB,
} from "../support/bank.ts";
import { type FrontedNet, reach } from "../support/fronted-net.ts";
import { type HostileServer, on, type Trick } from "../support/hostile-server.ts";
import { type HostProcess, type Net, startNet, until } from "../support/net.ts";
import { bytesOf, insteadOf, pretend } from "../support/pretence.ts";
import { publisherOf } from "../support/publisher.ts";

// The attacks upon a file service (University of Washington, CSE 452, lecture on Byzantine fault tolerance): a server
// makes up contents, executes one write and ignores another, shows one client the old state and another one the new.

describe("a file service of which one server, a writer, lies", () => {
  let bank: Bank;
  let world: FrontedNet;
  let net: Net;
  let liar: HostileServer;

  before(async () => {
    bank = await Bank.open();
    ({ world } = bank);
    ({ net, liar } = world);
  });
  afterEach(() => {
    liar.trick = () => false;
  });
  after(() => bank.close());

  const textAt = async (host: HostProcess, path: string): Promise<string> =>
    (await fetch(`${host.http}/${path}`)).text();
  const statusAt = async (host: HostProcess, path: string): Promise<number> =>
    (await fetch(`${host.http}/${path}`)).status;

  // ── it makes up contents ──

  test("made-up contents are refused, their server is named, and another one is used", async () => {
    const { bytes } = bank.swapped(newest, (path) => invented[path]);
    liar.trick = pretend(liar, { bytes, files: bankOf(invented).files });
    const [small, large, all] = await Promise.all([
      bank.refused(cat("accounts/alice")),
      bank.refused(cat("ledger")),
      bank.refused(get),
    ]);
    assert.equal(small.stdout, newest["accounts/alice"]);
    assert.equal(large.stdout, newest["ledger"]);
    assert.deepEqual(all.files, newest);
  });

  test("made-up contents with all that names them, up to a log: nothing but a quorum's keys is lacking", async () => {
    const tree = bankOf(invented);
    const { files } = tree;
    const bytes = bytesOf(tree);
    const root = [bankOf(newest).directory("").digest, tree.directory("").bytes] as const;
    for (const claims of [
      { bytes: new Map([...bytes, root]) },
      { bytes, head: await bank.bodyOf(invented) },
      { bytes, head: await bank.claimed(invented, []) },
      { bytes, head: await bank.claimed(invented, [0]) },
      { bytes, head: await bank.claimed(invented, [0, 1]) },
    ]) {
      liar.trick = pretend(liar, { ...claims, files });
      await bank.believesNone(invented);
    }
    const head = await bank.claimed(invented, [0, 1, 2]);
    liar.trick = pretend(liar, { bytes, head, files });
    const ran = await net.run("cat", "bank/accounts/alice", "--from", liar.url);
    assert.deepEqual(
      [ran.code, ran.stdout],
      [0, invented["accounts/alice"]],
      "three are more than f",
    );
  });

  test("made-up contents: a reader that follows the liar keeps none of them, and serves the truth or nothing", async () => {
    const lies = new Map<Digest, Uint8Array>();
    for (const files of states)
      for (const [digest, lie] of bank.swapped(files, (_, text) => "made up".padEnd(text.length))
        .bytes)
        lies.set(digest, lie);
    liar.trick = pretend(liar, { bytes: lies });
    const [r0, r1] = await Promise.all([world.fresh("r0"), world.fresh("r1")]);
    const truth = await reach([...world.honest, r0], 3);
    assert.equal(truth.size, 1, "the reader that follows an honest server too has their state");
    await until(() => r1.log.includes("content: wrong bytes"), 10_000, "r1 says what it got");
    assert.ok(r1.log.includes(liar.url), "and from whom");
    assert.equal((await r1.status()).height, 0);
    assert.equal(await statusAt(r1, "bank/accounts/alice"), 404);
    for (const reader of [r0, r1])
      for (const lie of lies.values())
        assert.equal(await statusAt(reader, `.smalti/blob/sha256/${digestOf(`${lie}`)}`), 404);
    assert.equal(await textAt(r0, "bank/accounts/alice"), newest["accounts/alice"]);
    liar.trick = () => false;
    assert.deepEqual(await reach([r0, r1], 3), truth, "once it is told the truth, it has it");
  });

  // ── it executes B and ignores A, which came before ──

  test("B without A, as an honest network elsewhere has it: refused, whatever name the liar puts on it", async () => {
    const elsewhere = await startNet({ writers: 1, readers: 0, logLevel: "warn" });
    try {
      const stranger = await publisherOf(elsewhere);
      const source = await bank.put(await bank.place("elsewhere"), base);
      await stranger.publish(source, "bank");
      await elsewhere.agree(await stranger.publish(await bank.put(source, writeB), "bank"));
      const { http } = elsewhere.host("w0");
      const told = (await (await fetch(`${http}/.smalti/head`)).json()) as { checkpoint: string };
      const head = verifyHead(stranger.trust, told);
      assert.ok(head.ok && head.value.trees === bankOf(onlyB).trees, "there it is true");
      const [, ...rest] = told.checkpoint.split("\n");
      const renamed = [bank.publisher.trust.network.origin, ...rest].join("\n");
      for (const checkpoint of [told.checkpoint, renamed]) {
        liar.trick = insteadOf(liar, http, (url, bytes) =>
          url.startsWith("/.smalti/head") ? JSON.stringify({ ...told, checkpoint }) : bytes,
        );
        await bank.believesNone(onlyB);
      }
    } finally {
      await elsewhere.stop();
    }
  });

  test("B without A, mixed from what the writers certified: refused at every joint", async () => {
    const [real, mixed] = [bankOf(newest), bankOf(onlyB)];
    const bytes = bytesOf(mixed);
    const swap = (path: string): Map<Digest, Uint8Array> =>
      new Map([...bytes, [real.directory(path).digest, mixed.directory(path).bytes] as const]);
    for (const claims of [
      { bytes: swap("accounts") },
      { bytes: swap("") },
      { bytes, head: await bank.bodyOf(onlyB) },
      { bytes, head: await bank.claimed(onlyB, [0]) },
    ]) {
      liar.trick = pretend(liar, { ...claims, files: mixed.files });
      await bank.believesNone(onlyB);
    }
    // The newest state, and the content from before A in it.
    const before = bank.swapped(writeA, (path) => base[path]);
    liar.trick = pretend(liar, { ...before, files: mixed.files });
    const [one, all] = await Promise.all([bank.refused(cat("accounts/alice")), bank.refused(get)]);
    assert.equal(one.stdout, newest["accounts/alice"]);
    assert.deepEqual(all.files, newest);
  });

  /** Bends the commits that a reader gets, at the one that orders A: after height 1 the first that speaks of the bank. */
  const withoutA = (bend: (commits: Value[], at: number) => void): Trick =>
    on(/v1\/commits/, async (request, response) => {
      const { bytes, status, headers } = await liar.pass(request);
      const news = decode(bytes);
      assert.ok(news.ok && Array.isArray(news.value));
      const commits = (news.value as [[Value[]]])[0][0];
      const [from = 0, to = 0] = bank.commits.slice(1);
      const at = commits.findIndex((commit) => {
        const index = indexOf(commit);
        return index > from && index <= to && textIn(commit).includes("bank");
      });
      if (at >= 0) {
        indexOfA = indexOf(commits[at] ?? null);
        bend(commits, at);
      }
      response.writeHead(status, headers).end(encode(news.value));
    });
  let indexOfA = 0;
  const indexOf = (commit: Value): number => (commit as [[number]])[0][0];
  const textIn = (value: Value): string => Buffer.from(encode(value)).toString("latin1");
  /** Takes the block that orders A out of its commit; with `isNamed` the commit still says that it was there. */
  const unordered = (commits: Value[], at: number, isNamed: boolean): void => {
    const [commit, blocks] = commits[at] as [Value[], Value[]];
    const i = blocks.findIndex((block) => textIn(block).includes("bank"));
    blocks.splice(i, 1);
    if (!isNamed) (commit[3] as Value[]).splice(i, 1);
  };

  /** Takes the commit that orders A out, and numbers and chains those after it as if it had never been. */
  const relinked = (commits: Value[], at: number): void => {
    const [gone] = commits.splice(at, 1) as [[[number, Uint8Array]]];
    let [index, prev] = gone[0];
    for (const [commit] of commits.slice(at) as [Value[]][]) {
      commit[0] = index++;
      commit[1] = prev;
      prev = fromHex(commitDigest(encode(commit)));
    }
  };

  test("B without A in the commits that a reader follows: not one of them is taken", async () => {
    for (const [code, bend] of [
      ["NOT_NEXT", (commits: Value[], at: number) => void commits.splice(at, 1)],
      ["WRONG_BLOCK", (commits: Value[], at: number) => unordered(commits, at, true)],
      ["BROKEN_CHAIN", (commits: Value[], at: number) => unordered(commits, at, false)],
      ["NO_QUORUM", relinked],
    ] as const) {
      liar.trick = withoutA(bend);
      const [r0, r1] = await Promise.all([world.fresh("r0"), world.fresh("r1")]);
      await until(() => r1.log.includes(code), 10_000, `r1 finds ${code}`);
      assert.ok(r1.log.includes(`"source":"${liar.url}"`), "it says whose answer does not verify");
      const { height, commit } = await r1.status();
      assert.ok(height <= 1 && commit < indexOfA, `height ${height}, commit ${commit}`);
      assert.equal(await statusAt(r1, "@3/bank/accounts/bob"), 404);
      await reach([r0], 3);
      assert.equal(await textAt(r0, "bank/accounts/alice"), newest["accounts/alice"]);
    }
  });

  test("B without A because A's content is kept back: a reader serves neither, and later both", async () => {
    const withheld = new Set([digestOf(writeA["accounts/alice"])]);
    liar.trick = pretend(liar, { withheld });
    const r1 = await world.fresh("r1");
    await reach([r1], 1);
    const { root } = await net.host("w1").status();
    await until(async () => (await r1.status()).root === root, 10_000, "r1 has executed B");
    assert.equal((await r1.status()).height, 1);
    assert.equal(await textAt(r1, "bank/accounts/bob"), base["accounts/bob"]);
    assert.equal(await statusAt(r1, "@3/bank/accounts/bob"), 404);
    const out = await bank.place("out");
    const showsState = async (): Promise<boolean> => (await fetch(`${r1.http}/.smalti/head`)).ok;
    await until(
      showsState,
      10_000,
      "r1 proves what it serves, though the newest checkpoint is beyond it",
    );
    await net.must("get", "bank", out, "--from", r1.http);
    assert.deepEqual(await bank.contents(out), base, "what it serves is a state, whole");
    liar.trick = () => false;
    await reach([r1], 3);
    assert.equal(await textAt(r1, "bank/accounts/bob"), newest["accounts/bob"]);
  });

  // ── it shows the state before B to one, and the state after B to another ──

  /** The liar as it was at a height: all that it says is true, and was the newest then. */
  const asOf = (height: number): Trick => {
    const head = on(/\.smalti\/head/, (_, response) => void response.end(bank.heads[height]));
    const commits = on(/v1\/commits/, (_, response) => void response.end(bank.ranges[height]));
    const status = on(/status\.json/, async (request, response) => {
      const told = JSON.parse((await liar.pass(request)).bytes.toString()) as object;
      response.end(JSON.stringify({ ...told, height }));
    });
    return async (request, response) =>
      (await head(request, response)) ||
      (await commits(request, response)) ||
      (await status(request, response));
  };
  const download = async (
    out: string,
    ...from: string[]
  ): Promise<{ readonly height: number; readonly refused: readonly unknown[] }> =>
    JSON.parse(await net.must("get", "bank", out, "-o", "json", "--from", ...from)) as never;

  test("old to one client, new to another: each gets one state that the writers certified, whole", async () => {
    const [first, second] = [await bank.place("first"), await bank.place("second")];
    liar.trick = asOf(3);
    assert.equal((await download(first, liar.url)).height, 3);
    assert.deepEqual(await bank.contents(first), states[3]);
    liar.trick = asOf(2);
    assert.equal((await download(second, liar.url)).height, 2);
    assert.deepEqual(await bank.contents(second), states[2]);
    assert.match(
      await net.must("verify", second, "bank", "--height", "2", "--from", bank.honest),
      /verified/,
    );
    // The command line keeps no memory of the newest height (SECURITY.md, freshness): the one who has seen B is told
    // the height, gets that state as a whole, B taken back, and is warned by what other servers and `status` say.
    assert.equal((await download(first, liar.url)).height, 2);
    assert.deepEqual(await bank.contents(first), states[2]);
    const told = JSON.parse(
      await net.must("status", "-o", "json", "--from", liar.url, bank.honest),
    ) as { height: number }[];
    assert.deepEqual(
      told.map(({ height }) => height),
      [2, 3],
    );
  });

  test("the old state does not hold back who asks another server too, or for the height that he has seen", async () => {
    liar.trick = asOf(2);
    for (const from of [
      [liar.url, bank.honest],
      [bank.honest, liar.url],
    ]) {
      const out = await bank.place("out");
      assert.deepEqual(
        await download(out, ...from).then(({ height, refused }) => [height, refused]),
        [3, []],
      );
      assert.deepEqual(await bank.contents(out), states[3]);
    }
    const bob = await bank.refused(() => ["cat", "bank/accounts/bob", "--height", "3"]);
    assert.equal(bob.stdout, writeB["accounts/bob"]);
  });

  test("old and new in one answer: no joint holds, and no file of the other state is left behind", async () => {
    const [old, now] = [bankOf(states[2] ?? {}), bankOf(newest)];
    const mix = (from: typeof old, to: typeof old, file: Files): Map<Digest, Uint8Array>[] => {
      const [content] = Object.values(file);
      const other = to.files.get("bank/accounts/bob") ?? new Uint8Array();
      return [
        new Map([[from.directory("accounts").digest, to.directory("accounts").bytes]]),
        new Map([[digestOf(content), other]]),
      ];
    };
    for (const [height, files, byDigest] of [
      [2, now.files, mix(old, now, { bob: base["accounts/bob"] ?? "" })],
      [3, old.files, mix(now, old, writeB)],
    ] as const) {
      for (const bytes of byDigest) {
        const head: unknown = JSON.parse(bank.heads[height] ?? "");
        liar.trick = pretend(liar, { head, bytes, files });
        const out = await bank.place("out");
        const [got, said] = await Promise.all([
          net.run("get", "bank", out, "--from", liar.url),
          net.run("cat", "bank/accounts/bob", "--from", liar.url),
        ]);
        for (const { code, stdout, stderr } of [got, said]) {
          assert.deepEqual([code, stdout], [3, ""], stderr);
          assert.ok(stderr.includes(`refused ${liar.url}`), stderr);
        }
        for (const [path, content] of Object.entries(await bank.contents(out)))
          assert.equal(content, states[height]?.[path], `${path} at height ${height}`);
      }
    }
  });

  test("a reader is a memory: it never goes back, whatever the only one whom it follows shows it later", async () => {
    // Nobody waits long for news here: what the liar shows next is seen soon.
    liar.trick = (request) => {
      request.url = request.url?.replace(/wait=\d+/, "wait=1") ?? "";
      return false;
    };
    const r1 = await world.fresh("r1");
    await reach([r1], 3);
    liar.trick = asOf(2);
    const stays = async (): Promise<void> => {
      const asked = liar.requests;
      await until(() => liar.requests > asked + 3, 10_000, "r1 asks again");
      assert.equal((await r1.status()).height, 3);
      assert.equal(await textAt(r1, "bank/accounts/bob"), writeB["accounts/bob"]);
    };
    await stays();
    await r1.end();
    await r1.start();
    await stays();
  });

  // ── the liar is one of the four writers ──

  /** Everything at once: false contents, directories, states, commits. */
  const everything = async (): Promise<Trick> => {
    const tree = bankOf(invented);
    const lies = bank.swapped(newest, (path) => invented[path]).bytes;
    const bytes = new Map([...bytesOf(tree), ...lies]);
    const head = await bank.claimed(invented, [0]);
    const claims = pretend(liar, { bytes, head, files: tree.files });
    const commits = withoutA((all, at) => void all.splice(at, 1));
    return async (request, response) =>
      (await claims(request, response)) || commits(request, response);
  };

  test("one of four writers lies in all that it serves: who publishes through another does not notice", async () => {
    liar.trick = await everything();
    const files = { ...newest, "accounts/carol": "carol has 7\n" };
    const directory = await bank.put(await bank.place("publish"), files);
    const height = bank.heads.length;
    const out = await net.must("publish", directory, "bank", "-o", "json", "--from", bank.honest);
    const published = JSON.parse(out) as { height: number; signers: string[]; writer: string };
    assert.deepEqual([published.height, published.writer], [height, bank.honest]);
    assert.ok(published.signers.length >= 3);
    const r0 = await world.fresh("r0");
    assert.equal((await reach([...world.honest, r0], height)).size, 1);
    assert.equal(await textAt(r0, "bank/accounts/carol"), files["accounts/carol"]);
    // Whoever asks the writers of the genesis asks the liar first.
    const got = await bank.place("got");
    const ran = await net.run("get", "bank", got);
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(ran.stderr.includes(`refused ${liar.url}`), ran.stderr);
    assert.deepEqual(await bank.contents(got), files);
  });

  test("it ignores a write and shows the receipt of another: refused, and the next writer executes it, once", async () => {
    const { heights } = (await (await fetch(`${bank.honest}/.smalti/v1/heights`)).json()) as {
      heights: { height: number; update: string }[];
    };
    const [{ height: before, update = "" } = { height: 0 }] = heights;
    const told = await (await fetch(`${bank.honest}/.smalti/v1/updates/${update}`)).text();
    const receipt = on(/v1\/updates\/\w{64}\?/, (_, response) => void response.end(told));
    const open = on(/v1\/updates$/, (_, response) => void response.end('{"state":"ordered"}'));
    const tricks: readonly Trick[] = [
      receipt, // The write is executed, and denied.
      async (request, response) =>
        (await open(request, response)) || (await receipt(request, response)),
    ];
    for (const [i, trick] of tricks.entries()) {
      liar.trick = trick;
      const directory = await bank.put(await bank.place("publish"), { dave: `dave has ${i}\n` });
      const out = await net.must(
        "publish",
        directory,
        "bank",
        "-o",
        "json",
        "--from",
        liar.url,
        bank.honest,
      );
      const published = JSON.parse(out) as { height: number; writer: string };
      assert.deepEqual([published.height, published.writer], [before + 1 + i, bank.honest]);
      assert.equal((await reach(world.honest, before + 1 + i)).size, 1);
      assert.equal(await textAt(net.host("w2"), "bank/dave"), `dave has ${i}\n`);
    }
  });
});
