import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { startNet, until } from "../test/support/net.ts";

const run = promisify(execFile);

/** Seconds of the same task by smalti and by rsync daemons. */
export interface PublishRow {
  readonly task: string;
  readonly smaltiS: number;
  /** Until all hosts serve it, not only until it is published. */
  readonly everywhereS: number;
  readonly rsyncS: number | undefined;
  readonly workHash: string;
}

/** `count` files of about `bytes` each, in directories of 100. */
async function makeTree(directory: string, count: number, bytes: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const parent = join(directory, `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) await mkdir(parent, { recursive: true });
    await writeFile(join(parent, `f${i}`), randomBytes(bytes));
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const at = performance.now();
  await work();
  return (performance.now() - at) / 1000;
}

/** Three rsync daemons on loopback, each with a module of its own; copies go to all three one after the other. */
class RsyncMirrors {
  readonly #root: string;
  readonly #ports: number[] = [];
  readonly #children: ReturnType<typeof spawn>[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  async start(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      const port = await freePort();
      const target = join(this.#root, `mirror${i}`);
      await mkdir(target, { recursive: true });
      const config = join(this.#root, `rsyncd${i}.conf`);
      const lines = [
        `port = ${port}`,
        "address = 127.0.0.1",
        "use chroot = no",
        "[m]",
        `path = ${target}`,
        "read only = no",
      ];
      await writeFile(
        config,
        `${lines.join("\n")}\nuid = ${process.getuid?.() ?? 0}\ngid = ${process.getgid?.() ?? 0}\n`,
      );
      this.#children.push(
        spawn("rsync", ["--daemon", "--no-detach", `--config=${config}`], { stdio: "ignore" }),
      );
      this.#ports.push(port);
    }
    await sleep(500);
  }

  async copy(source: string): Promise<void> {
    await Promise.all(
      this.#ports.map((port) =>
        run("rsync", ["-a", "--delete", `${source}/`, `rsync://127.0.0.1:${port}/m/`]),
      ),
    );
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function hasRsync(): Promise<boolean> {
  return run("rsync", ["--version"]).then(
    () => true,
    () => false,
  );
}

/** First publish, nothing changed, 1 % changed: four writers against three rsync daemons, interleaved in one run. */
export async function benchPublish(options: {
  readonly files: number;
  readonly bytes: number;
}): Promise<PublishRow[]> {
  const work = await mkdtemp(join(tmpdir(), "smalti-bench-"));
  const source = join(work, "source");
  await makeTree(source, options.files, options.bytes);
  const net = await startNet({ writers: 4, readers: 0, logLevel: "silent" });
  const mirrors = (await hasRsync()) ? new RsyncMirrors(work) : undefined;
  await mirrors?.start();
  let height = 0;
  const publish = async (task: string, expectsHeight: boolean): Promise<PublishRow> => {
    if (expectsHeight) height++;
    const at = performance.now();
    const smaltiS = await timed(
      async () => void (await net.must("publish", source, "bench", "--delete")),
    );
    await until(
      async () =>
        (await Promise.all(net.writers.map((w) => w.status()))).every((s) => s.height >= height),
      120_000,
      "all hosts have it",
    );
    const everywhereS = (performance.now() - at) / 1000;
    const rsyncS = mirrors === undefined ? undefined : await timed(() => mirrors.copy(source));
    const states = await Promise.all(net.writers.map((w) => w.status()));
    const workHash = createHash("sha256")
      .update(states.map((s) => s.stateDigest).join())
      .digest("hex")
      .slice(0, 16);
    return { task, smaltiS, everywhereS, rsyncS, workHash };
  };
  try {
    const rows = [await publish(`first, ${options.files} files of ${options.bytes} B`, true)];
    rows.push(await publish("nothing changed", false));
    await changeSome(source);
    rows.push(await publish("1 % changed", true));
    return rows;
  } finally {
    await mirrors?.stop();
    await net.stop();
    await rm(work, { recursive: true, force: true });
  }
}

async function changeSome(source: string): Promise<void> {
  for (const parent of await readdir(source)) {
    const [first = ""] = await readdir(join(source, parent));
    const path = join(source, parent, first);
    await writeFile(path, Buffer.concat([await readFile(path), Buffer.from("changed")]));
  }
}
