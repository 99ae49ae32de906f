import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Net, startNet, until } from "../support/net.ts";
import { publishText } from "../support/publishing.ts";

/** A verb goes on to the next writer after a second of silence; some ask more than one thing. */
const boundMs = 10_000;

describe("every verb, while the first writer is dead or hangs", () => {
  let net: Net;
  const at = (...names: string[]): string => join(net.directory, ...names);

  before(async () => {
    net = await startNet({ writers: 4, readers: 0, logLevel: "warn" });
    await net.agree(await publishText(net, { tree: "t", name: "x", text: "1" }));
    await net.agree(await publishText(net, { tree: "t", name: "y", text: "2" }));
    await net.must("log", "append", "first");
    await mkdir(at("more"));
    await writeFile(at("more", "x"), "1");
  });
  after(() => net?.stop());

  const key = "ab".repeat(32);
  const verbs: readonly (readonly [args: readonly string[], code?: number])[] = [
    [["ls"]],
    [["ls", "t"]],
    [["cat", "t/x"]],
    [["get", "t", "COPY"]],
    [["verify", "COPY", "t"]],
    [["log"]],
    [["log", "t"]],
    [["diff", "t", "1", "2"]],
    [["publisher", "ls"]],
    [["publisher", "grant", key, "some"]],
    [["publish", "MORE", "u"]],
    [["log", "append", "again"]],
    [["log", "tail", "--count", "1"]],
    [["proof", "make", "t/x", "--out", "PROOF"]],
    [["snapshot", "create", "NAME"]],
    [["snapshot", "ls"]],
    [["opinion", "ls"]],
    [["opinion", "explain", "w1"]],
    [["evidence", "ls"]],
    [["status"], 7],
  ];

  async function runAll(round: string): Promise<void> {
    await writeFile(at("more", round), round);
    await rm(at("copy"), { recursive: true, force: true });
    const places: Readonly<Record<string, string>> = {
      COPY: at("copy"),
      MORE: at("more"),
      PROOF: at(`proof-${round}`),
      NAME: `name-${round}`,
    };
    const failures: string[] = [];
    for (const [args, wanted = 0] of verbs) {
      const startedMs = performance.now();
      const { code, stderr } = await net.run(...args.map((one) => places[one] ?? one));
      const tookMs = performance.now() - startedMs;
      if (code !== wanted)
        failures.push(`${args.join(" ")}: exit ${code}: ${stderr.slice(0, 300)}`);
      if (tookMs > boundMs) failures.push(`${args.join(" ")}: ${Math.round(tookMs)} ms`);
    }
    assert.deepEqual(failures, []);
  }

  test("killed", async () => {
    const first = net.host("w0");
    await first.end("SIGKILL");
    await runAll("killed");
    await first.start();
    await until(async () => (await first.tryStatus()) !== undefined, 20_000, "it is back");
  });

  test("hung", async () => {
    const { pid } = net.host("w0");
    assert.ok(pid !== undefined);
    process.kill(pid, "SIGSTOP");
    try {
      await runAll("hung");
    } finally {
      process.kill(pid, "SIGCONT");
    }
  });
});
