import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFile, chmod, cp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openGuard } from "../../src/io/files/index.ts";
import { main } from "../support/cli.ts";
import { appendVia, checkHistory, Load, seedOf } from "../support/load.ts";
import { type HostProcess, type Net, smalti, startNet, until } from "../support/net.ts";
import { flipByte, logFiles, noEvidence, signedBlocks } from "../support/signed-blocks.ts";

const dataOf = ({ host }: HostProcess, name = ""): string => join(host.home, "data", name);

/** Appends through `writer` until the order has gone on by so many rounds. */
async function rounds(writer: HostProcess, count: number): Promise<void> {
  const goal = ((await writer.status()).round ?? 0) + count;
  for (let i = 0; ((await writer.status()).round ?? 0) < goal; i++)
    await appendVia(writer, `go ${i}`);
}

describe("a writer that lost what it had signed", () => {
  let net: Net;
  let victim: HostProcess;
  let other: HostProcess;
  const kept: string[] = [];
  const loads: Load[] = [];
  const seed = seedOf("wiped");

  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
    victim = net.host("w3");
    other = net.host("w0");
  });
  after(() => net.stop());

  /** Its logs are evidence of what it signed, whatever is done to its disk. */
  async function keepLogs(name: string): Promise<void> {
    for (const [i, file] of (await logFiles(victim.host.home)).entries()) {
      const copy = join(net.directory, `kept-${name}-${i}.log`);
      await cp(file, copy);
      kept.push(copy);
    }
  }

  const configFile = (): string => join(victim.host.home, "config", "config.toml");

  async function load(ms: number): Promise<void> {
    const one = new Load(net, { seed: seed + loads.length, name: `l${loads.length}-` });
    loads.push(one);
    one.start({ clients: 3 });
    await sleep(ms);
    await one.stop();
  }

  const damages: readonly (readonly [string, () => Promise<void>])[] = [
    ["data", () => rm(dataOf(victim), { recursive: true })],
    ["guard", () => rm(dataOf(victim, "guard"))],
    ["corrupt guard", () => corruptGuard()],
    ["log", () => rm(dataOf(victim, "log"), { recursive: true })],
  ];

  async function corruptGuard(): Promise<void> {
    await flipByte(dataOf(victim, "guard"), 10, 1);
    await flipByte(dataOf(victim, "guard"), 522, 1);
  }

  for (const [name, damage] of damages) {
    test(`${name}: it follows until the others have told it, then signs again`, async () => {
      await load(1500);
      await victim.end("SIGKILL");
      await keepLogs(name);
      await damage();
      const [, , absent] = net.writers;
      await absent?.end("SIGKILL");
      await victim.start();
      await sleep(1000);
      const waiting = await victim.status();
      assert.equal(waiting.isSigning, false, "two answers are not enough");
      assert.match(waiting.note ?? "", /safe to sign: [012] of 3/);
      await assert.rejects(appendVia(victim, "too early"), /lost what it had signed/);
      await absent?.start();
      await takesPart();
      assert.equal(await checkHistory(net, loads), 0);
      await noEvidence(net);
      const { twins } = await signedBlocks(net, kept);
      assert.deepEqual(twins, [], "no round was signed twice");
    });
  }

  /** The victim signs and its own message is ordered, while traffic goes on elsewhere. */
  async function takesPart(): Promise<void> {
    let isOrdered = false;
    const own = appendOnceItSigns().then(() => {
      isOrdered = true;
    });
    const deadline = Date.now() + 40_000;
    for (let i = 0; !isOrdered && Date.now() < deadline; i++)
      await Promise.race([own, appendVia(other, `traffic ${i}`)]);
    assert.ok(isOrdered, `its own append is ordered while others append: ${await told()}`);
  }

  /** It may learn a moment after its start, and after it took the message's bytes, that it must not sign yet. */
  async function appendOnceItSigns(): Promise<void> {
    for (;;) {
      await until(async () => (await victim.status()).isSigning === true, 40_000, "it signs again");
      try {
        return void (await appendVia(victim, "again"));
      } catch (error) {
        if ((error as { code?: unknown }).code !== "NOT_SIGNING") throw error;
      }
    }
  }

  async function told(): Promise<string> {
    const states = await Promise.all(net.writers.map((writer) => writer.tryStatus()));
    const texts = states.map(
      (one) =>
        `${one?.moniker} round ${one?.round} commit ${one?.commit} linked to ${one?.peers}${one?.note === undefined ? "" : `: ${one.note}`}`,
    );
    const bans = net.writers.flatMap(({ host, log }) =>
      log
        .split("\n")
        .filter((line) => line.includes("misbehaves"))
        .map((line) => `${host.name}: ${line}`),
    );
    return [...texts, ...bans].join("\n");
  }

  for (const apart of [0, 120]) {
    test(`an older copy, the others ${apart} rounds ahead: it signs no round again`, async () => {
      await victim.end();
      const copy = join(net.directory, `copy-${apart}`);
      await cp(dataOf(victim), copy, { recursive: true });
      await victim.start();
      await takesPart();
      await rounds(victim, 80);
      await victim.end("SIGKILL");
      await keepLogs(`copy-${apart}`);
      await rm(dataOf(victim), { recursive: true });
      await rename(copy, dataOf(victim));
      await rounds(other, apart);
      // Impatient, as a slow answer of its peers would make it: it must not sign while it is behind.
      if (apart > 0) await appendFile(configFile(), "\n[consensus]\nleader_timeout_ms = 0\n");
      await victim.start();
      await takesPart();
      await checkHistory(net, loads);
      await noEvidence(net);
      const { twins } = await signedBlocks(net, kept);
      assert.deepEqual(twins, [], "no round was signed twice");
    });
  }

  test("after it is safe again, a later restart needs no more than a quorum", async () => {
    await rounds(victim, 5);
    await victim.end();
    const [, , absent] = net.writers;
    await absent?.end();
    await victim.start();
    await until(async () => (await victim.status()).isSigning === true, 5000, "it signs at once");
    await absent?.start();
  });

  test("in a quiet network, the writer that came back can append by itself", async () => {
    await victim.end("SIGKILL");
    await rm(dataOf(victim), { recursive: true });
    await victim.start();
    await until(async () => (await victim.status()).isSigning === true, 40_000, "it signs again");
    const ordered = appendVia(victim, "alone").then(() => true);
    assert.ok(await Promise.race([ordered, sleep(30_000, false)]), "its append is ordered in 30 s");
  });
});

