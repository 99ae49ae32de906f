import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { freePorts } from "../src/app/setup/index.ts";

const run = promisify(execFile);

export async function has(command: string, flag = "--version"): Promise<boolean> {
  return run(command, [flag]).then(
    () => true,
    () => false,
  );
}

/** Three rsync daemons on loopback, each with a module of its own; copies go to all three at once. */
export class RsyncMirrors {
  readonly #root: string;
  readonly #ports: number[] = [];
  readonly #children: ReturnType<typeof spawn>[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  async start(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      const [port = 0] = await freePorts(1);
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
        `uid = ${process.getuid?.() ?? 0}`,
        `gid = ${process.getgid?.() ?? 0}`,
      ];
      await writeFile(config, `${lines.join("\n")}\n`);
      const args = ["--daemon", "--no-detach", `--config=${config}`];
      this.#children.push(spawn("rsync", args, { stdio: "ignore" }));
      this.#ports.push(port);
    }
    await sleep(500);
  }

  /** Returns the bytes that went over the wire, for one mirror on the average. */
  async copy(source: string): Promise<number> {
    const outputs = await Promise.all(
      this.#ports.map((port) =>
        run("rsync", ["-a", "--delete", "--stats", `${source}/`, `rsync://127.0.0.1:${port}/m/`]),
      ),
    );
    const sent = outputs.map(({ stdout }) =>
      Number(/Total bytes sent: ([\d,.]+)/.exec(stdout)?.[1]?.replace(/[,.]/g, "") ?? 0),
    );
    return sent.reduce((sum, bytes) => sum + bytes, 0) / sent.length;
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  }
}
