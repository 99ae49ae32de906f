import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import pc from "picocolors";
import {
  askJson,
  type Lie,
  MirrorClient,
  type Published,
  planPublish,
  publishChanges,
  scanDirectory,
  type Trust,
} from "../app/client/index.ts";
import { loadGenesis } from "../app/config/index.ts";
import type { HostStatus } from "../app/gateway/index.ts";
import { createTestnet, type Testnet, type TestnetHost } from "../app/setup/index.ts";
import { CodedError, limits } from "../core/base/index.ts";
import { Ed25519Verifier } from "../core/crypto/index.ts";
import { loadKeyFile } from "../io/files/index.ts";
import { bytesText, progressBar, say, sayTable } from "./output.ts";

const main = fileURLToPath(new URL("../../smalti/main.js", import.meta.url));
const docs = fileURLToPath(new URL("../../../docs", import.meta.url));
const tree = "docs";
const patienceMs = 20_000;

/** The whole story on one machine, told to a person; ends with an error if any of it is not so. */
class Demo {
  readonly #net: Testnet;
  readonly #trust: Trust;
  readonly #children = new Map<string, ChildProcess>();
  readonly #startedAt = performance.now();

  constructor(net: Testnet, trust: Trust) {
    this.#net = net;
    this.#trust = trust;
  }

