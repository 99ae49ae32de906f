import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Author } from "../../core/base/index.ts";
import { CodedError } from "../../core/base/index.ts";
import { lineageOf, type Network, type NetworkParent } from "../../core/committee/index.ts";
import { Ed25519Verifier } from "../../core/crypto/index.ts";
import { loadKeyFile, lockIdentity } from "../../io/files/index.ts";
import { type Config, homeOf, loadConfig, splitEndpoint } from "../config/index.ts";
import type { HostStatus } from "../gateway/index.ts";
import { ConfigError, parseGenesis, splitsIn } from "../genesis/index.ts";
import { type HostStore, openHostStore } from "../store/index.ts";
import { createMetrics, type Log, openLog } from "../telemetry/index.ts";
import { AccountabilityDesk } from "./accountability-desk.ts";
import { openAdmin } from "./admin.ts";
import { readerEngine, writerEngine } from "./engines.ts";
import { GarbageCollector } from "./garbage-collector.ts";
import { deskOf, hostOf } from "./gateway-host.ts";
import { MirrorList } from "./mirror-list.ts";
import { NodeCore } from "./node-core.ts";
import { type Outside, outside } from "./outside.ts";
import type { Engine, Parts } from "./parts.ts";
import { SplitDesk } from "./split-desk.ts";

/** A host that runs. */
export interface RunningNode {
  readonly http: string;
  readonly admin: string;
  /** What `status.json` says. */
  status(): HostStatus;
  /** Resolves with the reason when the host can not go on: a storage error, a broken invariant. */
  readonly failed: Promise<Error>;
  /** Drains and closes; everything acknowledged is durable. */
  stop(): Promise<void>;
}

/** Starts the host of a home directory, with `around` between it and the others. Throws CONFIG_*, LISTEN_FAILED, GENESIS_*, KEY_*, STORAGE_*, IDENTITY_IN_USE. */
export async function startNode(
  directory: string,
  around: Outside = outside,
): Promise<RunningNode> {
  const { parts, engine, failed, release } = await assemble(directory, around);
  const { config, core, log, network, store } = parts;
  const closers: (() => Promise<unknown>)[] = [() => release(), () => store.close()];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const accountability = new AccountabilityDesk(parts, engine);
    const splits = new SplitDesk(parts, engine);
    const mirrors = new MirrorList(parts, engine);
    const desk = deskOf(parts, engine);
    const host = hostOf(parts, engine, { accountability, splits, mirrors, desk });
    const collector = new GarbageCollector(parts, desk);
    const { listen, proxies } = config.http;
    const gateway = await around.openGateway(host, splitEndpoint(listen), proxies);
    closers.push(() => gateway.server.close());
    closers.push(async () => core.stop());
    const admin = await openAdmin(parts, engine, { host, accountability, splits, collector });
    closers.push(() => admin.server.close());
    closers.push(() => engine.stop());
    await engine.start();
    core.startCompleting();
    mirrors.start();
    closers.push(async () => mirrors.stop());
    collector.start();
    closers.push(async () => collector.stop());
    for (const split of splitsIn(parts.genesisText)) core.keepSplit(split);
    const urls = {
      http: urlOf(config.http.listen, gateway.port),
      admin: urlOf(config.admin.listen, admin.port),
    };
    log.info(
      { role: config.role, ...urls, group: network.group, height: core.servedHeight },
      "host started",
    );
    return { ...urls, status: () => host.status(), failed, stop };
  } catch (error) {
    await stop();
    throw listenErrorOf(error, homeOf(directory).configFile);
  }
}

/** An address that cannot be listened on is the config's, or another program's. */
function listenErrorOf(error: unknown, configFile: string): unknown {
  const { syscall } = error as { syscall?: unknown };
  if (!(error instanceof Error) || !["listen", "bind", "getaddrinfo"].includes(String(syscall)))
    return error;
  return new ConfigError(
    "LISTEN_FAILED",
    `cannot listen (${error.message}); look at the listen addresses in ${configFile}, and whether another program has the port`,
  );
}

interface Assembled {
  readonly parts: Parts;
  readonly engine: Engine;
  readonly failed: Promise<Error>;
  release(): Promise<void>;
}

