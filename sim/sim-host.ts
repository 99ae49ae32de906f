import { type HostStore, type LaterEffect, openHostStore } from "../src/app/host/index.ts";
import type { AcceptedBatch, CommitRange } from "../src/core/acceptance/index.ts";
import { commitRangeShape, commitRangeValue } from "../src/core/acceptance/index.ts";
import { type Digest, Prng } from "../src/core/base/index.ts";
import { encode, fields, optional, read, type Shape, text } from "../src/core/codec/index.ts";
import {
  blobsOf,
  type DueRecord,
  decodeChanges,
  type MirrorState,
} from "../src/core/mirror/index.ts";
import type { BlobStore } from "../src/io/ports/index.ts";
import { SimDisk } from "./disk.ts";
import type { Realm } from "./realm.ts";
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
  /** It stopped for good with an error of its own. */
  halted: string | undefined;
  head: { readonly due: DueRecord; readonly note: string } | undefined;
  store: HostStore | undefined;
  /** Lives so far: callbacks of an earlier one are ignored. */
  protected life = 0;
  readonly #changes = new Map<Digest, Uint8Array>();
  readonly #accepted = new Map<number, AcceptedBatch>();
  /** Skew of its clock, and how far it drifts, milliseconds. */
  skewMs = 0;

  constructor(world: Realm, id: string, isHonest: boolean) {
    this.world = world;
    this.id = id;
    this.isHonest = isHonest;
    this.random = new Prng(world.random.next());
    this.disk = new SimDisk(() => world.scheduler.sleep(this.world.syncMs(this.random)));
    this.disk.onCrash = () => this.crash("power");
    this.state = new SimStateStore((work) => void world.scheduler.after(200, work));
  }

  abstract readonly machine: { readonly state: MirrorState } | undefined;
  abstract boot(): Promise<void>;
  protected abstract stopRunning(): void;

  wallMs(): number {
    return Math.floor(this.world.epochMs + this.world.scheduler.nowMs + this.skewMs);
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
        if (batch !== undefined) check.executed(this, batch, effect.firstMessage);
        return true;
      }
      case "certified":
        check.certified(this, effect.due);
        this.head = { due: effect.due, note: effect.note };
        return true;
      case "certificate":
        this.store?.commits.keepCertificate(effect.certificate);
        return true;
      case "evidence":
        check.evidence(this, effect.evidence);
        this.#noteOnce(`proof of ${effect.evidence.kind} by w${effect.evidence.author}`);
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

  protected forgetChanges(digest: Digest): void {
    this.#changes.delete(digest);
  }

  /** The answer to a follower, as bytes. */
  async answer(after: number, size: number): Promise<Uint8Array | undefined> {
    const { life, store } = this;
    if (store === undefined || !this.isUp) return undefined;
    const range = await store.commits.range(after);
    if (life !== this.life) return undefined;
    const note = (this.head?.due.size ?? 0) > size ? (this.head?.note ?? null) : null;
    return encode([commitRangeValue(range), note]);
  }

  protected readNews(bytes: Uint8Array): News | undefined {
    const news = read(bytes, newsShape, "answer");
    return news.ok ? news.value : undefined;
  }
}
