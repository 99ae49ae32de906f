import type { LaterEffect, LoopClock } from "../src/app/loop/index.ts";
import { type HostStore, openHostStore } from "../src/app/store/index.ts";
import { type Digest, Prng } from "../src/core/base/index.ts";
import { encode, fields, optional, read, type Shape, text } from "../src/core/codec/index.ts";
import type { AcceptedBatch } from "../src/core/consensus/index.ts";
import { type CommitRange, commitRangeShape } from "../src/core/dag/index.ts";
import {
  blobsOf,
  DirectoryStore,
  type DueRecord,
  decodeChanges,
  decodeState,
  leavesOf,
  lookup,
  type MirrorEvent,
  type MirrorState,
  readUpdate,
  type SignedUpdate,
  stateKeys,
} from "../src/core/mirror/index.ts";
import type { OpinionView } from "../src/core/replica/index.ts";
import type { BlobStore } from "../src/io/ports/index.ts";
import { type DiskPlan, SimDisk } from "./disk.ts";
import type { Proof, Realm } from "./realm.ts";
import { SimBlobStore, SimStateStore } from "./stores.ts";

export const home = "/data";

/** What a host says of itself to whoever asks over HTTP: certified commits, and a newer checkpoint note. */
export interface News {
  readonly range: CommitRange;
  readonly note: string | undefined;
}

const newsShape: Shape<News> = (value, what) => {
  const [range, note] = fields(2)(value, what);
  return {
    range: commitRangeShape(range, `${what}.range`),
    note: optional(text(1 << 16))(note, `${what}.note`) ?? undefined,
  };
};

/** What writers and readers of this world have in common: a disk, stores over it, and lives. */
export abstract class SimHost {
  readonly id: string;
  readonly world: Realm;
  readonly disk: SimDisk;
  readonly state: SimStateStore;
  readonly blobs = new SimBlobStore();
  readonly random: Prng;
  /** What it does is checked; an old copy of a disk ends that, since it may sign again what it signed. */
  isHonest: boolean;
  isUp = false;
  /** Nobody starts it any more. */
  isGone = false;
  /** Stopped by a signal: it sees what happens meanwhile when it goes on. */
  isPaused = false;
  readonly #missed: (() => void)[] = [];
  /** What its disk does to its first life. */
  firstFault: DiskPlan | undefined;
  /** It stopped for good with an error of its own. */
  halted: string | undefined;
  head: { readonly due: DueRecord; readonly note: string } | undefined;
  store: HostStore | undefined;
  /** Lives so far: callbacks of an earlier one are ignored. */
  life = 0;
  readonly #changes = new Map<Digest, Uint8Array>();
  readonly #accepted = new Map<number, AcceptedBatch>();
  /** How far its clock is off, milliseconds, and how fast it gets farther, milliseconds a millisecond. */
  skewMs = 0;
  drift = 0;

  constructor(world: Realm, id: string, isHonest: boolean) {
    this.world = world;
    this.id = id;
    this.isHonest = isHonest;
    this.random = new Prng(world.random.next());
    this.disk = new SimDisk(async () => {
      await world.scheduler.sleep(this.world.syncMs(this.random));
      await new Promise<void>((resolve) => this.whenAwake(resolve));
    });
    this.disk.onCrash = () => this.crash("power");
    this.state = new SimStateStore((work) => void world.scheduler.after(200, work));
  }

  abstract readonly machine: { readonly state: MirrorState } | undefined;
  protected abstract start(life: number): Promise<void>;
  protected abstract stopRunning(): void;

  /** Starts the program on what its disk has. */
  async boot(): Promise<void> {
    if (this.isUp || this.isGone) return;
    this.isUp = true;
    this.world.note("up", this.id, "starts");
    this.halted = undefined;
    const life = ++this.life;
    if (this.firstFault !== undefined) this.disk.plan(this.firstFault);
    this.firstFault = undefined;
    try {
      await this.start(life);
    } catch (error) {
      if (life === this.life) this.fatal(error);
    }
  }

  /** Its disk is replaced by an empty one. */
  loseAll(): void {
    this.disk.remove(home);
    this.state.clear();
    this.blobs.clear();
  }

