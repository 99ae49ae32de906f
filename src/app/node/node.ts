import { readFile } from "node:fs/promises";
import Fastify, { type FastifyInstance } from "fastify";
import { join } from "node:path";
import { type Author, type Digest, fail, limits, toBase64 } from "../../core/base/index.ts";
import { Ed25519Verifier } from "../../core/crypto/index.ts";
import { FollowerHost, WriterHost } from "../../core/host/index.ts";
import type { Network } from "../../core/membership/index.ts";
import { decodeLeaf, readUpdate } from "../../core/mirror/index.ts";
import { lockIdentity, type LoadedKey, loadKeyFile } from "../../io/storage/index.ts";
import { type Links, openLinks } from "../../io/transport/index.ts";
import { type Config, ConfigError, homeOf, loadConfig, parseGenesis, splitEndpoint } from "../config/index.ts";
import { type GatewayHost, type HostStatus, openGateway } from "../gateway/index.ts";
import { type HostStore, openHostStore } from "./host-store.ts";
import { type Log, openLog } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { NodeCore } from "./node-core.ts";
import { openDesk } from "./publish-desk.ts";
import { ReaderNode } from "./reader-node.ts";
import { WriterNode } from "./writer-node.ts";

export const version = "0.1.0";

/** A host that runs. */
export interface RunningNode {
  readonly http: string;
  readonly admin: string;
  status(): HostStatus;
  /** Resolves with the reason when the host can not go on: a storage error, a broken invariant. */
  readonly failed: Promise<Error>;
  /** Drains and closes; everything acknowledged is durable. */
  stop(): Promise<void>;
}

interface Parts {
  readonly config: Config;
  readonly network: Network;
  readonly genesisText: string;
  readonly store: HostStore;
  readonly core: NodeCore;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly nodeKey: LoadedKey;
  readonly verifier: Ed25519Verifier;
  readonly fatal: (error: unknown) => void;
}

/** The part of a host that differs by role. */
interface Engine {
  readonly writer: WriterNode | undefined;
  readonly reader: ReaderNode | undefined;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the host of a home directory. Throws CONFIG_*, GENESIS_*, KEY_*, STORAGE_*, IDENTITY_IN_USE. */
export async function startNode(directory: string, override: Partial<Config> = {}): Promise<RunningNode> {
  const config = { ...(await loadConfig(directory)), ...override };
  const home = homeOf(directory, config);
  const genesisText = await readFile(home.genesisFile, "utf8").catch(() => {
    throw new ConfigError("GENESIS_MISSING", `no genesis at ${home.genesisFile}; copy the network's genesis.json there`);
  });
  const network = parseGenesis(genesisText, home.genesisFile);
  const nodeKey = await loadKeyFile(join(home.keysDirectory, "node.json"), "node");
  const lock = await lockIdentity(nodeKey.publicKey);
  const log = openLog(config.logging.level, config.moniker);
  const metrics = createMetrics();
  const { store, isGuardWhole } = await openHostStore(home.dataDirectory);
  const verifier = new Ed25519Verifier();
  const self = network.writers.find((writer) => writer.nodeKey === nodeKey.publicKey)?.index;
  checkRole(config, self);
  const recovery = await store.recover(network, { isGuardWhole, self: config.role === "writer" ? self : undefined });
  const sources = sourcesOf(config, network, self);
  const core = new NodeCore({
    network,
    store,
    sources: () => sources,
    log,
    metrics,
    verifier,
    dataDirectory: home.dataDirectory,
    messages: recovery.state.messages,
  });
  let reportFailure: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    reportFailure = resolve;
  });
  const fatal = (error: unknown): void => {
    log.error({ reason: String(error) }, "the host cannot go on");
    reportFailure(error instanceof Error ? error : new Error(String(error)));
  };
  const parts: Parts = { config, network, genesisText, store, core, log, metrics, nodeKey, verifier, fatal };
  const engine =
    config.role === "writer" && self !== undefined
      ? await writerEngine(parts, { self, keysDirectory: home.keysDirectory, recovery })
      : readerEngine(parts, { sources, recovery });
  const gatewayHost = hostOf(parts, engine);
  const gateway = await openGateway(gatewayHost, splitEndpoint(config.http.listen));
  const admin = await openAdmin(parts, engine, gatewayHost);
  await engine.start();
  core.startCompleting();
  const urls = { http: urlOf(config.http.listen, gateway.port), admin: urlOf(config.admin.listen, admin.port) };
  log.info({ role: config.role, ...urls, group: network.group, height: core.servedHeight }, "host started");
  return {
    ...urls,
    status: () => gatewayHost.status(),
    failed,
    stop: async () => {
      await engine.stop();
      core.stop();
      await Promise.all([gateway.server.close(), admin.server.close()]);
      await store.close();
      await lock.release();
      log.info({}, "host stopped");
    },
  };
}

