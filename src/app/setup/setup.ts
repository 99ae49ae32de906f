import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { PublicKey } from "../../core/base/index.ts";
import { type Genesis, type GenesisWriter, networkOf } from "../../core/committee/index.ts";
import { faultsTolerated } from "../../core/consensus/index.ts";
import { dagOf, type RuleName } from "../../core/dag/index.ts";
import { createGuard, createKeyFile, replaceFile } from "../../io/files/index.ts";
import { type ConfigInput, formatConfig, homeOf, type LieKind } from "../config/index.ts";
import { algorithms, ConfigError, formatGenesis } from "../genesis/index.ts";
import { freePorts } from "./ports.ts";

/** The public half of a new home: what others must know of it. */
export interface HomeIdentity {
  readonly nodeKey: PublicKey;
  readonly blockKey: PublicKey | undefined;
  readonly cosignKey: PublicKey | undefined;
}

/**
 * Makes a home: keys, guard, config. Keys and guard are made together, so the guard vouches that the keys have signed
 * nothing. Throws KEY_EXISTS where there is a home already.
 */
export async function createHome(directory: string, config: ConfigInput): Promise<HomeIdentity> {
  const home = homeOf(directory);
  const node = await createKeyFile(join(home.keysDirectory, "node.json"), "node");
  let blockKey: PublicKey | undefined;
  let cosignKey: PublicKey | undefined;
  if (config.role === "writer") {
    blockKey = (await createKeyFile(join(home.keysDirectory, "block.json"), "block")).publicKey;
    cosignKey = (await createKeyFile(join(home.keysDirectory, "cosign.json"), "cosign")).publicKey;
    await mkdir(home.dataDirectory, { recursive: true, mode: 0o700 });
    await createGuard(join(home.dataDirectory, "guard"));
  }
  await replaceFile(home.configFile, formatConfig(config), 0o644);
  return { nodeKey: node.publicKey, blockKey, cosignKey };
}

/** How a host of a test network lies. */
export type Lie = Exclude<LieKind, "no">;

/** What a network on this machine shall be like. */
export interface TestnetOptions {
  readonly directory: string;
  readonly writers: number;
  readonly readers: number;
  /** First port; three a writer, two a reader. Absent: any free ones. */
  readonly firstPort?: number;
  readonly rule?: RuleName;
  /** Byzantine writers tolerated; by default as many as n allows under THREE. */
  readonly faults?: number;
  /** Hosts, by name, that lie, and how. */
  readonly liars?: ReadonlyMap<string, Lie>;
  readonly logLevel?: "debug" | "info" | "warn" | "error" | "silent";
}

/** One host of it, and where it listens. */
export interface TestnetHost {
  readonly name: string;
  readonly role: "writer" | "reader";
  readonly home: string;
  readonly http: string;
  readonly admin: string;
}

/** A network that was made on this machine. */
export interface Testnet {
  readonly directory: string;
  readonly genesisFile: string;
  readonly publisherKey: string;
  readonly administratorKey: string;
  readonly hosts: readonly TestnetHost[];
}

/** A whole network on loopback: homes, genesis, a publisher who may write every tree, an administrator. */
export async function createTestnet(options: TestnetOptions): Promise<Testnet> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if ((await readdir(directory)).length > 0) {
    throw new ConfigError(
      "NOT_EMPTY",
      `${directory} is not empty; choose another directory for the testnet`,
    );
  }
  checkLiars(options);
  const ports = await portsFor(options);
  const publisher = await createKeyFile(join(directory, "keys", "publisher.json"), "publisher");
  const administrator = await createKeyFile(
    join(directory, "keys", "administrator.json"),
    "administrator",
  );
  const hosts: TestnetHost[] = [];
  const writers: GenesisWriter[] = [];
  for (let i = 0; i < options.writers; i++) {
    const [net = 0, http = 0, admin = 0] = ports.splice(0, 3);
    const name = `w${i}`;
    const home = join(directory, name);
    const identity = await createHome(
      home,
      configOf({ name, role: "writer", net, http, admin }, options),
    );
    hosts.push({ name, role: "writer", home, http: loopback(http), admin: loopback(admin) });
    writers.push(
      genesisWriter(name, identity, { address: `127.0.0.1:${net}`, http: loopback(http) }),
    );
  }
  for (let i = 0; i < options.readers; i++) {
    const [http = 0, admin = 0] = ports.splice(0, 2);
    const name = `r${i}`;
    const home = join(directory, name);
    await createHome(
      home,
      configOf({ name, role: "reader", net: undefined, http, admin }, options),
    );
    hosts.push({ name, role: "reader", home, http: loopback(http), admin: loopback(admin) });
  }
  const genesis = genesisOf(options, writers, {
    publisher: publisher.publicKey,
    administrator: administrator.publicKey,
  });
  const text = checkedGenesis(genesis);
  const genesisFile = join(directory, "genesis.json");
  await writeFile(genesisFile, text);
  for (const host of hosts) await writeFile(homeOf(host.home).genesisFile, text);
  return {
    directory,
    genesisFile,
    publisherKey: join(directory, "keys", "publisher.json"),
    administratorKey: join(directory, "keys", "administrator.json"),
    hosts,
  };
}

