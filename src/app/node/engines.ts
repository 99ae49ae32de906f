import { join } from "node:path";
import { type Author, fromBase64 } from "../../core/base/index.ts";
import type { NetworkParent } from "../../core/committee/index.ts";
import { readUpdate } from "../../core/mirror/index.ts";
import type { DetectorChoice } from "../../core/opinion/index.ts";
import { FollowerHost, type HostRecovery, WriterHost } from "../../core/replica/index.ts";
import { readGroup } from "../../core/split/index.ts";
import { type LoadedKey, loadKeyFile, replaceFile } from "../../io/files/index.ts";
import type { Links } from "../../io/transport/index.ts";
import { askJson } from "../client/index.ts";
import { type Config, splitEndpoint } from "../config/index.ts";
import type { SplitsReport } from "../gateway/index.ts";
import { ConfigError, withSplit } from "../genesis/index.ts";
import { Challenger } from "./challenger.ts";
import type { Outside } from "./outside.ts";
import type { Engine, Parts } from "./parts.ts";
import { ReaderNode } from "./reader-node.ts";
import { SplitReachedError } from "./split-reached.ts";
import { Witness } from "./witness.ts";
import { WriterNode } from "./writer-node.ts";

/** A writer: keys checked against the genesis, machine, loop and links. Throws KEY_*, NOT_IN_GENESIS. */
export async function writerEngine(
  parts: Parts,
  options: {
    readonly self: Author;
    readonly keysDirectory: string;
    readonly openLinks: Outside["openLinks"];
    readonly recovery: HostRecovery;
  },
): Promise<Engine> {
  const { config, network, core, verifier } = parts;
  const { self, keysDirectory, recovery } = options;
  const keys = await writerKeys(parts, self, keysDirectory);
  if (!recovery.maySign)
    parts.log.warn(
      {},
      "guard or log cannot vouch for what was signed: following until it is safe to sign",
    );
  const host = new WriterHost({
    network,
    author: self,
    blockSigner: keys.block.signer,
    cosignSigner: keys.cosign.signer,
    hostSigner: parts.nodeKey.signer,
    verifier,
    view: core.view,
    detector: detectorOf(config),
    isPublishing: config.opinion.publish,
    pacing: {
      leaderTimeoutMs: config.consensus.leader_timeout_ms,
      minRoundMs: config.consensus.min_round_ms,
    },
    recovery,
    leaseEveryMs: config.consensus.lease_every_s * 1000,
    seed: Math.floor(Math.random() * 2 ** 32),
  });
  const writer = new WriterNode({
    core,
    host,
    self,
    verifier,
    onFatal: parts.fatal,
    challenger: new Challenger(parts),
    witness: new Witness(parts),
    onSplit: (wire, isMine) => void followSplit(parts, wire, isMine),
  });
  let links: Links | undefined;
  let seeking: NodeJS.Timeout | undefined;
  return {
    writer,
    reader: undefined,
    start: async () => {
      await bringPending(parts, recovery);
      links = await options.openLinks(linkOptions(parts, self, writer));
      writer.useLinks(links);
      writer.push({ type: "start" });
      seeking = setInterval(() => void seekGroup(parts, writer), seekEveryMs);
      writer.resumePending();
    },
    stop: async () => {
      clearInterval(seeking);
      await writer.stop();
      await links?.close();
    },
  };
}

function detectorOf({ opinion }: Config): DetectorChoice {
  return {
    detector: opinion.detector,
    phi: opinion.phi,
    suspectAfterMs: opinion.suspect_after_ms,
    deadAfterMs: opinion.dead_after_ms,
    suspectAfterRounds: opinion.suspect_after_rounds,
    deadAfterRounds: opinion.dead_after_rounds,
    probeEveryMs: opinion.probe_every_ms,
  };
}

/** A member that was down when its group was founded looks for the founding document so often, milliseconds. */
const seekEveryMs = 3000;

async function seekGroup(parts: Parts, writer: WriterNode): Promise<void> {
  if (!writer.hasLeft) return;
  for (const { http, nodeKey } of parts.network.writers) {
    if (nodeKey === parts.nodeKey.publicKey) continue;
    const found = await ownGroupAt(http, parts);
    if (found !== undefined) return followSplit(parts, found, true);
  }
}

