import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createTestnet } from "../../src/app/setup/index.ts";
import { Appender } from "../support/appender.ts";
import { readOrder } from "../support/load.ts";
import { type HostProcess, Net } from "../support/net.ts";
import { signedBlocks } from "../support/signed-blocks.ts";

const cuts = 5;

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
}

/** Whether this machine lets us mount an image: root, and loop devices. */
async function canMount(directory: string): Promise<boolean> {
  const [image, at] = [join(directory, "probe.img"), join(directory, "probe")];
  await mkdir(at);
  try {
    run("truncate", "-s", "8M", image);
    run("mkfs.ext4", "-q", "-F", image);
    run("mount", "-o", "loop", image, at);
    run("umount", at);
    return true;
  } catch {
    return false;
  }
}

/**
 * A host on an ext4 image of its own. A copy of the image, taken while the host stands still, is what a power cut at
 * that instant would leave: what was not synced is in the kernel's memory only, data and names.
 */
test(`${cuts} power cuts on a mounted image: nothing acknowledged is lost, no round signed twice`, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "smalti-power-"));
  try {
    if (await canMount(directory)) await cutAgainAndAgain(directory, (text) => t.diagnostic(text));
    else if (process.env["CI"] !== undefined) assert.fail("CI must be able to mount an image");
    else
      t.diagnostic(
        "no image can be mounted here: failpoints.test.ts cuts the power of copied files instead",
      );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

async function cutAgainAndAgain(directory: string, tell: (text: string) => void): Promise<void> {
  const [image, copy, mounted] = ["disk.img", "copy.img", "net"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  await mkdir(mounted);
  run("truncate", "-s", "256M", image);
  run("mkfs.ext4", "-q", "-F", image);
  run("mount", "-o", "loop", image, mounted);
  let host: HostProcess | undefined;
  try {
    const home = join(mounted, "net");
    const net = new Net(await createTestnet({ directory: home, writers: 1, readers: 0 }), home);
    host = net.host("w0");
    run("sync", "-f", mounted);
    const appender = new Appender();
    for (let cut = 0; cut < cuts; cut++) {
      await host.start();
      appender.isOver = false;
      const running = appender.run(host);
      await sleep(700 + 230 * cut);
      process.kill(host.pid, "SIGSTOP");
      const told = new Map(appender.acked);
      run("cp", "--sparse=always", image, copy);
      appender.isOver = true;
      await host.end("SIGKILL");
      await running;
      run("umount", mounted);
      run("mv", copy, image);
      run("mount", "-o", "loop", image, mounted);
      // What was told after the cut was never told.
      appender.acked.clear();
      for (const [text, index] of told) appender.acked.set(text, index);
    }
    await host.start();
    const { acked } = appender;
    const order = await readOrder(host, Math.max(...acked.values()) + 1);
    for (const [text, index] of acked) assert.equal(order[index], text, `"${text}" is at ${index}`);
    tell(`${acked.size} messages were acknowledged before ${cuts} cuts, and all are there`);
    assert.ok(acked.size > 5 * cuts, "it made progress");
    await host.end();
    assert.deepEqual((await signedBlocks(net)).twins, []);
  } finally {
    await host?.end("SIGKILL");
    run("umount", mounted);
  }
}