function urlOf(endpoint: string, port: number): string {
  const { host } = splitEndpoint(endpoint);
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function checkRole(config: Config, self: Author | undefined): void {
  if (config.role === "writer" && self === undefined) {
    throw new ConfigError("NOT_IN_GENESIS", "this node key is not a writer's in the genesis; set role = \"reader\", or use the writer's keys");
  }
  if (config.role === "reader" && self !== undefined) {
    throw new ConfigError("ROLE_MISMATCH", 'this node key is a writer\'s in the genesis; set role = "writer", or make a key of its own: smalti init');
  }
}

function sourcesOf(config: Config, network: Network, self: Author | undefined): readonly string[] {
  if (config.sync.from.length > 0) return config.sync.from.map((url) => url.replace(/\/+$/, ""));
  return network.writers.filter((writer) => writer.index !== self).map((writer) => writer.http);
}

type Recovery = Awaited<ReturnType<HostStore["recover"]>>;

async function writerEngine(
  parts: Parts,
  options: { readonly self: Author; readonly keysDirectory: string; readonly recovery: Recovery },
): Promise<Engine> {
  const { config, network, core, verifier, nodeKey } = parts;
  const { self, keysDirectory, recovery } = options;
  const blockKey = await loadKeyFile(join(keysDirectory, "block.json"), "block");
  const cosignKey = await loadKeyFile(join(keysDirectory, "cosign.json"), "cosign");
  const entry = network.writers[self];
  if (entry?.blockKey !== blockKey.publicKey || entry.cosignKey !== cosignKey.publicKey) {
    throw new ConfigError("NOT_IN_GENESIS", "block.json or cosign.json is not the key that the genesis names for this writer");
  }
  if (!recovery.maySign) parts.log.warn({}, "guard or log cannot vouch for what was signed: following until it is safe to sign");
  const host = new WriterHost({
    network,
    author: self,
    blockSigner: blockKey.signer,
    cosignSigner: cosignKey.signer,
    verifier,
    view: core.view,
    pacing: { leaderTimeoutMs: config.consensus.leader_timeout_ms, minRoundMs: config.consensus.min_round_ms },
    recovery,
    seed: Math.floor(Math.random() * 2 ** 32),
  });
  const writer = new WriterNode({ core, host, self, verifier, onFatal: parts.fatal });
  let links: Links | undefined;
  return {
    writer,
    reader: undefined,
    start: async () => {
      await bringPending(parts, recovery);
      links = await openLinks({
        identity: nodeKey,
        self,
        listen: splitEndpoint(config.net.listen),
        peers: network.writers
          .filter((peer) => peer.index !== self)
          .map((peer) => ({ author: peer.index, nodeKey: peer.nodeKey, address: peer.address })),
        events: {
          up: (peer) => writer.push({ type: "peer-up", peer }),
          down: (peer, reason) => {
            parts.log.info({ peer: network.writers[peer]?.name, reason }, "link down");
            writer.push({ type: "peer-down", peer });
          },
          frame: (peer, frame) => writer.pushFrame(peer, frame),
          refused: (reason) => {
            parts.metrics.refusedLinks.inc();
            parts.log.debug({ reason }, "link refused");
          },
        },
      });
      writer.useLinks(links);
      writer.push({ type: "start" });
      writer.resumePending();
    },
    stop: async () => {
      await writer.stop();
      await links?.close();
    },
  };
}

/** Change lists of pending updates that are on disk already: execution may ask for them at once. */
async function bringPending({ core, network, verifier, store }: Parts, { state }: Recovery): Promise<void> {
  for (const { wire } of state.pending.values()) {
    const update = readUpdate(wire, network.group, verifier);
    if (!update.ok || !store.blobs.has(update.value.record.changes.digest)) continue;
    const { digest } = update.value.record.changes;
    core.rememberChanges(digest, await store.blobs.read(digest));
  }
}

function readerEngine(parts: Parts, options: { readonly sources: readonly string[]; readonly recovery: Recovery }): Engine {
  const { network, core, verifier } = parts;
  const host = new FollowerHost({ network, verifier, view: core.view, recovery: options.recovery });
  const reader = new ReaderNode({ core, host, sources: options.sources, onFatal: parts.fatal });
  return {
    writer: undefined,
    reader,
    start: async () => {
      await bringPending(parts, options.recovery);
      if (options.recovery.certificate !== undefined) parts.store.keepCertificate(options.recovery.certificate);
      reader.start();
    },
    stop: () => reader.stop(),
  };
}

function hostOf(parts: Parts, engine: Engine): GatewayHost {
  const { config, network, core, store, genesisText } = parts;
  const { writer } = engine;
  return {
    network,
    genesisText,
    archive: core.archive,
    blobs: store.blobs,
    desk: writer && openDesk({ network, verifier: parts.verifier, blobs: store.blobs, writer }),
    appendBy: writer === undefined ? "nobody" : config.log.append,
    isLying: config.unsafe.lie === "flip-a-byte",
    get head() {
      return core.head;
    },
    get servedHeight() {
      return core.servedHeight;
    },
    get policy() {
      return core.role.state.policy;
    },
    status: () => statusOf(parts, engine),
    isPending: (id: Digest) => core.role.state.pending.has(id),
    wantBlob: (blob) => core.wantBlob(blob),
    follow: (after, waitMs) => core.follow(after, waitMs),
    settled: async (id, waitMs) => {
      const isSettled = (): boolean => {
        const outcome = core.archive.outcome(id);
        return outcome !== undefined && outcome.leaf < (core.head?.due.size ?? 0);
      };
      await core.news.until(isSettled, waitMs);
    },
    nextHead: async (height, waitMs) => {
      await core.news.until(() => core.servedHeight > height, waitMs);
    },
    append: (segment) => writer?.append(segment) ?? Promise.resolve(fail("NOT_A_WRITER", "this host is a reader")),
    tail: (from, signal) => core.tail(from, signal),
  };
}

function statusOf({ config, network, core, nodeKey }: Parts, { writer, reader }: Engine): HostStatus {
  const vitals = writer?.vitals;
  const { state } = core.role;
  const leaf = core.archive.height(core.servedHeight)?.leaf;
  const decoded = leaf === undefined ? undefined : decodeLeaf(core.archive.leaf(leaf) ?? new Uint8Array(0));
  const returning = vitals?.returning;
  return {
    moniker: config.moniker,
    role: config.role,
    nodeKey: nodeKey.publicKey,
    group: network.group,
    epoch: network.epoch,
    height: core.servedHeight,
    root: core.head === undefined ? "" : toBase64(core.head.due.root),
    logSize: core.head?.due.size ?? 0,
    stateDigest: decoded?.ok && decoded.value.kind === "state" ? decoded.value.state : "",
    commit: state.commit.index,
    messages: state.messages,
    pendingUpdates: state.pending.size,
    round: vitals?.round,
    peers: vitals?.peers.map((peer) => network.writers[peer]?.name ?? String(peer)) ?? [],
    isSigning: vitals?.isSigning,
    note:
      returning === undefined
        ? reader?.problem
        : `following until it is safe to sign: ${returning.answers} of ${returning.needed} answers`,
    upstream: reader?.upstream,
    version,
  };
}

/** Health, readiness and metrics; never public. */
async function openAdmin(
  parts: Parts,
  engine: Engine,
  host: GatewayHost,
): Promise<{ readonly server: FastifyInstance; readonly port: number }> {
  const { config, metrics } = parts;
  const server = Fastify({ bodyLimit: limits.requestBytesMax, forceCloseConnections: true });
  server.get("/healthz", (_, reply) => reply.send({ ok: true }));
  server.get("/livez", (_, reply) => reply.send({ ok: true }));
  server.get("/readyz", (_, reply) => {
    const why = notReady(parts, engine);
    return reply.code(why === undefined ? 200 : 503).send(why === undefined ? { ok: true } : { ok: false, why });
  });
  server.get("/version", (_, reply) => reply.send({ version }));
  server.get("/status.json", (_, reply) => reply.send(host.status()));
  server.get("/metrics", async (_, reply) => {
    observe(parts, engine);
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  const { host: address, port } = splitEndpoint(config.admin.listen);
  await server.listen({ host: address, port });
  const bound = server.server.address();
  return { server, port: typeof bound === "object" && bound !== null ? bound.port : port };
}

/** Ready is more than running: a writer signs and has its quorum, a reader follows somebody. */
function notReady({ core, network }: Parts, { writer, reader }: Engine): string | undefined {
  if (reader !== undefined) return reader.upstream === undefined ? (reader.problem ?? "no source has answered yet") : undefined;
  const { whyNot } = writer ?? {};
  if (whyNot !== undefined) return whyNot.detail;
  const links = writer?.vitals.peers.length ?? 0;
  if (links < network.quorum - 1) return `links with ${links} of the ${network.quorum - 1} writers needed`;
  return core.role.state.commit.index < (writer?.vitals.quorumCommit ?? 0) - limits.commitLagMax ? "catching up" : undefined;
}

function observe({ metrics, core }: Parts, { writer }: Engine): void {
  const { state } = core.role;
  metrics.height.set(core.servedHeight);
  metrics.commit.set(state.commit.index);
  metrics.messages.set(state.messages);
  metrics.pendingUpdates.set(state.pending.size);
  metrics.logSize.set(core.head?.due.size ?? 0);
  const vitals = writer?.vitals;
  if (vitals === undefined) return;
  metrics.round.set(vitals.round);
  metrics.quorumCommit.set(vitals.quorumCommit);
  metrics.signing.set(vitals.isSigning ? 1 : 0);
  metrics.peers.set(vitals.peers.length);
  metrics.pendingBytes.set(vitals.pendingBytes);
  metrics.waitingBlocks.set(vitals.waitingBlocks);
  metrics.graphBlocks.set(vitals.graphBlocks);
  metrics.backlog.set(vitals.backlog);
}