/** Reads config, genesis, keys and disk, and builds the machine upon what it finds. */
async function assemble(directory: string, around: Outside): Promise<Assembled> {
  const config = await loadConfig(directory);
  const home = homeOf(directory, config);
  const genesisText = await readGenesis(home.genesisFile);
  const chosen = parseGenesis(genesisText, home.genesisFile);
  const nodeKey = await loadKeyFile(join(home.keysDirectory, "node.json"), "node");
  const member = chosen.writers.find((writer) => writer.nodeKey === nodeKey.publicKey)?.index;
  checkRole(config, member);
  const lock = await lockIdentity(nodeKey.publicKey);
  const log = openLog(config.logging.level, config.moniker);
  const metrics = createMetrics();
  const verifier = new Ed25519Verifier();
  const { failed, fatal } = failure(log);
  const guard = guardNameOf(chosen);
  const { store, isGuardWhole } = await openHostStore(home.dataDirectory, undefined, guard);
  const { network, until } = stageOf(chosen, store, config.role);
  const self = config.role === "writer" ? member : undefined;
  const { genesisFile, keysDirectory } = home;
  const recovery = await store.recover(network, { isGuardWhole, self, genesisFile });
  const sources = sourcesOf(config, chosen, self);
  const { messages } = recovery.state;
  const core = new NodeCore({
    network,
    store,
    sources: () => sources,
    log,
    metrics,
    verifier,
    messages,
    retain: config.retain,
    onFatal: fatal,
  });
  const parts: Parts = {
    config,
    network,
    genesisText,
    genesisFile,
    dataDirectory: home.dataDirectory,
    store,
    core,
    log,
    metrics,
    nodeKey,
    verifier,
    fatal,
  };
  const engine =
    self === undefined
      ? readerEngine(parts, { sources, recovery, ...(until === undefined ? {} : { until }) })
      : await writerEngine(parts, { self, keysDirectory, recovery, openLinks: around.openLinks });
  return { parts, engine, failed, release: () => lock.release() };
}

/** Every group has a guard of its own: rounds begin anew with it. */
function guardNameOf({ parent, group }: Network): string {
  return parent === undefined ? "guard" : `guard-${group.slice(0, 16)}`;
}

/**
 * The group whose data are here. A reader that begins, or has not come to the split yet, follows the older group up to
 * there; whoever has come to it goes on in the chosen one.
 */
function stageOf(
  chosen: Network,
  store: HostStore,
  role: Config["role"],
): { readonly network: Network; readonly until: NetworkParent["at"] | undefined } {
  const lineage = lineageOf(chosen);
  const at =
    store.group === undefined ? 0 : lineage.findIndex(({ group }) => group === store.group);
  const [here, next] = [lineage[at], lineage[at + 1]];
  const isThere = next !== undefined && store.certifiedSize === next.parent?.at.size;
  if (here === undefined || next === undefined || role === "writer")
    return { network: chosen, until: undefined };
  if (!isThere) return { network: here, until: next.parent?.at };
  return { network: next, until: lineage[at + 2]?.parent?.at };
}

async function readGenesis(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => {
    throw new ConfigError(
      "GENESIS_MISSING",
      `no genesis at ${path}; copy the network's genesis.json there`,
    );
  });
}

/** The first error that ends the host. */
function failure(log: Log): {
  readonly failed: Promise<Error>;
  readonly fatal: (error: unknown) => void;
} {
  let report: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    report = resolve;
  });
  const fatal = (error: unknown): void => {
    log.error({ reason: String(error) }, "the host cannot go on");
    report(error instanceof Error ? error : new CodedError("INTERNAL", String(error)));
  };
  return { failed, fatal };
}

function urlOf(endpoint: string, port: number): string {
  const { host } = splitEndpoint(endpoint);
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function checkRole(config: Config, self: Author | undefined): void {
  if (config.role === "writer" && self === undefined) {
    throw new ConfigError(
      "NOT_IN_GENESIS",
      "this node key is not a writer's in the genesis; set role = \"reader\", or use the writer's keys",
    );
  }
  if (config.role === "reader" && self !== undefined) {
    throw new ConfigError(
      "ROLE_MISMATCH",
      'this node key is a writer\'s in the genesis; set role = "writer", or make a key of its own: smalti init',
    );
  }
}

function sourcesOf(config: Config, network: Network, self: Author | undefined): readonly string[] {
  if (config.sync.from.length > 0) return config.sync.from.map((url) => url.replace(/\/+$/, ""));
  return network.writers.filter((writer) => writer.index !== self).map((writer) => writer.http);
}
