import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { appendVia, checkHistory, Load, readOrder, seedOf } from "../support/load.ts";
import { type HostProcess, type Net, startNet, until } from "../support/net.ts";
import { publishText } from "../support/publishing.ts";

const roundsBehind = 1050;

async function atHeight(host: HostProcess, height: number): Promise<number> {
  const response = await fetch(`${host.http}/.smalti/head?after=${height - 1}&wait=20`);
  assert.equal(response.status, 200);
  const head = (await response.json()) as { height: number };
  assert.ok(head.height >= height, `${host.host.name} is at ${head.height}, not ${height}`);
  return performance.now();
}

describe("hosts that are behind", () => {
  let net: Net;
  const load = new Map<string, Load>();
  const seed = seedOf("lag");

  before(async () => {
    net = await startNet({ writers: 4, readers: 3 });
    await net.host("r2").end();
    await publishText(net, { tree: "lag", name: "one.txt", text: "one\n" });
  });
  after(() => net.stop());

  test("a writer more than 1000 rounds behind catches up and takes part again", async (t) => {
    const late = net.host("w3");
    await late.end();
    const begin = (await net.host("w0").status()).round ?? 0;
    const clients = new Load(net, { seed, name: "far" });
    load.set("far", clients);
    clients.start({ clients: 4, publishEveryMs: 5000 });
    await until(
      async () => ((await net.host("w0").status()).round ?? 0) > begin + roundsBehind,
      150_000,
      "1050 rounds",
    );
    const behind = performance.now();
    await late.start();
    const goal = (await net.host("w0").status()).commit;
    await until(async () => (await late.status()).commit >= goal, 60_000, "it has caught up");
    t.diagnostic(
      `caught up ${goal} commits in ${Math.round(performance.now() - behind)} ms, under load`,
    );
    await clients.stop();
    await publishText(net, { tree: "lag", name: "late.txt", text: "late\n", from: late });
    await until(
      () =>
        appendVia(late, "took part").then(
          () => true,
          () => false,
        ),
      10_000,
      "it appends",
    );
    assert.equal((await late.status()).isSigning, true);
    await checkHistory(net, [clients]);
  });

  test("a fresh reader joins late and replays everything", async (t) => {
    const fresh = net.host("r2");
    const begun = performance.now();
    await fresh.start();
    const { commit, messages, stateDigest, height } = await net.host("w0").status();
    await until(
      async () => (await fresh.status()).commit >= commit - 4,
      60_000,
      "it has all commits",
    );
    t.diagnostic(`${commit} commits in ${Math.round(performance.now() - begun)} ms`);
    await net.agree(height, 20_000);
    assert.equal((await fresh.status()).stateDigest, stateDigest);
    assert.deepEqual(await readOrder(fresh, messages), await readOrder(net.host("w0"), messages));
    await checkHistory(net, [...load.values()]);
  });

  test("a reader restarts where it was and fetches nothing again", async () => {
    const reader = net.host("r0");
    await net.agree(1);
    const before = await reader.status();
    await reader.end("SIGKILL");
    await reader.start();
    const first = await reader.status();
    assert.ok(
      first.commit >= before.commit,
      `${first.commit} commits at once, ${before.commit} before`,
    );
    assert.deepEqual([first.height, first.stateDigest], [before.height, before.stateDigest]);
    await publishText(net, { tree: "lag", name: "new.txt", text: "new\n" });
    await net.agree(before.height + 1);
    const metrics = await (await fetch(`${reader.host.admin}/metrics`)).text();
    const bytes = [...metrics.matchAll(/^smalti_sync_bytes_total\{.*\} (\d+)$/gm)].map((row) =>
      Number(row[1]),
    );
    const fetched = bytes.reduce((sum, one) => sum + one, 0);
    assert.ok(fetched > 0 && fetched < 1000, `${fetched} bytes of content for one small file`);
  });

  test("an idle reader is at most a second behind a writer", async (t) => {
    const delays: number[] = [];
    for (let i = 0; i < 8; i++) {
      const { height } = await net.host("w0").status();
      const seen = Promise.all(
        ["w0", "r0", "r1"].map((name) => atHeight(net.host(name), height + 1)),
      );
      const directory = join(net.directory, `fresh-${i}`);
      await mkdir(directory);
      await writeFile(join(directory, `${i}.txt`), `${i}`);
      await net.must("publish", directory, "lag");
      const [certified = 0, ...readers] = await seen;
      for (const at of readers) delays.push(Math.round(at - certified));
    }
    t.diagnostic(
      `milliseconds from certified at a writer to served by a reader: ${delays.join(" ")}`,
    );
    assert.ok(Math.max(...delays) <= 1000, delays.join(" "));
  });
});

describe("a network that is restarted often and does little", () => {
  let net: Net;

  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
    await net.host("r0").end();
  });
  after(() => net.stop());

  test("a fresh reader can follow it from the beginning", async (t) => {
    const [writer] = net.writers;
    assert.ok(writer);
    for (let day = 0; day < 9; day++) {
      const { commit } = await writer.status();
      while ((await writer.status()).commit < commit + 28) await appendVia(writer, `day ${day}`);
      await Promise.all(net.writers.map((one) => one.end()));
      await Promise.all(net.writers.map((one) => one.start()));
    }
    const { commit } = await writer.status();
    t.diagnostic(`${commit} commits in nine runs`);
    const fresh = net.host("r0");
    await fresh.start();
    await until(
      async () => (await fresh.status()).commit >= commit - 8,
      20_000,
      "the reader has followed",
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${fresh.log.slice(-1500)}`);
    });
  });
});
