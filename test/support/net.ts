import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { HostStatus } from "../../src/app/gateway/index.ts";
import {
  createTestnet,
  type Testnet,
  type TestnetHost,
  type TestnetOptions,
} from "../../src/app/setup/index.ts";
import { endsWithUs } from "./children.ts";
import { main } from "./cli.ts";

/** Every client of a test begins without a memory, unless it is told where it is with `--state`. */
const clientState = mkdtempSync(join(tmpdir(), "smalti-state-"));
let clients = 0;
process.once("exit", () => rmSync(clientState, { recursive: true, force: true }));

/** What a run of the command line gave. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `smalti …` to its end. */
export function smalti(
  args: readonly string[],
  options: { readonly home?: string; readonly cwd?: string } = {},
): Promise<Ran> {
  const env = {
    ...process.env,
    NO_COLOR: "1",
    SMALTI_STATE: join(clientState, String(clients++)),
    ...(options.home === undefined ? {} : { SMALTI_HOME: options.home }),
  };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args],
      { env, cwd: options.cwd, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** One host as a process of its own. */
export class HostProcess {
  readonly host: TestnetHost;
  #child: ChildProcess | undefined;
  log = "";

  constructor(host: TestnetHost) {
    this.host = host;
  }

  get http(): string {
    return this.host.http;
  }

  get isRunning(): boolean {
    return (
      this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
    );
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  spawn(wrap: readonly string[] = []): void {
    const [command = process.execPath, ...rest] = [
      ...wrap,
      process.execPath,
      main,
      "start",
      "--home",
      this.host.home,
    ];
    const child = endsWithUs(spawn(command, rest, { stdio: ["ignore", "ignore", "pipe"] }));
    child.stderr?.on("data", (text: Buffer) => {
      this.log = (this.log + text.toString()).slice(-200_000);
    });
    this.#child = child;
  }

  /** Starts the process and waits until it answers. */
  async start(wrap: readonly string[] = []): Promise<void> {
    this.spawn(wrap);
    await until(
      async () => (await this.tryStatus()) !== undefined || !this.isRunning,
      20_000,
      `${this.host.name} answers`,
    );
    if (!this.isRunning) throw new Error(`${this.host.name} ended:\n${this.log}`);
  }

  /** Ends the process by its id and waits for it; resolves with the exit code, or −1 after a signal. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    const child = this.#child;
    if (child === undefined) return 0;
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return this.exited();
  }

  exited(): Promise<number> {
    const child = this.#child;
    if (child === undefined) return Promise.resolve(0);
    if (child.exitCode !== null) return Promise.resolve(child.exitCode);
    if (child.signalCode !== null) return Promise.resolve(-1);
    child.ref();
    return new Promise((resolve) => child.once("exit", (code) => resolve(code ?? -1)));
  }

  async tryStatus(at = this.http): Promise<HostStatus | undefined> {
    try {
      const response = await fetch(`${at}/.smalti/status.json`, {
        signal: AbortSignal.timeout(3000),
      });
      return response.ok ? ((await response.json()) as HostStatus) : undefined;
    } catch {
      return undefined;
    }
  }

  async status(): Promise<HostStatus> {
    const status = await this.tryStatus();
    if (status === undefined)
      throw new Error(`${this.host.name} does not answer:\n${this.log.slice(-2000)}`);
    return status;
  }

  /** A sample of a metric, by its full name and labels as they are printed. */
  async metric(line: string): Promise<number> {
    const text = await (await fetch(`${this.host.admin}/metrics`)).text();
    const found = text.split("\n").find((row) => row.startsWith(`${line} `));
    return found === undefined ? 0 : Number(found.slice(line.length + 1));
  }
}

/** A network of real processes on loopback, in a directory of its own. */
export class Net {
  readonly testnet: Testnet;
  readonly directory: string;
  readonly hosts: ReadonlyMap<string, HostProcess>;

  constructor(testnet: Testnet, directory: string) {
    this.testnet = testnet;
    this.directory = directory;
    this.hosts = new Map(testnet.hosts.map((host) => [host.name, new HostProcess(host)]));
  }

  host(name: string): HostProcess {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  get writers(): HostProcess[] {
    return [...this.hosts.values()].filter(({ host }) => host.role === "writer");
  }

  get readers(): HostProcess[] {
    return [...this.hosts.values()].filter(({ host }) => host.role === "reader");
  }

  run(...args: string[]): Promise<Ran> {
    return smalti(args, { home: this.directory });
  }

  /** Runs a verb that must succeed. */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0)
      throw new Error(`smalti ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Waits until all running hosts serve the same state, at `height` or beyond. */
  async agree(height: number, waitMs = 20_000): Promise<HostStatus[]> {
    let last: HostStatus[] = [];
    const isSame = async (): Promise<boolean> => {
      const running = [...this.hosts.values()].filter((host) => host.isRunning);
      last = await Promise.all(running.map((host) => host.status()));
      return last.every(
        (s) =>
          s.height >= height &&
          s.height === last[0]?.height &&
          s.stateDigest === last[0]?.stateDigest,
      );
    };
    await until(isSame, waitMs, `all hosts agree at height ${height}`).catch((error: unknown) => {
      const told = last.map((s) => [
        s.moniker,
        s.height,
        s.stateDigest.slice(0, 8),
        s.commit,
        s.note,
      ]);
      const logs = [...this.hosts.values()].map(
        ({ host, log }) => `\n${host.name}: ${log.split("\n").slice(-6).join("\n  ")}`,
      );
      throw new Error(`${String(error)}: ${JSON.stringify(told)}${logs.join("")}`);
    });
    return last;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.hosts.values()].map((host) => host.end("SIGKILL")));
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Makes a network and starts all its hosts. */
export async function startNet(options: Omit<TestnetOptions, "directory">): Promise<Net> {
  const directory = await mkdtemp(join(tmpdir(), "smalti-net-"));
  const testnet = await createTestnet({ logLevel: "info", ...options, directory });
  const net = new Net(testnet, directory);
  try {
    await Promise.all([...net.hosts.values()].map((host) => host.start()));
  } catch (error) {
    await net.stop();
    throw error;
  }
  return net;
}

/** Polls until `isTrue`, or throws after `waitMs`. */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  waitMs: number,
  what: string,
): Promise<void> {
  const deadline = Date.now() + waitMs;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`waited ${waitMs} ms in vain until ${what}`);
    await sleep(50);
  }
}
