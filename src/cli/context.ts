import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import {
  ForkError,
  type Lie,
  MarkFile,
  type MarkStore,
  MirrorClient,
  type Trust,
} from "../app/client/index.ts";
import { loadGenesis } from "../app/config/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { Ed25519Verifier } from "../core/crypto/index.ts";
import { isTreeName } from "../core/mirror/index.ts";
import { type KeyRole, type LoadedKey, loadKeyFile } from "../io/files/index.ts";
import { type Format, note } from "./output.ts";

/** Options that several verbs share. */
export interface CommonOptions {
  readonly home?: string;
  readonly genesis?: string;
  readonly from?: readonly string[];
  readonly key?: string;
  readonly output?: Format;
  readonly state?: string;
  /** Seconds; only of verbs that care. */
  readonly maxAge?: number;
}

export function homeDirectory(options: CommonOptions): string {
  return options.home ?? process.env["SMALTI_HOME"] ?? join(homedir(), ".smalti");
}

export function withHome(command: Command): Command {
  return command.option("--home <dir>", "home directory (or SMALTI_HOME)");
}

export function withOutput(command: Command): Command {
  return command.option("-o, --output <format>", "table or json", parseFormat, "table");
}

function parseFormat(text: string): Format {
  if (text !== "table" && text !== "json")
    throw new ConfigError("USAGE", `-o takes table or json, not ${text}`);
  return text;
}

export function withTrust(command: Command): Command {
  return withHome(command)
    .option("--genesis <file>", "the network's genesis (or SMALTI_GENESIS)")
    .option(
      "--from <url...>",
      "servers to ask; none of them is trusted (default: the writers of the genesis)",
      addServer,
    )
    .option("--state <dir>", "where the newest height ever seen is kept (or SMALTI_STATE)");
}

/** An address of `--from`, which takes all words up to the next flag; without a scheme it is one of HTTP. */
function addServer(text: string, before: readonly string[] | undefined): readonly string[] {
  const address = /^([\w.-]+|\[[0-9a-f:]+\]):\d{1,5}(\/.*)?$/i.test(text) ? `http://${text}` : text;
  if (!/^https?:\/\/./.test(address) || !URL.canParse(address))
    throw new ConfigError(
      "USAGE",
      `--from takes addresses like http://mirror.example:8080, and takes all words up to the next flag; not ${JSON.stringify(text)}: put other words before it`,
    );
  return [...(before ?? []), address];
}

/** Before anything is read or asked. Throws USAGE. */
export function checkTree(tree: string): void {
  if (!isTreeName(tree))
    throw new ConfigError(
      "USAGE",
      `${JSON.stringify(tree)} cannot be a tree's name: letters, digits, dots, dashes, underscores and plus signs, the first a letter or digit, 64 at most`,
    );
}

/** `90`, `90s`, `15m`, `24h`, `7d`; `none` for no bound. */
export function secondsFlag(text: string): number {
  if (text === "none") return Number.POSITIVE_INFINITY;
  const [, count, unit = "s"] = /^(\d{1,9})([smhd])?$/.exec(text) ?? [];
  if (count === undefined)
    throw new ConfigError("USAGE", `a time is written like 90s, 15m, 24h, 7d or none, not ${text}`);
  return Number(count) * { s: 1, m: 60, h: 3600, d: 86_400 }[unit as "s" | "m" | "h" | "d"];
}

/** Keeps the proofs that an error carries; returns where. */
export async function keepEvidence(error: unknown): Promise<readonly string[]> {
  if (!(error instanceof ForkError)) return [];
  const files: string[] = [];
  for (const [i, wire] of error.evidence.entries()) {
    const file = resolve(`fork-${Date.now()}-${i}.evidence`);
    await writeFile(file, wire);
    files.push(file);
  }
  return files;
}

/** Where clients keep what they have seen. */
export function stateDirectory(options: CommonOptions): string {
  const base = process.env["XDG_STATE_HOME"] || join(homedir(), ".local", "state");
  return options.state ?? process.env["SMALTI_STATE"] ?? join(base, "smalti");
}

function firstExisting(candidates: readonly (string | undefined)[]): string | undefined {
  return candidates.find((path) => path !== undefined && existsSync(path));
}

/** Where the genesis is that everything is verified against. */
export function genesisPath(options: CommonOptions): string {
  const home = homeDirectory(options);
  const candidates = [join(home, "config", "genesis.json"), join(home, "genesis.json")];
  return (
    options.genesis ??
    process.env["SMALTI_GENESIS"] ??
    firstExisting(candidates) ??
    candidates[0] ??
    ""
  );
}

/** The genesis that everything is verified against. */
export async function trustOf(options: CommonOptions): Promise<Trust> {
  return { network: await loadGenesis(genesisPath(options)), verifier: new Ed25519Verifier() };
}

export function serversOf(options: CommonOptions, trust: Trust): readonly string[] {
  const servers = options.from ?? trust.network.writers.map((writer) => writer.http);
  return servers.map((server) => server.replace(/\/+$/, ""));
}

/** Where nothing can be kept, reading goes on without it, and says so. */
function lenient(file: MarkFile): MarkStore {
  const warned = (what: string) => (error: NodeJS.ErrnoException) => {
    // Damage is no such thing: to forget what was seen would allow a rollback.
    if (error.syscall === undefined) throw error;
    note(
      `smalti: ${what} ${file.path} (${String(error.code)}): a mirror could show an older state than before, unnoticed; --state names another directory`,
    );
    return undefined;
  };
  return {
    read: () => file.read().catch(warned("cannot read what this client has seen,")),
    write: (mark) => file.write(mark).catch(warned("cannot keep what this client has seen in")),
  };
}

/** A client that tells on standard error which server it refused. */
export async function clientOf(
  options: CommonOptions,
): Promise<{ readonly trust: Trust; readonly client: MirrorClient }> {
  const trust = await trustOf(options);
  const onLie = ({ server, detail }: Lie): void => note(`smalti: refused ${server}: ${detail}`);
  const marks = lenient(new MarkFile(stateDirectory(options), trust.network.group));
  const { maxAge: maxAgeS = Number.POSITIVE_INFINITY } = options;
  const servers = serversOf(options, trust);
  const client = new MirrorClient({
    trust,
    servers,
    onLie,
    marks,
    maxAgeS,
  });
  return { trust, client };
}

export async function keyOf(options: CommonOptions, role: KeyRole): Promise<LoadedKey> {
  const home = homeDirectory(options);
  const candidates = [
    join(home, "config", "keys", `${role}.json`),
    join(home, "keys", `${role}.json`),
  ];
  return loadKeyFile(options.key ?? firstExisting(candidates) ?? candidates[0] ?? "", role);
}
