import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Appender } from "../support/appender.ts";
import { main } from "../support/cli.ts";
import { readOrder } from "../support/load.ts";
import { type HostProcess, type Net, startNet, until } from "../support/net.ts";
import { signedBlocks } from "../support/signed-blocks.ts";

const failpoint = fileURLToPath(new URL("../support/failpoint.js", import.meta.url));
const modes = ["before", "after", "torn", "power"] as const;

/** The program dies at its `step`-th durable step. */
function dyingAt(step: number, mode: (typeof modes)[number]): string[] {
  return ["env", `NODE_OPTIONS=--import=${failpoint}`, `SMALTI_FAILPOINT=${step}:${mode}`];
}

/** From the first steps of a start into the life of a host; each step in another mode at each turn. */
const steps = [1, 2, 3, 4, 5, 6, 7, 9, 12, 17, 30, 55];

describe("kill -9 at durable steps, on real files", () => {
  let net: Net;
  const appender = new Appender();

  before(async () => {
    net = await startNet({ writers: 1, readers: 1, logLevel: "info" });
  });
  after(() => net.stop());

  /** Starts a host that will die, and waits until it has; false if it lived on. */
  async function dies(host: HostProcess, step: number, turn: number): Promise<boolean> {
    await host.end("SIGKILL");
    host.spawn(dyingAt(step, modes[turn % modes.length] ?? "before"));
    // What is taken in fewer answers reaches the later steps later.
    for (let i = 0; i < 240 && host.isRunning; i++) await sleep(50);
    return !host.isRunning;
  }

  for (const role of ["writer", "reader"] as const) {
    test(`a ${role} at ${steps.length} steps: nothing acknowledged is lost`, async (t) => {
      const [writer, reader] = [net.host("w0"), net.host("r0")];
      const host = role === "writer" ? writer : reader;
      appender.isOver = false;
      const before = appender.acked.size;
      const running = appender.run(writer);
      let died = 0;
      for (const [turn, step] of steps.entries()) if (await dies(host, step, turn)) died++;
      await host.end("SIGKILL");
      await host.start();
      const { acked } = appender;
      await until(() => acked.size > before + 10, 60_000, "it makes progress");
      appender.isOver = true;
      await running;
      t.diagnostic(`died ${died} times; ${acked.size - before} messages acknowledged`);
      assert.ok(died >= steps.length - 2, `died in ${died} of ${steps.length} starts`);
      const count = Math.max(...acked.values()) + 1;
      for (const teller of [writer, reader]) {
        const order = await readOrder(teller, count);
        for (const [text, index] of acked) assert.equal(order[index], text);
        assert.equal(new Set(order).size, order.length, "nothing stands in the order twice");
      }
    });
  }

  test("the client's export: never half a file under its name, and in the end the whole tree", async () => {
    const source = join(net.directory, "source");
    await mkdir(source);
    const large = Buffer.alloc(700_000, "large ");
    for (let i = 0; i < 12; i++) await writeFile(join(source, `f${i}`), `content ${i}\n`);
    await writeFile(join(source, "large"), large);
    await net.must("publish", source, "tree");
    const target = join(net.directory, "target");
    let died = 0;
    for (const step of [1, 2, 3, 4, 6, 9, 14, 20, 29]) {
      const mode = modes[step % modes.length] ?? "before";
      const [env = "", ...vars] = dyingAt(step, mode);
      const args = [
        ...vars,
        `SMALTI_HOME=${net.directory}`,
        `SMALTI_STATE=${join(net.directory, "state")}`,
        process.execPath,
        main,
        "get",
        "tree",
        target,
      ];
      const hasEnded = await new Promise<boolean>((resolve) => {
        execFile(env, args, (error) => resolve(error === null));
      });
      if (hasEnded) break;
      died++;
      for (const name of await readdir(target).catch(() => []))
        if (/^(f\d+|large)$/.test(name))
          assert.deepEqual(await readFile(join(target, name)), await readFile(join(source, name)));
    }
    assert.ok(died > 4, `died ${died} times`);
    await net.must("get", "tree", target);
    assert.deepEqual((await readdir(target)).sort(), (await readdir(source)).sort());
  });

  test("no round was signed twice, by the log", async () => {
    await Promise.all([...net.hosts.values()].map((host) => host.end()));
    const { blocks, twins } = await signedBlocks(net);
    assert.ok(blocks > 10);
    assert.deepEqual(twins, []);
  });
});
