import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { appendVia } from "../support/load.ts";
import { type HostProcess, type Net, until } from "../support/net.ts";
import { isQuiet, opinionsOf, publishFiles, startTuned } from "../support/repute.ts";

/** Median time of an append, milliseconds. */
async function latencyMs(writer: HostProcess, count = 15): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    await appendVia(writer, `timed ${i}`);
    times.push(performance.now() - startedMs);
  }
  return times.sort((a, b) => a - b)[count >> 1] ?? 0;
}

async function saysOf(at: HostProcess, by: string, about: string): Promise<string> {
  return (await opinionsOf(at)).matrix[by]?.[about] ?? "";
}

describe("what writers think of one another", () => {
  let net: Net;
  let hosts: readonly HostProcess[];
  let others: readonly HostProcess[];
  let sleeper: HostProcess;

  before(async () => {
    net = await startTuned({ writers: 4, readers: 1 }, ({ host }) =>
      host.role === "writer" ? "\n[opinion]\ndead_after_ms = 3000\n" : "",
    );
    hosts = [...net.hosts.values()];
    others = ["w0", "w1", "w2"].map((name) => net.host(name));
    sleeper = net.host("w3");
    await publishFiles(net, "demo", { "a.txt": "a\n" });
  });
  after(async () => {
    if (sleeper.isRunning) process.kill(sleeper.pid, "SIGCONT");
    await net.stop();
  });

  /** Appends without pause until all `others` say so of the sleeper, in the order. */
  async function untilSaid(opinion: string, waitMs: number): Promise<void> {
    const isSaid = async (): Promise<boolean> => {
      await appendVia(net.host("w0"), "go on");
      const said = await Promise.all(others.map((by) => saysOf(by, by.host.name, "w3")));
      return said.every((one) => one === opinion);
    };
    await until(isSaid, waitMs, `all say that w3 is ${opinion}`);
  }

  test("a writer that stops is suspected, and no longer waited for, within 2 s", async (t) => {
    const [w0] = others;
    assert.ok(w0);
    await latencyMs(w0);
    const beforeMs = await latencyMs(w0);
    process.kill(sleeper.pid, "SIGSTOP");
    const stoppedMs = Date.now();
    while (Date.now() < stoppedMs + 2000) await appendVia(w0, "meanwhile");
    const afterMs = await latencyMs(w0);
    t.diagnostic(`median append ${beforeMs.toFixed(1)} ms before, ${afterMs.toFixed(1)} ms after`);
    // A leader that is waited for costs 250 ms a round.
    assert.ok(afterMs < Math.max(4 * beforeMs, 120), `${beforeMs} → ${afterMs} ms`);
    for (const at of others) {
      const { own } = await opinionsOf(at);
      const row = own.find(({ about }) => about === "w3");
      assert.match(row?.opinion ?? "", /suspected|dead/, at.host.name);
      assert.ok((row?.sinceMs ?? 0) >= stoppedMs - 200, "since it was stopped");
    }
  });

  test("later it is dead, with the reason in rounds and probes", async () => {
    await untilSaid("dead", 15_000);
    for (const at of others) {
      const { reasons } = await opinionsOf(at);
      const row = reasons.find(({ by, about }) => by === at.host.name && about === "w3");
      assert.match(row?.explained ?? "", /^dead: .*no block for \d+ rounds/, at.host.name);
      assert.match(row?.explained ?? "", /\d+ probes? unanswered since \d\d:\d\d:\d\d/);
    }
    const told = await net.must("opinion", "ls");
    assert.match(told, /w0 thinks now:\n {2}w3 {2}dead: /);
    assert.match(await net.must("opinion", "explain", "w3"), /w1: dead: /);
    for (const at of others)
      assert.equal(await at.metric('smalti_opinion{host="w3"}'), 2, at.host.name);
    assert.deepEqual((await opinionsOf(net.host("w0"))).convicted, [], "silence is no misdeed");
  });

  test("when it is back, it is ok again, and thinks well of the others", async () => {
    process.kill(sleeper.pid, "SIGCONT");
    await untilSaid("ok", 20_000);
    const isCalm = async (): Promise<boolean> => {
      await appendVia(sleeper, "here");
      const { matrix } = await opinionsOf(sleeper);
      return Object.values(matrix).every((row) => Object.values(row).every((one) => one === "ok"));
    };
    await until(isCalm, 20_000, "nobody thinks ill of anybody");
  });

  test("an operator's word shows everywhere, and can be taken back", async () => {
    const home = net.host("w0").host.home;
    for (const [word, seen] of [
      ["dead", "dead"],
      ["auto", "ok"],
      ["suspected", "suspected"],
      ["ok", "ok"],
    ] as const) {
      await net.must("opinion", "set", "w2", word, "--home", home);
      for (const at of hosts)
        await until(
          async () => (await saysOf(at, "w0", "w2")) === seen,
          10_000,
          `${at.host.name} sees that w0 says ${seen} of w2`,
        );
      if (word === "dead")
        assert.match(
          await net.must("opinion", "explain", "w2"),
          /w0: dead: set by the operator since/,
        );
    }
    await net.must("opinion", "set", "w2", "auto", "--home", home);
  });

  test("what cannot be said is refused", async () => {
    const { home } = net.host("w0").host;
    const set = (...args: string[]): ReturnType<Net["run"]> => net.run("opinion", "set", ...args);
    assert.notEqual((await set("w0", "dead", "--home", home)).code, 0, "of itself");
    assert.notEqual((await set("w9", "dead", "--home", home)).code, 0, "of nobody");
    assert.notEqual((await set("w2", "corrupt", "--home", home)).code, 0, "needs a proof");
    const reader = await set("w2", "dead", "--home", net.host("r0").host.home);
    assert.match(reader.stderr, /NOT_A_WRITER/);
  });

  test("a quiet network is quiet: no commits, no bytes on links, and nobody is suspected", async () => {
    await isQuiet(hosts, 3000);
    const sent = (): Promise<number[]> =>
      Promise.all(net.writers.map((writer) => writer.metric("smalti_link_sent_bytes")));
    const before = { bytes: await sent(), states: await net.agree(0) };
    assert.ok(before.bytes.every((bytes) => bytes > 0));
    await sleep(3000);
    assert.deepEqual(await sent(), before.bytes);
    for (const at of net.writers) {
      const { own, commit } = await opinionsOf(at);
      assert.equal(commit, before.states[0]?.commit);
      assert.deepEqual(
        own.map(({ opinion }) => opinion),
        ["ok", "ok", "ok"],
      );
    }
  });

  test("a stop in a quiet network is not noticed until something is to be ordered", async () => {
    process.kill(sleeper.pid, "SIGSTOP");
    await sleep(4000);
    const { own } = await opinionsOf(net.host("w0"));
    assert.equal(own.find(({ about }) => about === "w3")?.opinion, "ok");
    await untilSaid("dead", 15_000);
    process.kill(sleeper.pid, "SIGCONT");
    await untilSaid("ok", 20_000);
  });

  test("after a quiet time too, it is dead no sooner than dead_after_ms", async () => {
    await isQuiet(hosts, 4000);
    process.kill(sleeper.pid, "SIGSTOP");
    const stoppedMs = Date.now();
    try {
      await untilSaid("dead", 15_000);
      assert.ok(Date.now() - stoppedMs >= 3000, `dead after ${Date.now() - stoppedMs} ms`);
      const { own } = await opinionsOf(net.host("w0"));
      const { sinceMs = 0 } = own.find(({ about }) => about === "w3") ?? {};
      assert.ok(sinceMs >= stoppedMs - 200, "since it was stopped, not since the last traffic");
    } finally {
      process.kill(sleeper.pid, "SIGCONT");
      await untilSaid("ok", 20_000);
    }
  });

  test("a writer that is killed is dead, and ok after its restart", async () => {
    await sleeper.end("SIGKILL");
    await untilSaid("dead", 15_000);
    const { reasons } = await opinionsOf(net.host("w1"));
    const row = reasons.find(({ by, about }) => by === "w1" && about === "w3");
    assert.match(row?.explained ?? "", /^dead: no link/);
    await sleeper.start();
    await untilSaid("ok", 20_000);
  });
});
