import {
  type Digest,
  fail,
  limits,
  ok,
  type PublicKey,
  type Result,
  type Steps,
} from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { sha256, type Verifier } from "../../core/crypto/index.ts";
import {
  blobsOf,
  hourMs,
  hourOf,
  type MirrorState,
  mayWrite,
  messageKinds,
  quotaOf,
  readingChanges,
  readPolicy,
  readUpdate,
  type SignedUpdate,
  type UpdateRecord,
} from "../../core/mirror/index.ts";
import { groupsOf } from "../../core/split/index.ts";
import { type BlobStore, StorageError } from "../../io/ports/index.ts";
import { BlobError } from "../../io/storage/index.ts";
import { readAll, readBulk, ServerError } from "../client/index.ts";
import type { BlobBase, PublishDesk } from "../gateway/index.ts";
import { inTurns, SharedRoom } from "../pace/index.ts";
import { spliceBlob } from "../replication/index.ts";
import { makeRoom, type Open } from "./publish-room.ts";

/** Bytes of change lists that are being received, of each publisher and of all. */
const receivedMax = { own: limits.changeListBytesMax, all: 4 * limits.changeListBytesMax };
const storeBatchBytes = 4 * 1024 * 1024;

/** What the desk needs of the writer behind it. */
export interface DeskWriter {
  readonly state: MirrorState;
  readonly whyNot: { readonly code: string; readonly detail: string } | undefined;
  /** Published or refused. */
  hasOutcome(id: Digest): boolean;
  /** Puts an update whose bytes are all here into the next block; one that waits in the order is held instead. */
  order(update: SignedUpdate): void;
  orderSigned(kind: number, wire: Uint8Array): void;
}

/** Takes updates from publishers: checks first, bytes second, and orders only what is complete. */
export class Desk implements PublishDesk {
  readonly #network: Network;
  readonly #verifier: Verifier;
  readonly #blobs: BlobStore;
  readonly #writer: DeskWriter;
  readonly #keepAtHand: (digest: Digest, bytes: Uint8Array) => void;
  readonly #open = new Map<Digest, Open>();
  readonly #received = new SharedRoom<PublicKey>(receivedMax);
  /** Submitted, and not yet seen in the order. */
  readonly #ordered = new Map<Digest, Open>();

  constructor(options: {
    readonly network: Network;
    readonly verifier: Verifier;
    readonly blobs: BlobStore;
    readonly writer: DeskWriter;
    /** Told of change lists that are in the store now. */
    readonly keepAtHand: (digest: Digest, bytes: Uint8Array) => void;
  }) {
    this.#network = options.network;
    this.#verifier = options.verifier;
    this.#blobs = options.blobs;
    this.#writer = options.writer;
    this.#keepAtHand = options.keepAtHand;
  }

