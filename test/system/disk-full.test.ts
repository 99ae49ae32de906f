import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { appendMessages } from "../../src/app/client/index.ts";
import { appendVia, checkHistory, Load, seedOf } from "../support/load.ts";
import { type HostProcess, type Net, startNet, until } from "../support/net.ts";
import { publishText } from "../support/publishing.ts";
import { noEvidence, signedBlocks } from "../support/signed-blocks.ts";

describe("a full disk", () => {
  let net: Net;
  let host: HostProcess;
  let data: string;
  const load = (): Load => new Load(net, { seed: seedOf("disk"), name: `d${Date.now()}-` });

  before(async () => {
    net = await startNet({ writers: 4, readers: 0 });
    host = net.host("w3");
    data = join(host.host.home, "data");
    await host.end();
    await cp(data, `${data}.kept`, { recursive: true });
    await mount("4m");
    await cp(`${data}.kept`, data, { recursive: true });
    await host.start();
  });
  after(async () => {
    await Promise.all([...net.hosts.values()].map((one) => one.end("SIGKILL")));
    execFileSync("umount", ["-l", data]);
    await net.stop();
  });

  async function mount(size: string): Promise<void> {
    await rm(data, { recursive: true });
    await mkdir(data, { mode: 0o700 });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "none", data]);
  }

  const remount = (size: string): unknown =>
    execFileSync("mount", ["-o", `remount,size=${size}`, data]);

  test("while the log grows: the writer stops with code 8 and says why; the others go on", async () => {
    const big = Array.from({ length: 3 }, () => Buffer.alloc(60_000, 1));
    const [w0] = net.writers;
    for (let i = 0; i < 60 && host.isRunning; i++) await appendMessages(w0?.http ?? "", big);
    await until(() => !host.isRunning, 10_000, "the writer on the full disk stops");
    assert.equal(await host.exited(), 8, host.log.slice(-2000));
    assert.match(host.log, /cannot write .*data/);
    assert.doesNotMatch(host.log, /Unhandled|uncaught|^\s+at .*\.js:\d+/m);
    await appendVia(net.host("w0"), "the others go on");
  });

  test("started while it is still full, it says so with code 8", async () => {
    host.log = "";
    host.spawn();
    await Promise.race([host.exited(), sleep(8000)]);
    const ran = host.isRunning ? "runs" : await host.exited();
    await host.end("SIGKILL");
    assert.ok(ran === "runs" || ran === 8, `exit ${ran}: ${host.log.slice(-1500)}`);
  });

  test("with space again it rejoins, and has signed nothing twice", async () => {
    remount("64m");
    await host.start();
    const one = load();
    one.start({ clients: 3 });
    await until(async () => (await host.status()).isSigning === true, 20_000, "it signs again");
    await sleep(1000);
    await one.stop();
    await checkHistory(net, [one]);
    await noEvidence(net);
    assert.deepEqual((await signedBlocks(net)).twins, []);
  });

  test("the failure is forgotten once it signs: a later restart needs no more than a quorum", async () => {
    const [, , absent] = net.writers;
    await host.end();
    await absent?.end();
    await host.start();
    await sleep(2000);
    const { isSigning, note } = await host.status();
    await absent?.start();
    assert.equal(isSigning, true, note);
  });

  test("while content grows: the writer does not go on as if it could still hold updates", async () => {
    const used = Number(execFileSync("du", ["-sm", data]).toString().split("\t")[0]);
    remount(`${used + 3}m`);
    const content = Buffer.alloc(8_000_000, "content");
    await publishText(net, { tree: "t", name: "big", text: content, from: net.host("w0") });
    await until(() => !host.isRunning, 15_000, "the writer that cannot store content stops");
    assert.equal(await host.exited(), 8, host.log.slice(-2000));
  });
});