  step(text: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1).padStart(5);
    say(`\n${pc.dim(`${seconds} s`)}  ${pc.bold(text)}`);
  }

  fact(text: string): void {
    say(`         ${pc.green("✓")} ${text}`);
  }

  host(name: string): TestnetHost {
    const host = this.#net.hosts.find((known) => known.name === name);
    if (host === undefined) throw new CodedError("DEMO_FAILED", `no host ${name}`);
    return host;
  }

  start(name: string): void {
    const log = ["ignore", "ignore", "inherit"] as const;
    const child = spawn(process.execPath, [main, "start", "--home", this.host(name).home], {
      stdio: [...log],
    });
    this.#children.set(name, child);
  }

  async status(name: string): Promise<HostStatus | undefined> {
    return askJson<HostStatus>(`${this.host(name).http}/.smalti/status.json`, {
      patienceMs: 2000,
    }).catch(() => undefined);
  }

  async startAll(): Promise<void> {
    const bar = progressBar("starting");
    for (const { name } of this.#net.hosts) this.start(name);
    const total = this.#net.hosts.length;
    await this.until("all hosts answer", async () => {
      const up = await Promise.all(this.#net.hosts.map(({ name }) => this.status(name)));
      bar.update(up.filter((status) => status !== undefined).length, total);
      return up.every((status) => status !== undefined);
    });
    bar.stop();
    await this.until("the writers have links", async () => {
      const writers = this.#net.hosts.filter((host) => host.role === "writer");
      const up = await Promise.all(writers.map(({ name }) => this.status(name)));
      return up.every((status) => status?.peers.length === writers.length - 1);
    });
  }

  async until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + patienceMs;
    while (!(await isTrue())) {
      if (Date.now() > deadline)
        throw new CodedError("DEMO_FAILED", `waited ${patienceMs / 1000} s in vain until ${what}`);
      await sleep(50);
    }
  }

  client(servers: readonly string[], onLie: (lie: Lie) => void = () => undefined): MirrorClient {
    return new MirrorClient({ trust: this.#trust, servers, onLie });
  }

  async publish(directory: string, writer: string): Promise<Published> {
    const local = await scanDirectory(directory);
    const client = this.client([this.host(writer).http]);
    const head = await client.newestHead().catch(() => undefined);
    const differences = await client.differences(head, tree, local);
    const baseHeight = head?.height ?? 0;
    const plan = planPublish({ tree, baseHeight, differences, delete: true });
    const { signer } = await loadKeyFile(this.#net.publisherKey, "publisher");
    const bar = progressBar("upload");
    const published = await publishChanges({
      trust: this.#trust,
      writers: [this.host(writer).http],
      signer,
      plan,
      local,
      onProgress: ({ doneBytes, totalBytes }) => bar.update(doneBytes, Math.max(1, totalBytes)),
    }).finally(() => bar.stop());
    const { added, changed, deleted } = plan;
    const counts = `${added.length} added, ${changed.length} changed, ${deleted.length} deleted`;
    this.fact(
      `through ${writer}: ${counts}; ${bytesText(published.uploadedBytes)} sent; height ${published.verified.height}`,
    );
    return published;
  }

  /** Waits until every running host names one height and root, and shows them. */
  async agree(height: number): Promise<void> {
    let rows: (HostStatus | undefined)[] = [];
    await this.until(`all hosts serve height ${height}`, async () => {
      rows = await Promise.all([...this.#children.keys()].map((name) => this.status(name)));
      const [first] = rows;
      return rows.every(
        (s) =>
          s !== undefined &&
          s.height >= height &&
          s.height === first?.height &&
          s.stateDigest === first.stateDigest,
      );
    });
    const known = rows
      .flatMap((status) => status ?? [])
      .sort((a, b) => b.role.localeCompare(a.role) || a.moniker.localeCompare(b.moniker));
    sayTable(
      ["         host", "role", "height", "root of all trees"],
      known.map((s) => [
        `         ${s.moniker}`,
        s.role,
        String(s.height),
        s.stateDigest.slice(0, 32),
      ]),
    );
  }

  kill(name: string): Promise<void> {
    const child = this.#children.get(name);
    this.#children.delete(name);
    return new Promise((done) => {
      child?.once("exit", () => done());
      child?.kill("SIGKILL");
    });
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#children.keys()].map((name) => this.kill(name)));
  }

  get seconds(): string {
    return ((performance.now() - this.#startedAt) / 1000).toFixed(1);
  }
}

async function editedCopy(source: string, work: string): Promise<string> {
  const copy = join(work, "tree");
  await cp(source, copy, { recursive: true });
  return copy;
}

/** Publishes small updates until told to stop; returns how many went through and the longest one took. */
async function publishing(
  demo: Demo,
  directory: string,
  isOver: () => boolean,
): Promise<{ count: number; slowestMs: number }> {
  let count = 0;
  let slowestMs = 0;
  while (!isOver() || count < 3) {
    await writeFile(join(directory, "counter.txt"), `update ${count}\n`);
    const at = performance.now();
    await demo.publish(directory, count % 2 === 0 ? "w0" : "w1");
    slowestMs = Math.max(slowestMs, performance.now() - at);
    count++;
  }
  return { count, slowestMs };
}

async function showCrash(demo: Demo, directory: string): Promise<void> {
  demo.step("One writer is killed (SIGKILL) while updates flow");
  let isOver = false;
  const flow = publishing(demo, directory, () => isOver);
  await sleep(300);
  await demo.kill("w3");
  demo.fact("w3 is dead");
  await sleep(1500);
  isOver = true;
  const { count, slowestMs } = await flow;
  demo.fact(
    `${count} updates were published meanwhile; the slowest took ${Math.round(slowestMs)} ms: nothing stops`,
  );
  demo.step("It comes back and catches up");
  demo.start("w3");
  const goal = (await demo.status("w0"))?.height ?? 0;
  await demo.until(
    "w3 has caught up",
    async () => ((await demo.status("w3"))?.height ?? -1) >= goal,
  );
  await demo.until("w3 signs again", async () => (await demo.status("w3"))?.isSigning === true);
  demo.fact(`w3 serves height ${goal} again and takes part`);
  await demo.agree(goal);
}

async function showLiar(demo: Demo): Promise<void> {
  demo.step("A reader that lies: r1 flips a bit in everything it serves");
  const lies: Lie[] = [];
  const [liar, honest] = [demo.host("r1").http, demo.host("r0").http];
  const client = demo.client([liar, honest], (lie) => lies.push(lie));
  const head = await client.head();
  const leaves = await client.leaves(head, tree);
  const [path, leaf] =
    [...leaves].find(
      ([, l]) => l.kind === "file" && l.size > 0 && l.size <= limits.packedBlobBytesMax,
    ) ?? [];
  if (path === undefined || leaf?.kind !== "file")
    throw new CodedError("DEMO_FAILED", "the tree has no small file to try this with");
  const url = `/@${head.height}/${tree}/${path.split("/").map(encodeURIComponent).join("/")}`;
  const bytes = await client.small(leaf.digest, url);
  const [lie] = lies;
  if (lie?.server !== liar)
    throw new CodedError("DEMO_FAILED", "the client did not notice the lie");
  demo.fact(`the client refused ${pc.red(`r1 (${lie.server})`)}: ${lie.detail}`);
  demo.fact(
    `and has the right ${bytes.length} bytes of ${path} from ${pc.green(`r0 (${honest})`)}`,
  );
}

async function run(source: string, keep: boolean): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "smalti-demo-"));
  const net = await createTestnet({
    directory: join(work, "net"),
    writers: 4,
    readers: 2,
    liars: new Map([["r1", "corrupt"]]),
    logLevel: "silent",
  });
  const trust: Trust = {
    network: await loadGenesis(net.genesisFile),
    verifier: new Ed25519Verifier(),
  };
  const demo = new Demo(net, trust);
  try {
    demo.step(
      "Four writers (one may be a traitor) and two readers start, each a process of its own",
    );
    await demo.startAll();
    demo.fact(
      `6 hosts, network ${trust.network.group.slice(0, 16)}…, TLS links between the writers`,
    );
    demo.step(`A publisher signs and publishes ${source}`);
    const directory = await editedCopy(source, work);
    const first = await demo.publish(directory, "w0");
    const signers = first.verified.signers.map((name) => name.split("/").at(-1)).join(", ");
    demo.fact(
      `receipt verified offline: cosigned by ${signers} (${trust.network.quorum} of 4 are needed)`,
    );
    await demo.agree(first.verified.height);
    demo.step("An update goes through another writer; only what changed moves");
    await writeFile(join(directory, "NEWS.txt"), `changed at ${new Date().toISOString()}\n`);
    const second = await demo.publish(directory, "w2");
    await demo.agree(second.verified.height);
    await showCrash(demo, directory);
    await showLiar(demo);
    demo.step(pc.green(`All of it was so. ${demo.seconds} s`));
    if (!keep) return;
    say("\nThe network keeps running (Ctrl-C ends it):");
    sayTable(
      ["host", "role", "browse"],
      net.hosts.map((host) => [host.name, host.role, `${host.http}/${tree}/`]),
    );
    say(`\nTry:  node ${main} status --home ${net.directory}`);
    await new Promise((done) => process.once("SIGINT", done));
  } finally {
    await demo.stopAll();
    await rm(work, { recursive: true, force: true });
  }
}

const command = new Command("demo")
  .argument("[dir]", "the directory to publish", docs)
  .option("--keep", "leave the network running and print the URLs")
  .action((dir: string, options: { keep?: boolean }) => run(resolve(dir), options.keep === true));

try {
  await command.parseAsync();
} catch (error) {
  say(pc.red(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`));
  process.exitCode = 1;
}
