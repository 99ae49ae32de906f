import { constants } from "node:fs";
import { join } from "node:path";
import {
  type Author,
  bigEndian,
  type Digest,
  limits,
  type Result,
  readBigEndian,
} from "../../core/base/index.ts";
import { read } from "../../core/codec/index.ts";
import {
  blockFromWire,
  type Commit,
  commitDigest,
  commitShape,
  type Ref,
  refKey,
  type VerifiedBlock,
} from "../../core/consensus/index.ts";
import type { JoinRecord } from "../../core/host/index.ts";
import {
  certifiedPointOf,
  type Guard,
  type HostRecovery,
  initialState,
} from "../../core/host/index.ts";
import { lineageOf, type Network } from "../../core/membership/index.ts";
import {
  type DueRecord,
  decodeDue,
  decodeState,
  encodeState,
  type MirrorState,
  stateKeys,
} from "../../core/mirror/index.ts";
import type { GuardFile } from "../../io/files/index.ts";
import {
  type BlobStore,
  type FileSystem,
  type Position,
  type RecordLog,
  type StateStore,
  StorageError,
} from "../../io/ports/index.ts";
import { oldPosition, roundEntry } from "./block-index.ts";
import { CommitArchive, commitEntry } from "./commit-archive.ts";
import { fractionWrites } from "./fraction-writes.ts";
import { readJoin, writeJoin } from "./join-file.ts";

const recordTypes = { block: 1, commit: 2 } as const;
const metaKeys = {
  replayFrom: "meta/replay-from",
  logEnd: "meta/log-end",
  group: "meta/group",
} as const;

/** Rounds below the own horizon whose places are still in memory: a host that is a commit behind asks for them. */
const servedRounds = limits.gcRounds;

/** A file that a storage error leaves behind. */
export const failedMarker = "STORAGE_FAILED";

function positionBytes({ segment, offset }: Position): Uint8Array {
  return Buffer.concat([bigEndian(segment, 4), bigEndian(offset, 6)]);
}

function positionOf(bytes: Uint8Array | undefined): Position {
  if (bytes === undefined) return { segment: 0, offset: 0 };
  return {
    segment: readBigEndian(bytes.subarray(0, 4)),
    offset: readBigEndian(bytes.subarray(4, 10)),
  };
}

/** Everything in the log before it was durable once. */
export function durableEnd(state: StateStore): Position {
  return positionOf(state.get(metaKeys.logEnd));
}

function isBefore(a: Position, b: Position): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

/** Everything a host has on disk: the block log, the guard, the state store and the blobs. */
export class HostStore {
  readonly state: StateStore;
  readonly blobs: BlobStore;
  readonly commits: CommitArchive;
  readonly #log: RecordLog;
  readonly #guardFile: GuardFile;
  readonly #files: FileSystem;
  readonly #directory: string;
  #guard: Guard;
  /** round → where its blocks stand; down to {@link servedRounds} below the horizon, older ones on disk. */
  readonly #rounds = new Map<
    number,
    Map<string, { readonly ref: Ref; readonly position: Position }>
  >();
  /**
   * Commits that the state has not executed, with the first position that they need; only those of which no later one
   * needs an earlier position: the first one's is the first of all.
   */
  #unexecuted: { readonly index: number; readonly from: Position }[] = [];
  #commitEntries: [string, Uint8Array][] = [];
  #guardChanged = false;
  #joinChanged = false;
  #isWriter = false;
  /** It may have signed more than its disk knows of, and has not signed again since. */
  #isReturning = false;
  /** An earlier run of this host ended with a storage error. */
  #isMarked: boolean;

  constructor(parts: {
    readonly directory: string;
    readonly state: StateStore;
    readonly blobs: BlobStore;
    readonly log: RecordLog;
    readonly guardFile: GuardFile;
    readonly guard: Guard;
    readonly files: FileSystem;
    readonly isMarked: boolean;
  }) {
    this.#directory = parts.directory;
    this.#files = parts.files;
    this.#isMarked = parts.isMarked;
    this.state = parts.state;
    this.blobs = parts.blobs;
    this.#log = parts.log;
    this.commits = new CommitArchive(parts.state, parts.log);
    this.#guardFile = parts.guardFile;
    this.#guard = parts.guard;
  }

