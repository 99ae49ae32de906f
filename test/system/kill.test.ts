import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Prng } from "../../src/core/base/index.ts";
import { checkHistory, Load, seedOf } from "../support/load.ts";
import { type Net, startNet } from "../support/net.ts";
import { noEvidence, signedBlocks } from "../support/signed-blocks.ts";

const seconds = Number(process.env["SMALTI_KILL_SECONDS"] ?? 20);

describe("kill -9 under load", () => {
  let net: Net;
  const loads: Load[] = [];
  const seed = seedOf("kill");

  before(async () => {
    net = await startNet({ writers: 4, readers: 2, logLevel: "info" });
  });
  after(() => net.stop());

  test("single writers, at random times: nothing acknowledged is lost", async (t) => {
    const random = new Prng(seed);
    const load = new Load(net, { seed, name: "single" });
    loads.push(load);
    load.start({ clients: 6, publishEveryMs: 1500 });
    const deadline = Date.now() + seconds * 1000;
    let kills = 0;
    while (Date.now() < deadline) {
      await sleep(200 + random.below(1500));
      const victim = net.writers[random.below(net.writers.length)];
      await victim?.end("SIGKILL");
      kills++;
      await sleep(random.below(1500));
      await victim?.start();
    }
    await load.stop();
    const height = await checkHistory(net, loads);
    t.diagnostic(
      `${kills} kills, ${load.acked.length} batches acknowledged, ${load.unknown.length} unanswered, height ${height}`,
    );
    assert.ok(load.acked.length > 2 * seconds, "the network makes progress under kills");
    await noEvidence(net);
  });

  for (const turn of [1, 2]) {
    test(`all hosts at once, time ${turn}: nothing acknowledged is lost, and it goes on`, async (t) => {
      const load = new Load(net, { seed: seed + turn, name: `all${turn}` });
      loads.push(load);
      load.start({ clients: 6, publishEveryMs: 700 });
      await sleep(3000);
      const hosts = [...net.hosts.values()];
      await Promise.all(hosts.map((host) => host.end("SIGKILL")));
      await load.stop();
      await Promise.all(hosts.map((host) => host.start()));
      const before = load.acked.length;
      const more = new Load(net, { seed, name: `more${turn}` });
      loads.push(more);
      more.start({ clients: 2, publishEveryMs: 300 });
      await sleep(4000);
      await more.stop();
      assert.ok(before > 5, `${before} batches were acknowledged before`);
      assert.ok(more.acked.length > 3, `${more.acked.length} batches were acknowledged afterwards`);
      assert.ok(more.published.length > 0, "a publish succeeded afterwards");
      t.diagnostic(`height ${await checkHistory(net, loads)}`);
      await noEvidence(net);
    });
  }

  test("no writer signed two blocks of one round, by all logs together", async (t) => {
    await Promise.all([...net.hosts.values()].map((host) => host.end()));
    const { blocks, twins } = await signedBlocks(net);
    t.diagnostic(`${blocks} blocks in all logs`);
    assert.deepEqual(twins, []);
  });
});
