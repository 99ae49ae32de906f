import {
  type Author,
  allAtOnce,
  assert,
  bigEndian,
  type Digest,
  Height,
  limits,
  type PublicKey,
  type Steps,
} from "../base/index.ts";
import { type AboutHost, onEvidence, onOpinion, onOrigin, onPardon } from "./about-hosts.ts";
import { type Appended, onAppend, readAppend } from "./append.ts";
import { readingChanges } from "./changes.ts";
import { DirectoryStore, type NodeReader } from "./directory.ts";
import type {
  Executed,
  MirrorConfig,
  MirrorView,
  OrderedBatch,
  OrderedMessage,
} from "./execution.ts";
import { stateKeys } from "./keys.ts";
import type { OutcomeCode } from "./leaves.ts";
import { Ledger } from "./ledger.ts";
import { isTreeName } from "./path.ts";
import { recordingHistory } from "./path-history.ts";
import { completedBy, roomFor } from "./pending.ts";
import { changePolicy, makeRoomFor, mayWrite, quotaOf } from "./policy.ts";
import { PublishingRoom } from "./publishing-room.ts";
import { encodeOutcome } from "./records.ts";
import { hourOf, type MirrorState, type PendingUpdate } from "./state.ts";
import { applyingChanges } from "./tree.ts";
import {
  messageKinds,
  readHeld,
  readPolicy,
  readUpdate,
  type SignedPolicy,
  type SignedUpdate,
} from "./update.ts";

/** What a message costs at least, as a step counts it: a signature is verified. */
const messageWork = 10;

class NeedsChanges extends Error {
  readonly update: SignedUpdate;
  constructor(update: SignedUpdate) {
    super("a change list is missing");
    this.update = update;
  }
}

/**
 * Executes one batch: the replicated state machine of trees. Pure: the same state and batch give the same
 * state, writes and events on every host; either all of the batch happens or nothing.
 */
export function execute(
  state: MirrorState,
  batch: OrderedBatch,
  use: { view: MirrorView; config: MirrorConfig },
): Executed {
  assert(batch.index === state.commit.index + 1, "batches are executed in order");
  return allAtOnce(executing(state, batch, use));
}

/** {@link execute} in steps. Until the last of them nothing has happened; they may be left at any time. */
export function* executing(
  state: MirrorState,
  batch: OrderedBatch,
  use: { view: MirrorView; config: MirrorConfig },
): Steps<Executed> {
  const run = new Execution(state, batch, use);
  try {
    return yield* run.execute();
  } catch (error) {
    if (!(error instanceof NeedsChanges)) throw error;
    return { kind: "needs", changes: error.update.record.changes.digest, update: error.update.id };
  }
}

class Execution {
  readonly #batch: OrderedBatch;
  readonly #view: MirrorView;
  readonly #config: MirrorConfig;
  readonly #ledger: Ledger;
  readonly #appends: (Appended | undefined)[] = [];
  readonly #store: DirectoryStore;
  readonly #pending: Map<Digest, PendingUpdate>;
  /** Updates of this hour, by publisher, once this batch takes one. */
  #taken: Map<PublicKey, number> | undefined;
  readonly #room = new PublishingRoom();
  readonly #required = new PublishingRoom();

