import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { LightStatus } from "../../src/app/light/index.ts";
import { endsWithUs } from "./children.ts";
import { main } from "./cli.ts";
import type { Net } from "./net.ts";

/** `smalti light` as a process of its own. */
export class LightProcess {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** Starts it before `servers`; what it remembers is in `state`. Rejects with what it said if it does not start. */
  static async start(
    net: Net,
    servers: readonly string[],
    options: { readonly state?: string; readonly args?: readonly string[] } = {},
  ): Promise<LightProcess> {
    const { state = join(net.directory, "light"), args = [] } = options;
    const genesis = join(net.host("w0").host.home, "config", "genesis.json");
    const flags = ["--genesis", genesis, "--listen", "127.0.0.1:0", "--state", state, "-o", "json"];
    const child = endsWithUs(
      spawn(process.execPath, [main, "light", ...flags, ...args, "--from", ...servers], {
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    let said = "";
    child.stderr?.on("data", (piece: Buffer) => {
      said += piece.toString();
    });
    const ended = once(child, "exit").then(([code]) => {
      throw Object.assign(new Error(`light ended with ${code}: ${said}`), { exitCode: code });
    });
    const ready = (async (): Promise<string> => {
      for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
        const event = JSON.parse(line) as { event: string; url?: string };
        if (event.event === "ready") return event.url ?? "";
      }
      return ended;
    })();
    ended.catch(() => undefined);
    child.ref();
    const url = await Promise.race([ready, ended]);
    child.unref();
    child.stdout?.resume();
    return new LightProcess(child, url);
  }

  async status(): Promise<LightStatus> {
    return (await (await fetch(`${this.url}/.smalti/light.json`)).json()) as LightStatus;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.ref();
    this.#child.kill("SIGTERM");
    await once(this.#child, "exit");
  }
}