  /** As by SIGSTOP: nothing is done, peers notice nothing, and then everything at once. */
  pause(forMs: number): void {
    if (!this.isUp || this.isPaused) return;
    this.isPaused = true;
    this.world.scheduler.after(forMs, () => this.#goOn());
  }

  #goOn(): void {
    this.isPaused = false;
    for (const run of this.#missed.splice(0)) run();
  }

  /** Runs now, or once it goes on. */
  protected whenAwake(run: () => void): void {
    if (this.isPaused) this.#missed.push(run);
    else run();
  }

  /** Time as a loop of this life needs it. */
  protected get clock(): LoopClock {
    return {
      nowMs: () => this.wallMs(),
      elapsedMs: () => this.world.scheduler.nowMs,
      after: (ms, then) => this.later(ms, then),
      arrived: () => Promise.resolve(),
    };
  }

  /** Runs later, if this life still lasts then. */
  protected later(ms: number, run: () => void): () => void {
    const { life } = this;
    return this.world.scheduler.after(ms, () =>
      this.whenAwake(() => {
        if (life === this.life) run();
      }),
    );
  }

  wallMs(): number {
    const { nowMs } = this.world.scheduler;
    return Math.floor(this.world.epochMs + nowMs * (1 + this.drift) + this.skewMs);
  }

  protected async open(): Promise<{ readonly store: HostStore; readonly isGuardWhole: boolean }> {
    const { disk, state, blobs } = this;
    return openHostStore(home, {
      files: disk,
      openState: async () => state,
      // Large content does not occur in this world.
      openBlobs: async () => blobs as unknown as BlobStore,
      removeAll: async (path) => {
        if (path === `${home}/state`) state.clear();
        disk.remove(path);
      },
    });
  }

  /** The process dies: by a kill, or with the power, which loses what was not synced. */
  crash(how: "kill" | "power"): void {
    if (this.isUp) {
      this.isUp = false;
      this.world.note("down", this.id, how);
      this.life++;
      this.stopRunning();
    }
    this.isPaused = false;
    this.#missed.length = 0;
    this.#accepted.clear();
    this.#changes.clear();
    if (how === "power") {
      this.disk.powerCut(this.random);
      this.state.powerCut(this.random);
    } else this.disk.kill();
  }

  protected fatal(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.halted = why;
    this.world.check.halted(this, error);
    this.crash("kill");
  }

  protected readonly view = {
    get: (key: string): Uint8Array | undefined => this.state.get(key),
    changes: (digest: Digest): Uint8Array | undefined => this.#changes.get(digest),
  };

  /** What writers and readers perform alike. */
  protected performShared(effect: LaterEffect): boolean {
    const { check } = this.world;
    switch (effect.type) {
      case "accepted":
        check.accepted(this, effect.batch);
        this.world.note("commit", this.id, `commit ${effect.batch.index}`);
        this.#accepted.set(effect.batch.index, effect.batch);
        return true;
      case "executed": {
        const batch = this.#accepted.get(effect.commit);
        this.#accepted.delete(effect.commit);
        if (batch !== undefined) check.executed(this, batch, effect);
        return true;
      }
      case "certified":
        check.certified(this, effect.due, effect.note);
        this.head = { due: effect.due, note: effect.note };
        return true;
      case "certificate":
        check.certificate(this, effect.certificate);
        this.store?.batches.keepCertificate(effect.certificate);
        return true;
      case "evidence":
        this.world.check.found(this, effect.verdict);
        this.#noteProof(effect.verdict);
        return true;
      case "opinion":
        this.#thinks(effect.view);
        return true;
      case "state":
        return true;
      case "dropped":
        this.world.droppedAt(this, effect.code);
        return true;
      default:
        return false;
    }
  }

  /** An update ended here: the checks and whoever waits for it learn so. */
  protected told(event: Extract<MirrorEvent, { type: "finished" }>): void {
    this.world.check.finished(this, event);
    this.world.onFinished(this, event);
  }

  #thinks({ about, opinion }: OpinionView): void {
    this.world.sometimes(`opinion: ${opinion}`);
    this.world.note("opinion", this.id, `w${about} ${opinion}`);
  }

  /** The order convicted a host. */
  protected convicted(proof: Proof): void {
    this.world.check.convicted(this, proof);
    this.#noteProof(proof);
  }