  constructor(
    state: MirrorState,
    batch: OrderedBatch,
    use: { view: MirrorView; config: MirrorConfig },
  ) {
    this.#ledger = new Ledger(state, use.view);
    this.#batch = batch;
    this.#view = use.view;
    this.#config = use.config;
    this.#pending = new Map(state.pending);
    const read: NodeReader = (root) => this.#ledger.get(stateKeys.node(root));
    this.#store = new DirectoryStore(read, (root, node) =>
      this.#ledger.writes.set(stateKeys.node(root), node),
    );
  }

  *execute(): Steps<Executed> {
    const { index, digest, tsMs, applications, messages } = this.#batch;
    this.#ledger.state = { ...this.#ledger.state, commit: { index, digest }, tsMs };
    if (applications > 0 || messages.length > 0) yield* this.#executeContent();
    const [state, writes, events, appends] = [
      this.#ledger.state,
      this.#ledger.writes,
      this.#ledger.events,
      this.#appends,
    ];
    return { kind: "executed", state, writes, events, appends };
  }

  /**
   * Commits that order nothing leave no trace but their number and time: an idle round must cost next to nothing, and in
   * a network that has gone quiet nobody votes for them. What they did, no reader could follow.
   */
  *#executeContent(): Steps<void> {
    const { index, digest, tsMs, applications, messages } = this.#batch;
    this.#ledger.append({ kind: "commit", index, digest, tsMs });
    const before = this.#ledger.state.messages;
    // Plain messages of a commit come first, then what clients number.
    this.#ledger.state = { ...this.#ledger.state, messages: before + applications };
    // First, since the network may have been quiet for long: what is too old is not completed any more.
    this.#expire();
    yield* this.#requireLists();
    for (const message of messages) {
      yield messageWork;
      yield* this.#onMessage(message);
    }
    if (this.#ledger.state.messages > before)
      this.#ledger.writes.set(stateKeys.messages(before), bigEndian(index, 6));
    if (this.#appends.length > 0)
      this.#ledger.writes.set(stateKeys.appended(index), this.#newAppends());
    this.#ledger.checkpoint();
    this.#ledger.state = { ...this.#ledger.state, pending: this.#pending };
  }

  *#onMessage(message: OrderedMessage): Steps<void> {
    // Proofs alone may be longer: what else is ordered is kept whole, and asked for.
    if (message.kind !== messageKinds.evidence && message.bytes.length > limits.messageBytesMax) {
      if (message.kind === messageKinds.append) this.#appends.push(undefined);
      return this.#ledger.ignore("MESSAGE_TOO_LONG", message.author);
    }
    switch (message.kind) {
      case messageKinds.update:
        return this.#onUpdate(message);
      case messageKinds.held:
        return yield* this.#onHeld(message);
      case messageKinds.policy:
        return this.#onPolicy(message);
      case messageKinds.opinion:
        return this.#onHost(message, onOpinion(message.bytes, message.author, this.#around));
      case messageKinds.evidence:
        return this.#onHost(message, onEvidence(message.bytes, message.author, this.#around));
      case messageKinds.pardon:
        return this.#onHost(message, onPardon(message.bytes, this.#config, this.#around));
      case messageKinds.origin:
        return this.#onHost(message, onOrigin(message.bytes, this.#around));
      case messageKinds.append:
        return this.#onAppend(message);
      default:
        return this.#ledger.ignore("UNKNOWN_MESSAGE", message.author);
    }
  }

  #onAppend({ bytes, author }: OrderedMessage): void {
    const read = readAppend(bytes, this.#config.group, this.#config.verifier);
    const { messages: next, appends: turn } = this.#ledger.state;
    const done = read.ok
      ? onAppend(read.value.record, { get: (key) => this.#ledger.get(key), next, turn })
      : read;
    this.#appends.push(done.ok ? done.value.place : undefined);
    if (!done.ok) return this.#ledger.ignore(done.error.code, author);
    const { place, writes } = done.value;
    if (!place.isNew) return this.#ledger.ignore("REPEATED_APPEND", author);
    for (const [key, value] of writes) this.#ledger.writes.set(key, value);
    this.#ledger.state = { ...this.#ledger.state, messages: next + place.count, appends: turn + 1 };
  }

  /** One byte a record of a client: 1 where it was ordered anew. */
  #newAppends(): Uint8Array {
    return Uint8Array.from(this.#appends, (place) => Number(place?.isNew === true));
  }

  get #around(): Parameters<typeof onEvidence>[2] {
    const { court } = this.#config;
    return { state: this.#ledger.state, get: (key) => this.#ledger.get(key), court };
  }

  #onHost({ author }: OrderedMessage, about: AboutHost): void {
    if (about.kind === "ignored") return this.#ledger.ignore(about.code, author);
    this.#ledger.state = about.state;
    const leaf = about.leaf === undefined ? 0 : this.#ledger.append(about.leaf);
    for (const [key, value] of about.writes?.(leaf) ?? []) this.#ledger.writes.set(key, value);
    this.#ledger.events.push(about.event);
  }

  /** Whose publishers' records count. */
  get #groups(): ReadonlySet<Digest> {
    return new Set([...this.#config.groups, ...this.#ledger.state.origins]);
  }

  #isKnown(id: Digest): boolean {
    return this.#pending.has(id) || this.#ledger.get(stateKeys.update(id)) !== undefined;
  }

  #onUpdate({ bytes, author }: OrderedMessage): void {
    const read = readUpdate(bytes, this.#groups, this.#config.verifier);
    if (!read.ok) return this.#ledger.ignore(read.error.code, author);
    const update = read.value;
    if (this.#isKnown(update.id)) return this.#ledger.ignore("DUPLICATE_UPDATE", author);
    if (!this.#isPermitted(update)) return this.#finish(update, "not-permitted");
    const room = roomFor(update.record.publisher, this.#pending);
    if (!room.isThere) return this.#finish(update, "busy");
    if (!this.#take(update.record.publisher)) return this.#finish(update, "over-quota");
    if (room.leaves !== undefined) this.#finish(this.#pendingUpdate(room.leaves), "busy");
    const { tsMs } = this.#ledger.state;
    this.#pending.set(update.id, {
      id: update.id,
      publisher: update.record.publisher,
      wire: bytes,
      acceptedMs: tsMs,
      heldBy: new Set(),
    });
    this.#ledger.events.push({ type: "accepted", update, author });
  }

  /** Counts one more update of a publisher; false if he has had his hour's. */
  #take(publisher: PublicKey): boolean {
    const hour = hourOf(this.#ledger.state.tsMs);
    const { taken, policy } = this.#ledger.state;
    this.#taken ??= new Map(taken.hour === hour ? taken.updates : []);
    const count = (this.#taken.get(publisher) ?? 0) + 1;
    if (count > quotaOf(policy, publisher)) return false;
    if (count === 1) makeRoomFor(this.#taken, policy);
    this.#taken.set(publisher, count);
    this.#ledger.state = { ...this.#ledger.state, taken: { hour, updates: this.#taken } };
    return true;
  }

  #isPermitted({ record }: SignedUpdate): boolean {
    return isTreeName(record.tree) && mayWrite(this.#ledger.state.policy, record);
  }

  /** Were a list missed only when its turn comes, all before it would be done again for each. */
  *#requireLists(): Steps<void> {
    for (const [pending, holders] of completedBy(this.#batch, this.#pending)) {
      if (holders.size < this.#config.heldQuorum) continue;
      yield messageWork;
      const update = this.#pendingUpdate(pending);
      const { publisher, changes } = update.record;
      if (!this.#isPublishedBy(update, holders)) continue;
      // What has no room is not read.
      if (!this.#required.takeBytes(publisher, changes.bytes)) continue;
      if (this.#view.changes(changes.digest) === undefined) throw new NeedsChanges(update);
    }
  }

  #isPublishedBy({ record }: SignedUpdate, holders: ReadonlySet<Author>): boolean {
    const observers = record.source?.observers ?? 0;
    return holders.size >= Math.max(this.#config.heldQuorum, observers);
  }

  *#onHeld({ bytes, author }: OrderedMessage): Steps<void> {
    const ids = readHeld(bytes);
    if (!ids.ok) return this.#ledger.ignore(ids.error.code, author);
    for (const id of ids.value) {
      const pending = this.#pending.get(id);
      if (pending === undefined || pending.heldBy.has(author)) continue;
      const heldBy = new Set([...pending.heldBy, author]);
      this.#pending.set(id, { ...pending, heldBy });
      if (heldBy.size < this.#config.heldQuorum) continue;
      const update = this.#pendingUpdate(pending);
      if (this.#isPublishedBy(update, heldBy)) yield* this.#publish(update);
    }
  }

  #pendingUpdate(pending: PendingUpdate): SignedUpdate {
    const read = readUpdate(pending.wire, undefined, this.#config.verifier);
    assert(read.ok, "a pending update was read before");
    return read.value;
  }

  /** Rights are asked for again: a policy change that was ordered in between counts. */
  *#publish(update: SignedUpdate): Steps<void> {
    if (!this.#isPermitted(update)) return this.#finish(update, "not-permitted");
    const { publisher, changes: list } = update.record;
    if (!this.#room.takeBytes(publisher, list.bytes)) return this.#finish(update, "busy");
    const bytes = this.#view.changes(list.digest);
    if (bytes === undefined) throw new NeedsChanges(update);
    const changes = yield* readingChanges(bytes);
    const isTrue =
      changes.ok &&
      changes.value.tree === update.record.tree &&
      bytes.length === update.record.changes.bytes;
    if (!isTrue) return this.#finish(update, "malformed");
    if (!this.#room.takeChanges(publisher, changes.value.changes.length))
      return this.#finish(update, "busy");
    const { trees } = this.#ledger.state;
    const tree = this.#store.get(trees, update.record.tree);
    const root = tree?.kind === "directory" ? tree.root : undefined;
    const applied = yield* applyingChanges(this.#store, root, changes.value.changes);
    if (applied.kind === "conflict") return this.#finish(update, "conflict", applied.paths);
    const entry =
      applied.root === undefined
        ? undefined
        : { kind: "directory" as const, root: applied.root, count: applied.count };
    const now = this.#store.edit(trees, new Map([[update.record.tree, entry]]));
    this.#ledger.state = { ...this.#ledger.state, trees: now?.root };
    this.#finish(update, "published");
    yield* recordingHistory(changes.value, {
      get: (key) => this.#ledger.get(key),
      put: (key, value) => this.#ledger.writes.set(key, value),
      at: this.#ledger.state,
    });
  }

  #finish(update: SignedUpdate, outcome: OutcomeCode, conflicts: readonly string[] = []): void {
    const isPublished = outcome === "published";
    const height = isPublished ? Height(this.#ledger.state.height + 1) : Height(0);
    const { publisher, tree, changes, source } = update.record;
    this.#pending.delete(update.id);
    const leaf = this.#ledger.append({
      kind: "update",
      id: update.id,
      publisher,
      tree,
      changes: changes.digest,
      outcome,
      height,
      conflicts,
      source: source === undefined ? "" : `${source.kind} ${source.url}`,
    });
    const record = { outcome, height, leaf, conflicts, wire: update.wire };
    this.#ledger.writes.set(stateKeys.update(update.id), encodeOutcome(record));
    if (isPublished)
      this.#ledger.rise({
        by: update.id,
        tree,
        changes: changes.digest,
        changesBytes: changes.bytes,
      });
    this.#ledger.events.push({ type: "finished", id: update.id, outcome, height });
  }

  #onPolicy({ bytes, author }: OrderedMessage): void {
    const read = readPolicy(bytes, this.#config.group, this.#config.verifier);
    if (!read.ok) return this.#ledger.ignore(read.error.code, author);
    if (this.#isKnown(read.value.id)) return this.#ledger.ignore("DUPLICATE_UPDATE", author);
    const changed = changePolicy(this.#ledger.state.policy, read.value.record);
    if (changed.ok) {
      this.#ledger.state = { ...this.#ledger.state, policy: changed.value };
      return this.#finishPolicy(read.value, "published");
    }
    if (changed.error.code === "NOT_ADMINISTRATOR")
      return this.#ledger.ignore(changed.error.code, author);
    this.#finishPolicy(
      read.value,
      changed.error.code === "STALE_POLICY" ? "stale-policy" : "malformed",
    );
  }

  #finishPolicy({ id, wire }: SignedPolicy, outcome: OutcomeCode): void {
    const height = outcome === "published" ? Height(this.#ledger.state.height + 1) : Height(0);
    const leaf = this.#ledger.append({ kind: "policy", id, outcome, height });
    this.#ledger.writes.set(
      stateKeys.update(id),
      encodeOutcome({ outcome, height, leaf, conflicts: [], wire }),
    );
    if (outcome === "published")
      this.#ledger.rise({ by: id, tree: "", changes: undefined, changesBytes: 0 });
    this.#ledger.events.push({ type: "finished", id, outcome, height });
  }

  #expire(): void {
    const before = this.#ledger.state.tsMs - limits.pendingUpdateMs;
    for (const pending of [...this.#pending.values()]) {
      if (pending.acceptedMs >= before) return;
      this.#finish(this.#pendingUpdate(pending), "expired");
    }
  }
}
