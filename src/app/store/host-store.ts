import { constants } from "node:fs";
import { join } from "node:path";
import {
  type Author,
  assert,
  bigEndian,
  type Digest,
  defined,
  limits,
  type Result,
  readBigEndian,
  unreachable,
} from "../../core/base/index.ts";
import { lineageOf, type Network } from "../../core/committee/index.ts";
import type { LogRecord, Protocol, RecordName } from "../../core/consensus/index.ts";
import {
  type DueRecord,
  decodeDue,
  decodeState,
  encodeState,
  type MirrorState,
  stateKeys,
} from "../../core/mirror/index.ts";
import {
  certifiedPointOf,
  type Guard,
  type HostEffect,
  type HostRecord,
  type HostRecovery,
  initialState,
} from "../../core/replica/index.ts";
import type { GuardFile } from "../../io/files/index.ts";
import {
  type BlobStore,
  type FileSystem,
  type Position,
  type RecordLog,
  type StateStore,
  StorageError,
} from "../../io/ports/index.ts";
import { BatchArchive } from "./batch-archive.ts";
import { fractionWrites } from "./fraction-writes.ts";
import { readJoin, writeJoin } from "./join-file.ts";
import { logKeys } from "./keys.ts";
import { LogIndex } from "./log-index.ts";

/** A question that is answered from the log. */
export type Question = Extract<HostEffect, { type: "serve-records" | "serve-range" }>;

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
  return positionOf(state.get(logKeys.logEnd));
}

/** Everything a host has on disk: the log, the guard, the state store and the blobs. */
export class HostStore {
  readonly state: StateStore;
  readonly blobs: BlobStore;
  readonly batches: BatchArchive;
  readonly #log: RecordLog;
  readonly #index: LogIndex;
  #protocol: Protocol | undefined;
  readonly #guardFile: GuardFile;
  readonly #files: FileSystem;
  readonly #directory: string;
  #guard: Guard;
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
    this.batches = new BatchArchive(parts.state, parts.log);
    this.#index = new LogIndex(parts.state);
    this.#guardFile = parts.guardFile;
    this.#guard = parts.guard;
  }

  // ── before anything leaves the host ──

  append(record: HostRecord): void {
    switch (record.type) {
      case "log":
        return this.#appendLog(record.record);
      case "guard":
        // It signs: so it knows again what it signed.
        assert(record.place >= this.#guard.place, "the guard never goes back");
        this.#isReturning = false;
        return this.#guardBy({ place: record.place });
      case "guard-checkpoint":
        assert(record.guard.size >= this.#guard.checkpoint.size, "nor for checkpoints");
        return this.#guardBy({ checkpoint: record.guard });
      case "guard-split":
        this.#guard = { ...this.#guard, joined: record.record };
        this.#joinChanged = true;
        return;
      default:
        return unreachable(record);
    }
  }

  #appendLog(record: LogRecord): void {
    this.#index.add(record, this.#log.append(record.type, record.bytes));
    this.batches.logged(record.bytes.length);
  }

  #guardBy(signed: Partial<Guard>): void {
    this.#guard = { ...this.#guard, ...signed };
    this.#guardChanged = true;
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
    const { place, checkpoint } = this.#guard;
    return this.#guardFile.write({
      round: place,
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
    const executed = state.commit.index;
    const entries = this.#index.take({ executed, horizon, isServing: this.#isWriter });
    const from = this.#index.replayFrom(this.#log.end);
    this.state.write(entries, ...writes, [
      // Encoded when the store commits, not in every turn.
      [stateKeys.mirror, () => encodeState(state)],
      [logKeys.replayFrom, positionBytes(from)],
      [logKeys.logEnd, positionBytes(this.#log.end)],
    ]);
  }

  // ── serving others ──

  /** The frame that answers a peer's question. `recent` finds records that are still in memory. */
  async answer(
    question: Question,
    recent: (name: RecordName) => Uint8Array | undefined,
  ): Promise<Uint8Array> {
    const protocol = defined(this.#protocol, "a host that is asked knows its network");
    if (question.type === "serve-range")
      return protocol.rangeFrame(await this.batches.range(question.after));
    return protocol.recordsFrame(await this.records(question.names, recent));
  }

  /** The records that are here, up to `fetchBytesMax`. */
  async records(
    names: readonly RecordName[],
    recent: (name: RecordName) => Uint8Array | undefined,
  ): Promise<Uint8Array[]> {
    const records: Uint8Array[] = [];
    let bytes = 0;
    for (const name of names) {
      const record = recent(name) ?? (await this.#read(name));
      if (record === undefined) continue;
      bytes += record.length;
      if (bytes > limits.fetchBytesMax && records.length > 0) break;
      records.push(record);
    }
    return records;
  }

  async #read(name: RecordName): Promise<Uint8Array | undefined> {
    const position = this.#index.positionOf(name);
    return position && (await this.#log.read(position)).bytes;
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
    this.#protocol = network.consensus;
    const ends = lineageOf(network).flatMap(({ parent }) => parent?.at.commit.index ?? []);
    this.batches.use(network.consensus, ends);
    const stored = this.state.get(stateKeys.mirror);
    const decoded = stored === undefined ? undefined : decodeState(stored);
    if (decoded?.ok === false)
      throw new StorageError(
        "STORAGE_STATE_CORRUPT",
        `the state is unreadable: ${decoded.error.detail}`,
      );
    const state = decoded?.value ?? initialState(network);
    const records = await this.#readLog(network.consensus, state.commit.index);
    const maySign =
      (about.isGuardWhole || hasMigrated) &&
      !this.#isMarked &&
      (about.self === undefined ||
        network.consensus.isVouchedFor(records, { guard: this.#guard.place, self: about.self }));
    this.#isReturning = !maySign;
    return {
      records,
      state,
      due: this.#lastDue(),
      certified: this.#lastCertified(),
      guard: this.#guard,
      maySign,
    };
  }

  async #readLog(protocol: Protocol, executed: number): Promise<readonly LogRecord[]> {
    const records: LogRecord[] = [];
    for await (const logged of this.#log.scan(positionOf(this.state.get(logKeys.replayFrom)))) {
      const record = readable(protocol.readRecord(logged.type, logged.bytes));
      const { batch, ...part } = record;
      const isExecuted = batch !== undefined && batch.index <= executed;
      // Of a batch that is executed the parts may stand before what is read here.
      this.#index.add(isExecuted ? part : record, logged.position);
      records.push(record);
    }
    return records;
  }

  /** Leaves of the newest certified log whose state is kept. */
  get certifiedSize(): number | undefined {
    return this.#lastCertified()?.size;
  }

  /** The network whose data this is; `undefined` for an empty directory. */
  get group(): Digest | undefined {
    const bound = this.state.get(logKeys.group);
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
    if (group === undefined) this.state.write([[logKeys.group, Buffer.from(network.group, "hex")]]);
    if (group === undefined || group === network.group) return false;
    if (group !== network.parent?.network.group)
      throw new StorageError(
        "STORAGE_OTHER_NETWORK",
        `${this.#directory} holds the data of another network than ${genesisFile}; use another [store] dir, or the right genesis`,
      );
    // The guard is the new group's own, in which nothing is signed yet; then the state, in one batch.
    this.#guard = { ...this.#guard, place: 0 };
    await this.#writeGuard();
    await this.#writeGuard();
    this.state.write([
      ...fractionWrites(this.state, network),
      [logKeys.group, Buffer.from(network.group, "hex")],
      [logKeys.replayFrom, positionBytes(this.#log.end)],
    ]);
    await this.state.flushed();
    return true;
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