/** The founding document of this host's own group, if that server has it. */
async function ownGroupAt(
  http: string,
  { network, verifier, nodeKey }: Parts,
): Promise<Uint8Array | undefined> {
  const url = `${http}/.smalti/splits.json`;
  const report = await askJson<SplitsReport>(url, { patienceMs: 2000 }).catch(() => undefined);
  const rows = Array.isArray(report?.groups) ? report.groups.slice(0, 16) : [];
  return rows
    .map(({ wire }) => fromBase64(String(wire)) ?? new Uint8Array(0))
    .find((wire) => {
      const group = readGroup(wire, { network, verifier });
      if (!group.ok) return false;
      const keys = group.value.members.map((author) => network.writers[author]?.nodeKey);
      return keys.includes(nodeKey.publicKey);
    });
}

/** The host's own new group: its genesis says so from now on, and the host starts again as a member of it. */
async function followSplit(parts: Parts, wire: Uint8Array, isMine: boolean): Promise<void> {
  parts.core.keepSplit(wire);
  if (!isMine) return;
  try {
    await replaceFile(parts.genesisFile, withSplit(parts.genesisText, wire), 0o644);
    await parts.store.state.flushed();
    parts.fatal(new SplitReachedError());
  } catch (error) {
    parts.fatal(error);
  }
}

/** The keys of a writer's roles, which must be the ones that the genesis names. */
async function writerKeys(
  { network }: Parts,
  self: Author,
  directory: string,
): Promise<{ readonly block: LoadedKey; readonly cosign: LoadedKey }> {
  const block = await loadKeyFile(join(directory, "block.json"), "block");
  const cosign = await loadKeyFile(join(directory, "cosign.json"), "cosign");
  const entry = network.writers[self];
  if (entry?.blockKey === block.publicKey && entry.cosignKey === cosign.publicKey)
    return { block, cosign };
  throw new ConfigError(
    "NOT_IN_GENESIS",
    "block.json or cosign.json is not the key that the genesis names for this writer",
  );
}

function linkOptions(
  parts: Parts,
  self: Author,
  writer: WriterNode,
): Parameters<Outside["openLinks"]>[0] {
  const { config, network, nodeKey, log, metrics } = parts;
  const others = network.writers.filter((peer) => peer.index !== self);
  return {
    identity: nodeKey,
    self,
    listen: splitEndpoint(config.net.listen),
    peers: others.map(({ index, nodeKey: key, address }) => ({
      author: index,
      nodeKey: key,
      address,
    })),
    events: {
      up: (peer, session) => writer.push({ type: "peer-up", peer, session }),
      down: (peer, reason) => {
        log.info({ peer: network.writers[peer]?.name, reason }, "link down");
        writer.push({ type: "peer-down", peer });
      },
      frame: (peer, frame) => writer.pushFrame(peer, frame),
      refused: (reason) => {
        metrics.refusedLinks.inc();
        log.debug({ reason }, "link refused");
      },
    },
  };
}

/** Change lists of pending updates that are on disk already: execution may ask for them at once. */
async function bringPending(
  { core, verifier, store }: Parts,
  { state }: HostRecovery,
): Promise<void> {
  for (const { wire } of state.pending.values()) {
    const update = readUpdate(wire, undefined, verifier);
    if (!update.ok || !store.blobs.has(update.value.record.changes.digest)) continue;
    const { digest } = update.value.record.changes;
    // A damaged list is fetched again once execution asks for it.
    const bytes = await store.blobs.read(digest).catch(() => undefined);
    if (bytes !== undefined) core.rememberChanges(update.value.id, digest, bytes);
  }
}

/** A reader: machine and loop. */
export function readerEngine(
  parts: Parts,
  options: {
    readonly sources: readonly string[];
    readonly recovery: HostRecovery;
    readonly until?: NetworkParent["at"];
  },
): Engine {
  const { network, core, verifier } = parts;
  const host = new FollowerHost({
    network,
    verifier,
    view: core.view,
    recovery: options.recovery,
    ...(options.until === undefined ? {} : { until: options.until }),
  });
  const reader = new ReaderNode({
    core,
    host,
    sources: options.sources,
    verifier,
    onFatal: parts.fatal,
  });
  return {
    writer: undefined,
    reader,
    start: async () => {
      await bringPending(parts, options.recovery);
      reader.start();
    },
    stop: () => reader.stop(),
  };
}