  #noteProof(proof: Proof): void {
    this.#noteOnce(`proof of ${proof.offence.split(" ")[0]} by w${proof.author}`);
  }

  readonly #noted = new Set<string>();

  #noteOnce(text: string): void {
    if (!this.#noted.has(text)) this.world.note("evidence", this.id, text);
    this.#noted.add(text);
  }

  /** Brings a change list and all it names here, from whoever has it; false if this life ended meanwhile. */
  protected async bring(ref: { readonly digest: Digest }): Promise<boolean> {
    const { life } = this;
    if (!(await this.#bringBlob(ref.digest))) return false;
    const bytes = await this.blobs.read(ref.digest);
    const list = decodeChanges(bytes);
    if (list.ok)
      for (const digest of blobsOf(list.value).keys())
        if (!(await this.#bringBlob(digest))) return false;
    if (life !== this.life) return false;
    this.#changes.set(ref.digest, bytes);
    return true;
  }

  async #bringBlob(digest: Digest): Promise<boolean> {
    const { life } = this;
    const lives = (): boolean => life === this.life && this.isUp;
    while (lives() && !this.blobs.has(digest)) {
      const bytes = await this.world.content(this, digest);
      if (lives() && bytes !== undefined) await this.#keep(digest, bytes);
      if (!this.blobs.has(digest)) await this.world.scheduler.sleep(200 + this.random.below(500));
    }
    return lives();
  }

  async #keep(digest: Digest, bytes: Uint8Array): Promise<void> {
    try {
      await this.blobs.putSmall([{ digest, bytes }]);
    } catch {
      this.world.sometimes("wrong content refused");
    }
  }

  /** A pending update, as its publisher signed it. */
  protected pendingUpdate(id: Digest): SignedUpdate | undefined {
    const pending = this.machine?.state.pending.get(id);
    if (pending === undefined) return undefined;
    const { signatures } = this.world;
    const update = readUpdate(pending.wire, undefined, signatures.verifier);
    return update.ok ? update.value : undefined;
  }

  /** The commit up to which its store has executed: writing may be a moment behind. */
  get storedCommit(): number {
    const stored = this.state.get(stateKeys.mirror);
    const state = stored === undefined ? undefined : decodeState(stored);
    return state?.ok === true ? state.value.commit.index : 0;
  }

  get #directories(): DirectoryStore {
    const read = (root: Digest): Uint8Array | undefined => this.state.get(stateKeys.node(root));
    return new DirectoryStore(read, () => undefined);
  }

  /** What stands at a path of the newest state here; undefined where nothing does. */
  contentAt(tree: string, path: string): Digest | undefined {
    const names = [tree, ...path.split("/")];
    const entry = lookup(this.#directories, this.machine?.state.trees, names);
    return entry?.kind === "file" ? entry.digest : undefined;
  }

  /** All files of the newest state here. */
  *files(): Generator<{ readonly path: string; readonly digest: Digest }> {
    for (const { path, leaf } of leavesOf(this.#directories, this.machine?.state.trees))
      if (leaf.kind === "file") yield { path, digest: leaf.digest };
  }

  /** The answer to a follower, as bytes. */
  async answer(after: number, size: number): Promise<Uint8Array | undefined> {
    const { life, store } = this;
    if (store === undefined || !this.isUp || this.isPaused) return undefined;
    try {
      const range = await store.batches.range(after);
      if (life !== this.life) return undefined;
      const note = (this.head?.due.size ?? 0) > size ? (this.head?.note ?? null) : null;
      return encode([this.world.network.consensus.rangeValue(range), note]);
    } catch (error) {
      return this.unreadable(error);
    }
  }

  /** What cannot be read is not served, and no reason to stop: others have it. */
  protected unreadable(error: unknown): undefined {
    if (this.world.hadDiskFault(this)) this.world.sometimes("a damaged record was not served");
    else this.world.check.halted(this, error);
  }

  /** What execution left in the log; `undefined` if this life ended meanwhile. */
  protected async readBack(range: {
    readonly after: number;
    readonly until: number;
  }): Promise<readonly AcceptedBatch[] | undefined> {
    const { life, store } = this;
    this.world.sometimes("batches were read back from the log");
    const batches = await store?.batches
      .batches(range.after, range.until)
      .catch((error) => this.unreadable(error));
    return life === this.life ? (batches ?? []) : undefined;
  }

  protected readNews(bytes: Uint8Array): News | undefined {
    const news = read(bytes, newsShape, "answer");
    return news.ok ? news.value : undefined;
  }
}