  async open(
    wire: Uint8Array,
  ): Promise<
    Result<{ readonly id: Digest; readonly state: "needs-changes" | "open" | "ordered" }>
  > {
    const update = readUpdate(wire, this.#groups, this.#verifier);
    if (!update.ok) return update;
    const { id, record } = update.value;
    if (this.#writer.hasOutcome(id)) return ok({ id, state: "ordered" });
    const { digest, bytes } = record.changes;
    if ((this.#blobs.size(digest) ?? bytes) !== bytes)
      return fail("WRONG_SIZE", "the change list has another length");
    const refused = this.#refusal(record);
    if (refused !== undefined) return refused;
    this.#forgetOrdered();
    if (!this.#open.has(id) && !makeRoom(this.#open, this.#ordered))
      return fail("BUSY", "too many updates wait for the order here; try again later");
    const blobs = this.#open.get(id)?.blobs ?? this.#sharedBlobs(digest);
    const found: Open = { update: update.value, blobs, hereUntil: 0 };
    this.#open.set(id, found);
    if (this.#blobs.has(digest)) {
      found.blobs ??= await this.#knownBlobs(digest);
      makeRoom(this.#open, this.#ordered);
    }
    return ok({ id, state: found.blobs === undefined ? "needs-changes" : "open" });
  }

  /** Why this writer takes no such update now. */
  #refusal(record: UpdateRecord): Result<never> | undefined {
    const { whyNot, state } = this.#writer;
    if (whyNot !== undefined) return fail(whyNot.code, whyNot.detail);
    if (!mayWrite(state.policy, record)) {
      const key = record.publisher.slice(0, 16);
      return fail("NOT_PERMITTED", `the key ${key}… may not write the tree "${record.tree}"`);
    }
    const quota = quotaOf(state.policy, record.publisher);
    if (hasHadHisHour(state, record.publisher, quota))
      return fail(
        "OVER_QUOTA",
        `${quota} updates of this publisher were taken since ${new Date(state.taken.hour * hourMs).toISOString()}, as many as it has an hour; try again after the hour, or let an administrator raise it: smalti publisher grant --per-hour`,
      );
    if ((record.source?.observers ?? 0) > this.#network.writers.length)
      return fail("BAD_REQUEST", "it asks for more observers than there are writers");
    return undefined;
  }

  /** What a list names, from another update that has the same list. */
  #sharedBlobs(changes: Digest): ReadonlyMap<Digest, number> | undefined {
    for (const { update, blobs } of [...this.#open.values(), ...this.#ordered.values()])
      if (blobs !== undefined && update.record.changes.digest === changes) return blobs;
    return undefined;
  }

  async #knownBlobs(changes: Digest): Promise<ReadonlyMap<Digest, number> | undefined> {
    const decoded = await inTurns(readingChanges(await this.#blobs.read(changes)));
    if (!decoded.ok) return undefined;
    return this.#sharedBlobs(changes) ?? blobsOf(decoded.value);
  }

  /** Whose publishers' records count here. */
  get #groups(): ReadonlySet<Digest> {
    return new Set([...groupsOf(this.#network), ...this.#writer.state.origins]);
  }

  /** The open update, touched so that it is the last to make room. */
  #find(id: Digest): Result<Open> {
    const found = this.#open.get(id);
    if (found === undefined)
      return fail("NOT_OPEN", "no such update is open here; send its record first");
    this.#open.delete(id);
    this.#open.set(id, found);
    return ok(found);
  }

  async putChanges(
    id: Digest,
    content: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly blobs: number }>> {
    const found = this.#find(id);
    if (!found.ok) return found;
    const { publisher, changes } = found.value.update.record;
    if (!this.#received.take(publisher, changes.bytes))
      return fail("BUSY", "too many change lists are being received here; try again later");
    try {
      const bytes = await takeChanges(found.value, content, this.#blobs);
      if (!bytes.ok) return bytes;
      this.#keepAtHand(changes.digest, bytes.value);
    } finally {
      this.#received.give(publisher, changes.bytes);
    }
    makeRoom(this.#open, this.#ordered);
    return ok({ blobs: found.value.blobs?.size ?? 0 });
  }

  async missing(
    id: Digest,
    limit: number,
  ): Promise<Result<readonly { readonly digest: Digest; readonly size: number }[]>> {
    const found = this.#find(id);
    if (!found.ok) return found;
    return ok(await inTurns(missingOf(found.value, this.#blobs, limit)));
  }

  async putBlobs(
    id: Digest,
    content: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly stored: number }>> {
    const found = this.#find(id);
    return found.ok ? takeBlobs(found.value, content, this.#blobs) : found;
  }

  async putLarge(
    id: Digest,
    {
      digest,
      offset,
      base,
    }: { readonly digest: Digest; readonly offset: number; readonly base?: BlobBase },
    content: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly complete: boolean }>> {
    const found = this.#find(id);
    if (!found.ok) return found;
    const size = found.value.blobs?.get(digest);
    if (size === undefined) return fail("NOT_NAMED", "the update does not name this blob");
    if (base !== undefined && (this.#blobs.size(base.digest) ?? 0) < base.prefix + base.suffix)
      return fail("INCOMPLETE", "the base is not here, or shorter than what is taken of it");
    const whole = base === undefined ? content : spliceBlob(this.#blobs, base, content);
    const blob = { digest, size, offset, by: bringer(found.value) };
    return refusing(async () => ok({ complete: await this.#blobs.putLarge(blob, whole) }));
  }

  async offset(id: Digest, digest: Digest): Promise<Result<number>> {
    const found = this.#find(id);
    if (!found.ok) return found;
    const own = (): Promise<number> => this.#blobs.partialSize(digest, bringer(found.value));
    return ok(this.#blobs.size(digest) ?? (await own()));
  }

  async submit(id: Digest): Promise<Result<{ readonly state: "ordered" }>> {
    if (this.#writer.hasOutcome(id)) return ok({ state: "ordered" });
    const found = this.#find(id);
    if (!found.ok) return found;
    if (this.#writer.whyNot !== undefined)
      return fail(this.#writer.whyNot.code, this.#writer.whyNot.detail);
    const fault = await inTurns(completeness(found.value, this.#blobs));
    if (fault !== undefined) {
      found.value.hereUntil = 0;
      return fault;
    }
    // It took a while.
    if (this.#writer.hasOutcome(id)) return ok({ state: "ordered" });
    this.#writer.order(found.value.update);
    this.#open.delete(id);
    this.#forgetOrdered();
    this.#ordered.set(id, found.value);
    return ok({ state: "ordered" });
  }

  /** Those that the order has by now. */
  #forgetOrdered(): void {
    for (const id of this.#ordered.keys()) {
      const isInOrder = this.#writer.hasOutcome(id) || this.#writer.state.pending.has(id);
      if (isInOrder) this.#ordered.delete(id);
    }
  }

  /** True for content of an update that was begun here and is not settled. */
  reserves(digest: Digest): boolean {
    this.#forgetOrdered();
    for (const { update, blobs } of [...this.#open.values(), ...this.#ordered.values()])
      if (update.record.changes.digest === digest || blobs?.has(digest) === true) return true;
    return false;
  }

  async policy(wire: Uint8Array): Promise<Result<{ readonly id: Digest }>> {
    const change = readPolicy(wire, this.#network.group, this.#verifier);
    if (!change.ok) return change;
    if (this.#writer.hasOutcome(change.value.id)) return ok({ id: change.value.id });
    if (this.#writer.whyNot !== undefined)
      return fail(this.#writer.whyNot.code, this.#writer.whyNot.detail);
    if (!this.#writer.state.policy.administrators.includes(change.value.record.administrator)) {
      return fail("NOT_PERMITTED", "the key is not an administrator's");
    }
    this.#writer.orderSigned(messageKinds.policy, wire);
    return ok({ id: change.value.id });
  }
}

/** Whether the order would refuse one more update now. While nothing is ordered its clock stands still. */
function hasHadHisHour({ taken, tsMs }: MirrorState, publisher: PublicKey, quota: number): boolean {
  const hour = hourOf(Math.max(tsMs, Date.now()));
  return taken.hour === hour && (taken.updates.get(publisher) ?? 0) >= quota;
}

/** The first blobs of an update that are not here, up to `limit`. */
function* missingOf(
  open: Open,
  blobs: BlobStore,
  limit: number,
): Steps<readonly { readonly digest: Digest; readonly size: number }[]> {
  const missing: { digest: Digest; size: number }[] = [];
  let place = 0;
  for (const [digest, size] of open.blobs ?? []) {
    if (missing.length >= limit) break;
    if (place++ < open.hereUntil) continue;
    yield 1;
    if (!blobs.has(digest)) missing.push({ digest, size });
    else if (missing.length === 0) open.hereUntil = place;
  }
  return missing;
}

function* completeness(found: Open, blobs: BlobStore): Steps<Result<never> | undefined> {
  if (found.blobs === undefined) return fail("INCOMPLETE", "the change list is not here");
  for (const [digest, size] of found.blobs) {
    yield 1;
    const present = blobs.size(digest);
    if (present === undefined) return fail("INCOMPLETE", `blob ${digest} is not here`);
    if (present !== size)
      return fail("WRONG_SIZE", `blob ${digest} has ${present} bytes, not ${size}`);
  }
  return undefined;
}

/** A publisher's wrong bytes are an answer; everything else is not his fault. */
async function refusing<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BlobError) return fail(error.code, error.message);
    if (error instanceof ServerError) return fail(error.code, error.message);
    if (error instanceof StorageError) throw error;
    // What is left is a body that is cut short or breaks its form.
    return fail("BAD_REQUEST", error instanceof Error ? error.message : String(error));
  }
}

async function takeChanges(
  found: Open,
  content: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
): Promise<Result<Uint8Array>> {
  const { changes, tree } = found.update.record;
  const max = Math.min(changes.bytes, limits.changeListBytesMax);
  const read = await refusing(async () => ok(await readAll(content, max, "change list")));
  if (!read.ok) return read;
  const bytes = read.value;
  if (bytes.length !== changes.bytes || sha256(bytes) !== changes.digest) {
    return fail("BLOB_CORRUPT", "the bytes are not the change list that the record names");
  }
  const decoded = await inTurns(readingChanges(bytes));
  if (!decoded.ok) return decoded;
  if (decoded.value.tree !== tree)
    return fail("BAD_TREE", "record and change list name different trees");
  return refusing(async () => {
    await keep(blobs, { digest: changes.digest, bytes, by: bringer(found) });
    found.blobs = blobsOf(decoded.value);
    return ok(bytes);
  });
}

/** Publishers are not in one another's way: what one leaves unfinished, another does not have to finish. */
function bringer({ update }: Open): string {
  return update.record.publisher.slice(0, 32);
}

async function keep(
  blobs: BlobStore,
  { digest, bytes, by }: { readonly digest: Digest; readonly bytes: Uint8Array; by: string },
): Promise<void> {
  if (bytes.length <= limits.packedBlobBytesMax) return blobs.putSmall([{ digest, bytes }]);
  const pieces = (async function* () {
    yield bytes;
  })();
  await blobs.putLarge({ digest, size: bytes.length, offset: 0, by }, pieces);
}

async function takeBlobs(
  found: Open,
  content: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
): Promise<Result<{ readonly stored: number }>> {
  let stored = 0;
  let batch: { digest: Digest; bytes: Uint8Array }[] = [];
  let bytes = 0;
  return refusing(async () => {
    for await (const item of readBulk(content, limits.packedBlobBytesMax)) {
      if (found.blobs?.get(item.digest) !== item.bytes.length) {
        return fail(
          "NOT_NAMED",
          `the update names no blob ${item.digest} of ${item.bytes.length} bytes`,
        );
      }
      batch.push(item);
      stored++;
      bytes += item.bytes.length;
      if (bytes < storeBatchBytes) continue;
      await blobs.putSmall(batch);
      batch = [];
      bytes = 0;
    }
    await blobs.putSmall(batch);
    return ok({ stored });
  });
}