  // ── before anything leaves the host ──

  appendBlock(block: VerifiedBlock): void {
    const position = this.#log.append(recordTypes.block, block.wire);
    this.#remember(block.ref, position);
    this.commits.logged(block.payload.length);
  }

  #remember(ref: Ref, position: Position): void {
    const round =
      this.#rounds.get(ref.round) ?? new Map<string, { ref: Ref; position: Position }>();
    this.#rounds.set(ref.round, round.set(refKey(ref), { ref, position }));
  }

  #positionOf(ref: Ref): Position | undefined {
    return this.#rounds.get(ref.round)?.get(refKey(ref))?.position;
  }

  appendCommit(commit: Commit, bytes: Uint8Array): void {
    const record = this.#log.append(recordTypes.commit, bytes);
    this.#index(commit, record);
  }

  #index(commit: Commit, record: Position): void {
    let from = record;
    const positions = commit.blocks.map((ref) => {
      const position = this.#positionOf(ref);
      if (position === undefined)
        throw new StorageError("STORAGE_LOG_CORRUPT", `the log lacks block ${refKey(ref)}`);
      if (isBefore(position, from)) from = position;
      return position;
    });
    const isCovered = (last = this.#unexecuted.at(-1)): boolean =>
      last !== undefined && !isBefore(last.from, from);
    while (isCovered()) this.#unexecuted.pop();
    this.#unexecuted.push({ index: commit.index, from });
    this.#commitEntries.push(commitEntry(commit.index, { record, blocks: positions }));
  }

  /** It signs: so it knows again what it signed. */
  guardRound(round: number): void {
    this.#isReturning = false;
    this.#guard = { ...this.#guard, round };
    this.#guardChanged = true;
  }

  guardCheckpoint(checkpoint: Guard["checkpoint"]): void {
    this.#guard = { ...this.#guard, checkpoint };
    this.#guardChanged = true;
  }

  /** It leaves this group for one that splits from it. */
  guardSplit(joined: JoinRecord): void {
    this.#guard = { ...this.#guard, joined };
    this.#joinChanged = true;
  }

  /**
   * Makes the log durable, then the guard; only then may anything be told to anybody. In this order a crash between
   * the two leaves a log that vouches for itself. Side by side it could leave a guard ahead of the log: that round
   * could never be signed again, and where f others cheat the network would wait for it for ever.
   */
  async sync(): Promise<void> {
    await this.#log.sync();
    if (this.#joinChanged && this.#guard.joined !== undefined) {
      await writeJoin(this.#files, this.#directory, this.#guard.joined);
      this.#joinChanged = false;
    }
    if (!this.#guardChanged) return;
    this.#guardChanged = false;
    await this.#writeGuard();
    if (!this.#isMarked || this.#isReturning) return;
    // It signs again, so what once failed has been made good.
    await this.#files.unlink(join(this.#directory, failedMarker));
    this.#isMarked = false;
  }

  #writeGuard(): Promise<void> {
    const { round, checkpoint } = this.#guard;
    return this.#guardFile.write({
      round,
      isReturning: this.#isReturning,
      checkpointSize: checkpoint.size,
      checkpointRoot: checkpoint.root,
    });
  }

  /** After a storage error this host does not sign until a restart has proven what it signed (`dag.md` §12). */
  async markFailed(reason: string): Promise<void> {
    const text = Buffer.from(`${reason}\n`);
    try {
      const path = join(this.#directory, failedMarker);
      const file = await this.#files.open(path, constants.O_WRONLY | constants.O_CREAT);
      await file.write(text, 0, text.length, 0);
      await file.close();
    } catch {
      // The disk that failed may refuse this too; the missing guard row then says the same.
      return;
    }
  }

  // ── after the sync ──

  /** Writes the state and what came with it, in order, and where a restart must read from, in one batch. */
  writeState(
    writes: readonly ReadonlyMap<string, Uint8Array | undefined>[],
    state: MirrorState,
    horizon: number,
  ): void {
    const left = this.#unexecuted.findIndex(({ index }) => index > state.commit.index);
    this.#unexecuted.splice(0, left < 0 ? this.#unexecuted.length : left);
    const forgotten: [string, Uint8Array][] = [];
    for (const [round, blocks] of this.#rounds) {
      if (round > horizon - servedRounds) continue;
      // A reader is asked for commits only.
      if (this.#isWriter) forgotten.push(roundEntry(this.state, round, blocks.values()));
      this.#rounds.delete(round);
    }
    let from = this.#oldestBlock() ?? this.#log.end;
    const [oldest] = this.#unexecuted;
    if (oldest !== undefined && isBefore(oldest.from, from)) from = oldest.from;
    const commits = this.#commitEntries;
    this.#commitEntries = [];
    this.state.write(commits, forgotten, ...writes, [
      // Encoded when the store commits, not in every turn.
      [stateKeys.mirror, () => encodeState(state)],
      [metaKeys.replayFrom, positionBytes(from)],
      [metaKeys.logEnd, positionBytes(this.#log.end)],
    ]);
  }

  /** Rounds and blocks are remembered in the order of the log: the first one is the oldest. */
  #oldestBlock(): Position | undefined {
    for (const round of this.#rounds.values())
      for (const { position } of round.values()) return position;
    return undefined;
  }

  // ── serving others ──

  /** Wire bytes of the blocks that are here, up to `fetchBytesMax`. `live` finds those that are still in memory. */
  async blocks(
    refs: readonly Ref[],
    live: (ref: Ref) => VerifiedBlock | undefined,
  ): Promise<Uint8Array[]> {
    const wires: Uint8Array[] = [];
    let bytes = 0;
    for (const ref of refs) {
      const block = live(ref);
      const position = this.#positionOf(ref) ?? oldPosition(this.state, ref);
      const wire =
        block !== undefined ? block.wire : position && (await this.#log.read(position)).bytes;
      if (wire === undefined) continue;
      bytes += wire.length;
      if (bytes > limits.fetchBytesMax && wires.length > 0) break;
      wires.push(wire);
    }
    return wires;
  }

  async close(): Promise<void> {
    await this.state.flushed();
    await this.#log.close();
    await this.#guardFile.close();
    await this.blobs.close();
    await this.state.close();
  }

  // ── restart ──

  /** Reads back what a restart needs: from the horizon, or from the oldest commit not executed yet. */
  async recover(
    network: Network,
    about: {
      readonly isGuardWhole: boolean;
      readonly self: Author | undefined;
      readonly genesisFile: string;
    },
  ): Promise<HostRecovery> {
    this.#isWriter = about.self !== undefined;
    const hasMigrated = await this.#bindTo(network, about.genesisFile);
    const joined = await readJoin(this.#files, this.#directory);
    this.#guard = { ...this.#guard, joined: joined?.group === network.group ? joined : undefined };
    this.commits.endsAt(lineageOf(network).flatMap(({ parent }) => parent?.at.commit.index ?? []));
    const stored = this.state.get(stateKeys.mirror);
    const decoded = stored === undefined ? undefined : decodeState(stored);
    if (decoded?.ok === false)
      throw new StorageError(
        "STORAGE_STATE_CORRUPT",
        `the state is unreadable: ${decoded.error.detail}`,
      );
    const state = decoded?.value ?? initialState(network);
    const { blocks, commits } = await this.#readLog(state.commit.index);
    const maySign =
      (about.isGuardWhole || hasMigrated) &&
      !this.#isMarked &&
      !this.#lostOwn({ blocks, commits, self: about.self });
    this.#isReturning = !maySign;
    return {
      blocks,
      commits,
      state,
      due: this.#lastDue(),
      certified: this.#lastCertified(),
      guard: this.#guard,
      maySign,
    };
  }

  async #readLog(executed: number): Promise<{
    readonly blocks: VerifiedBlock[];
    readonly commits: { commit: Commit; digest: Digest }[];
  }> {
    const blocks: VerifiedBlock[] = [];
    const commits: { commit: Commit; digest: Digest }[] = [];
    for await (const record of this.#log.scan(positionOf(this.state.get(metaKeys.replayFrom)))) {
      if (record.type === recordTypes.block) {
        const block = readable<VerifiedBlock>(blockFromWire(record.bytes));
        this.#remember(block.ref, record.position);
        blocks.push(block);
      } else {
        const commit = readable<Commit>(read(record.bytes, commitShape, "commit"));
        if (commit.index > executed) this.#index(commit, record.position);
        commits.push({ commit, digest: commitDigest(record.bytes) });
      }
    }
    return { blocks, commits };
  }

  /** Leaves of the newest certified log whose state is kept. */
  get certifiedSize(): number | undefined {
    return this.#lastCertified()?.size;
  }

  /** The network whose data this is; `undefined` for an empty directory. */
  get group(): Digest | undefined {
    const bound = this.state.get(metaKeys.group);
    return bound === undefined ? undefined : (Buffer.from(bound).toString("hex") as Digest);
  }

  /** A data directory belongs to one network for ever, or to one that split from it; true if it was moved to that now. */
  async #bindTo(network: Network, genesisFile: string): Promise<boolean> {
    const { group } = this;
    if (group === undefined && network.parent !== undefined)
      throw new StorageError(
        "STORAGE_BEFORE_SPLIT",
        `${this.#directory} is empty, and this group began with a split: copy the data directory of another member, without guard* and joined-split, and start again; in a group with f = 0 it then serves, and cannot sign any more`,
      );
    if (group === undefined)
      this.state.write([[metaKeys.group, Buffer.from(network.group, "hex")]]);
    if (group === undefined || group === network.group) return false;
    if (group !== network.parent?.network.group)
      throw new StorageError(
        "STORAGE_OTHER_NETWORK",
        `${this.#directory} holds the data of another network than ${genesisFile}; use another [store] dir, or the right genesis`,
      );
    // The guard is the new group's own, in which nothing is signed yet; then the state, in one batch.
    this.#guard = { ...this.#guard, round: 0 };
    await this.#writeGuard();
    await this.#writeGuard();
    this.state.write([
      ...fractionWrites(this.state, network),
      [metaKeys.group, Buffer.from(network.group, "hex")],
      [metaKeys.replayFrom, positionBytes(this.#log.end)],
    ]);
    await this.state.flushed();
    return true;
  }

  /** The guard remembers a round above the horizon that no logged block reaches: the log lost what was signed. */
  #lostOwn(found: {
    readonly blocks: readonly VerifiedBlock[];
    readonly commits: readonly { readonly commit: Commit }[];
    readonly self: Author | undefined;
  }): boolean {
    const own = found.blocks.filter((block) => block.ref.author === found.self);
    const horizon = (found.commits.at(-1)?.commit.leader.round ?? 0) - limits.gcRounds;
    return this.#guard.round > Math.max(0, horizon, ...own.map((block) => block.ref.round));
  }

  #lastCertified(): HostRecovery["certified"] {
    const stored = this.state.get(stateKeys.certifiedState);
    const state = stored === undefined ? undefined : decodeState(stored);
    return state?.ok ? certifiedPointOf(state.value) : undefined;
  }

  #lastDue(): DueRecord | undefined {
    const range = { start: stateKeys.due(0), end: stateKeys.due(2 ** 47), reverse: true, limit: 1 };
    for (const [, value] of this.state.range(range)) {
      const due = decodeDue(value);
      if (due.ok) return due.value;
    }
    return undefined;
  }
}

/** A record whose checksum holds was written by this program: if it does not read, the log is damaged. */
function readable<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new StorageError(
    "STORAGE_LOG_CORRUPT",
    `a logged record is unreadable: ${result.error.detail}`,
  );
}