describe("a power cut", () => {
  let net: Net;

  before(async () => {
    net = await startNet({ writers: 4, readers: 0 });
    await rounds(net.host("w0"), 20);
  });
  after(() => net.stop());

  test("all writers at once, two of them between guard and log: the network goes on", async () => {
    await net.agree(0);
    await Promise.all(net.writers.map((writer) => writer.end("SIGKILL")));
    // The log is durable and the guard is not yet: it is written after the log, before anything leaves the host.
    for (const writer of net.writers.slice(0, 2)) {
      const { guard, row } = await openGuard(join(writer.host.home, "data", "guard"));
      await guard.write({ ...row, round: Math.max(0, row.round - 1) });
      await guard.close();
    }
    await Promise.all(net.writers.map((writer) => writer.start()));
    await until(async () => (await net.host("w0").status()).peers.length === 3, 10_000, "links");
    await sleep(3000);
    const ordered = appendVia(net.host("w0"), "after the crash").then(
      () => "ordered",
      (error: unknown) => String(error),
    );
    const result = await Promise.race([ordered, sleep(15_000, "not ordered in 15 s")]);
    const states = await Promise.all(net.writers.map((writer) => writer.status()));
    const told = states.map(
      (one) => `${one.moniker} round ${one.round}: ${one.note ?? one.isSigning}`,
    );
    assert.equal(result, "ordered", told.join(", "));
    await noEvidence(net);
  });
});

describe("identity and keys", () => {
  let net: Net;
  const config = (host: HostProcess, name: string): string => join(host.host.home, "config", name);
  const start = (host: HostProcess): Promise<{ code: number; stderr: string }> =>
    smalti(["start", "--home", host.host.home]);

  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
  });
  after(() => net.stop());

  test("two processes cannot run with one identity, not even from a copied home", async () => {
    const [writer] = net.writers;
    assert.ok(writer);
    const copy = join(net.directory, "copied");
    await cp(writer.host.home, copy, { recursive: true });
    for (const home of [writer.host.home, copy]) {
      const { code, stderr } = await smalti(["start", "--home", home]);
      assert.equal(code, 8, stderr);
      assert.match(stderr, /another process runs with the identity/);
    }
    assert.ok(await writer.tryStatus());
  });

  test("keys that others can read are refused, with what to do", async () => {
    const host = net.host("w1");
    await host.end();
    for (const name of ["node", "block", "cosign"]) {
      const path = config(host, `keys/${name}.json`);
      await chmod(path, 0o644);
      const { code, stderr } = await start(host);
      assert.equal(code, 2, stderr);
      assert.ok(stderr.includes(`chmod 600 ${path}`), stderr);
      await chmod(path, 0o600);
    }
    await host.start();
  });

  test("a writer's key that is not in the genesis is refused", async () => {
    const host = net.host("w2");
    await host.end();
    const stranger = join(net.directory, "stranger");
    const made = await smalti(["init", "--home", stranger, "--role", "writer"]);
    assert.equal(made.code, 0, made.stderr);
    for (const name of ["node", "block", "cosign"]) {
      const path = config(host, `keys/${name}.json`);
      await rename(path, `${path}.kept`);
      await cp(join(stranger, "config", "keys", `${name}.json`), path);
      const { code, stderr } = await start(host);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /genesis/);
      await rename(`${path}.kept`, path);
    }
    await host.start();
  });

  test("a port that is taken ends the process with an error; it does not linger half started", async () => {
    const host = net.host("w3");
    await host.end();
    const taken = new URL(net.host("w2").http).host;
    const env = { ...process.env, SMALTI_NET_LISTEN: taken };
    const args = [main, "start", "--home", host.host.home];
    const ended = await new Promise<string | number>((resolve) => {
      execFile(process.execPath, args, { env, timeout: 8000, killSignal: "SIGKILL" }, (error) =>
        resolve(error?.signal ?? error?.code ?? 0),
      );
    });
    assert.notEqual(ended, "SIGKILL", "it ended by itself");
    assert.notEqual(ended, 0);
  });
});
