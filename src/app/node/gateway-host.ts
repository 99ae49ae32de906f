import { type Author, type Digest, fail, toBase64 } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { decodeLeaf } from "../../core/mirror/index.ts";
import type { OpinionView } from "../../core/replica/index.ts";
import { version } from "../config/index.ts";
import {
  type GatewayHost,
  type HostStatus,
  heightAt,
  type PendingReport,
  traceOf,
} from "../gateway/index.ts";
import { Desk } from "../publishing/index.ts";
import type { AccountabilityDesk } from "./accountability-desk.ts";
import type { MirrorList } from "./mirror-list.ts";
import type { Engine, Parts } from "./parts.ts";
import type { SplitDesk } from "./split-desk.ts";

/** Where publishers bring updates; readers have none. */
export function deskOf(
  { network, verifier, store, core }: Parts,
  { writer }: Engine,
): Desk | undefined {
  if (writer === undefined) return undefined;
  const keepAtHand: ConstructorParameters<typeof Desk>[0]["keepAtHand"] = (digest, bytes) =>
    core.content.keepAtHand(digest, bytes);
  return new Desk({ network, verifier, blobs: store.blobs, writer, keepAtHand });
}

/** The host as its HTTP service sees it. */
export function hostOf(
  parts: Parts,
  engine: Engine,
  desks: {
    readonly accountability: AccountabilityDesk;
    readonly splits: SplitDesk;
    readonly mirrors: MirrorList;
    readonly desk: Desk | undefined;
  },
): GatewayHost {
  const { config, network, core, store, genesisText } = parts;
  const { writer } = engine;
  const host: GatewayHost = {
    network,
    genesisText,
    archive: core.archive,
    blobs: store.blobs,
    ...desks,
    appendBy: writer === undefined ? "nobody" : config.log.append,
    get head() {
      return core.head;
    },
    get served() {
      return core.heads.served;
    },
    get servedHeight() {
      return core.servedHeight;
    },
    heightAt: (tsMs) =>
      heightAt(tsMs, core.servedHeight, (height) => core.archive.height(height)?.tsMs ?? 0),
    duplicates: remembered(duplicatesForMs, () =>
      desks.mirrors
        .rows()
        .filter(({ problem }) => problem === undefined)
        .map(({ url }) => url),
    ),
    get policy() {
      return core.role.state.policy;
    },
    status: () => statusOf(parts, engine),
    pending: (id) => pendingOf(parts, engine, id),
    external: config.http.external?.replace(/\/+$/, ""),
    keeps: (height) => core.retainer.keeps(height),
    wantBlob: (blob) => core.wantBlob(blob),
    follow: (after, wait) => core.follow.after(after, wait),
    settled: async (id, wait) => {
      const isCertified = (): boolean => {
        const outcome = core.archive.outcome(id);
        return outcome !== undefined && outcome.leaf < (core.head?.due.size ?? 0);
      };
      await core.news.until(isCertified, wait);
    },
    nextHead: async (height, wait) => {
      await core.news.until(() => (core.heads.served?.due.height ?? 0) > height, wait);
    },
    appendOnce: (wire) =>
      writer?.appendOnce(wire) ?? Promise.resolve(fail("NOT_A_WRITER", "this host is a reader")),
    append: (segment) =>
      writer?.append(segment) ?? Promise.resolve(fail("NOT_A_WRITER", "this host is a reader")),
    tail: (from, signal) => core.tail(from, signal),
    trace: () => traceOf(host),
  };
  return host;
}

/** Every answer names other mirrors; who they are is looked up this often only, milliseconds. */
const duplicatesForMs = 5000;

function remembered<T>(forMs: number, make: () => T): () => T {
  let made: { readonly value: T; readonly atMs: number } | undefined;
  return () => {
    if (made === undefined || performance.now() > made.atMs + forMs)
      made = { value: make(), atMs: performance.now() };
    return made.value;
  };
}

function opinionsOf(
  views: readonly OpinionView[],
  convicted: ReadonlySet<Author>,
  network: Network,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    views.map(({ about, opinion }) => [
      network.writers[about]?.name ?? String(about),
      convicted.has(about) ? "corrupt" : opinion,
    ]),
  );
}

function statusOf(
  { config, network, core, nodeKey }: Parts,
  { writer, reader }: Engine,
): HostStatus {
  const vitals = writer?.vitals;
  const { state } = core.role;
  const leaf = core.archive.height(core.servedHeight)?.leaf;
  const decoded =
    leaf === undefined ? undefined : decodeLeaf(core.archive.leaf(leaf) ?? new Uint8Array(0));
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
    opinions: vitals && opinionsOf(vitals.opinions, state.convicted, network),
    note:
      writer?.hasLeft === true
        ? "joined a group that splits off, and waits until all its members have signed; see: smalti split show"
        : returning === undefined
          ? reader?.problem
          : `following until it is safe to sign: ${returning.answers} of ${returning.needed} answers`,
    upstream: reader?.upstream,
    version,
  };
}

function pendingOf(
  { network, core }: Parts,
  { writer }: Engine,
  id: Digest,
): PendingReport | undefined {
  const pending = core.role.state.pending.get(id);
  if (pending === undefined) return undefined;
  const heldBy = [...pending.heldBy].map((author) => network.writers[author]?.name ?? "");
  const witness = writer?.witnessOf(id);
  return { heldBy, ...(witness === undefined ? {} : { witness }) };
}