/** Liars are hosts of this network. Throws USAGE. */
function checkLiars({ liars, writers, readers }: TestnetOptions): void {
  for (const name of liars?.keys() ?? []) {
    const [, role, index = ""] = /^([wr])(\d+)$/.exec(name) ?? [];
    if (role === undefined || Number(index) >= (role === "w" ? writers : readers))
      throw new ConfigError(
        "USAGE",
        `--byzantine: there is no ${name}; writers are w0…w${writers - 1}, readers r0…r${readers - 1}`,
      );
  }
}

/** The JSON of a genesis that a network can start from. Throws GENESIS_*, RULE_*. */
export function checkedGenesis(genesis: Genesis): string {
  const network = networkOf(genesis, algorithms);
  if (!network.ok) throw new ConfigError(network.error.code, network.error.detail);
  return formatGenesis(genesis);
}

/** A writer's entry in a genesis, from the keys of its home. Throws ROLE_MISMATCH. */
export function genesisWriter(
  name: string,
  identity: HomeIdentity,
  at: { readonly address: string; readonly http: string },
): GenesisWriter {
  const { nodeKey, blockKey, cosignKey } = identity;
  if (blockKey === undefined || cosignKey === undefined)
    throw new ConfigError("ROLE_MISMATCH", `${name} has no writer's keys`);
  return { name, nodeKey, blockKey, cosignKey, ...at };
}

/** Leader slots a round: all writers of a small committee, three of a larger one (`dag.md` §7). */
function genesisOf(
  options: TestnetOptions,
  writers: readonly GenesisWriter[],
  keys: { readonly publisher: PublicKey; readonly administrator: PublicKey },
): Genesis {
  const n = writers.length;
  const { rule, faults: f = faultsTolerated(n) } = options;
  const k = rule === "dual" ? Math.max(0, n - 1 - 3 * f) : 0;
  return {
    name: "testnet",
    timeMs: Date.now(),
    ...dagOf(n, { f, k, ...(rule === undefined ? {} : { rule }) }),
    writers,
    administrators: [keys.administrator],
    publishers: [{ key: keys.publisher, name: "publisher", trees: ["*"] }],
  };
}

function loopback(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function configOf(
  host: {
    name: string;
    role: "writer" | "reader";
    net: number | undefined;
    http: number;
    admin: number;
  },
  options: TestnetOptions,
): ConfigInput {
  const lie = options.liars?.get(host.name);
  return {
    version: 1,
    moniker: host.name,
    role: host.role,
    ...(host.net === undefined ? {} : { net: { listen: `127.0.0.1:${host.net}` } }),
    http: { listen: `127.0.0.1:${host.http}` },
    admin: { listen: `127.0.0.1:${host.admin}` },
    logging: { level: options.logLevel ?? "info" },
    ...(lie === undefined ? {} : { unsafe: { lie } }),
  };
}

async function portsFor(options: TestnetOptions): Promise<number[]> {
  const count = 3 * options.writers + 2 * options.readers;
  if (options.firstPort !== undefined)
    return Array.from({ length: count }, (_, i) => (options.firstPort ?? 0) + i);
  return freePorts(count);
}
