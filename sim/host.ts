import { commitRangeShape, commitRangeValue, type Segment } from "../src/core/acceptance/index.ts";
import type { AcceptedBatch, CommitRange } from "../src/core/acceptance/index.ts";
import { type Author, type Digest, limits, Prng } from "../src/core/base/index.ts";
import { encode, fields, optional, read, type Shape, text } from "../src/core/codec/index.ts";
import type { Signer } from "../src/core/crypto/index.ts";
import {
  encodeMessage,
  FollowerHost,
  type HostInput,
  WriterHost,
} from "../src/core/host/index.ts";
import {
  blobsOf,
  decodeChanges,
  type DueRecord,
  type MirrorState,
  messageKinds,
  readUpdate,
  type SignedUpdate,
} from "../src/core/mirror/index.ts";
import { segmentOf } from "../src/core/acceptance/index.ts";
import {
  HostLoop,
  type HostStore,
  type LaterEffect,
  openHostStore,
  persist,
  writeState,
} from "../src/app/host/index.ts";
import { createGuard } from "../src/io/files/index.ts";
import type { BlobStore } from "../src/io/ports/index.ts";
import { type DiskPlan, SimDisk } from "./disk.ts";
import { SimBlobStore, SimStateStore } from "./stores.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Realm } from "./realm.ts";

const home = "/data";

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
abstract class SimHost {
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
      for (const digest of blobsOf(list.value).keys()) if (!(await this.#bringBlob(digest))) return false;
    if (life !== this.life) return false;
    this.#changes.set(ref.digest, bytes);
    return true;
  }

  async #bringBlob(digest: Digest): Promise<boolean> {
    const { life } = this;
    while (!this.blobs.has(digest)) {
      const bytes = await this.world.content(this, digest);
      if (life !== this.life || !this.isUp) return false;
      try {
        if (bytes !== undefined) await this.blobs.putSmall([{ digest, bytes }]);
      } catch {
        this.world.sometimes("wrong content refused");
      }
      if (!this.blobs.has(digest)) await this.world.scheduler.sleep(200 + this.random.below(500));
      if (life !== this.life || !this.isUp) return false;
    }
    return true;
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

/** A writer: the unmodified machine, loop, store, log and guard, over a disk and links that can fail. */
export class SimWriter extends SimHost {
  readonly author: Author;
  readonly #signers: { readonly block: Signer; readonly cosign: Signer };
  #host: WriterHost | undefined;
  #loop: HostLoop | undefined;
  #nextTicket = 1;
  readonly #saidHeld = new Set<Digest>();
  /** How it sends; adversaries replace it. */
  outgoing: Outgoing = (frame) => [{ frame }];
  /** What its disk does to its first life. */
  firstFault: DiskPlan | undefined;
  /** Another copy of this identity, behind the same links: it hears all that this one hears. */
  twin: SimWriter | undefined;
  /** The copy whose links these are, if they are not its own. */
  linksOf: SimWriter | undefined;
  /** Says `held` of what it does not have. */
  isHeldFalsely = false;

  constructor(
    world: Realm,
    options: {
      readonly id: string;
      readonly author: Author;
      readonly isHonest: boolean;
      readonly signers: { readonly block: Signer; readonly cosign: Signer };
    },
  ) {
    super(world, options.id, options.isHonest);
    this.author = options.author;
    this.#signers = options.signers;
  }

  get machine(): WriterHost | undefined {
    return this.#host;
  }

  /** A disk on which these keys have signed nothing. */
  async install(): Promise<void> {
    await this.disk.mkdir(home);
    await createGuard(`${home}/guard`, this.disk);
  }

  async boot(): Promise<void> {
    if (this.isUp) return;
    this.isUp = true;
    this.world.note("up", this.id, "starts");
    this.halted = undefined;
    const life = ++this.life;
    this.disk.plan(this.firstFault ?? undefined);
    this.firstFault = undefined;
    try {
      await this.#start(life);
    } catch (error) {
      if (life === this.life) this.fatal(error);
    }
  }

  async #start(life: number): Promise<void> {
    const { network } = this.world;
    const { store, isGuardWhole } = await this.open();
    const recovery = await store.recover(network, {
      isGuardWhole,
      self: this.author,
      genesisFile: "genesis.json",
    });
    if (life !== this.life) return;
    this.store = store;
    this.#saidHeld.clear();
    this.world.check.recovered(this, recovery);
    const host = new WriterHost({
      network,
      author: this.author,
      blockSigner: this.#signers.block,
      cosignSigner: this.#signers.cosign,
      verifier: this.world.signatures.verifier,
      view: this.view,
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      recovery,
      seed: this.random.next(),
    });
    this.#host = host;
    this.#loop = new HostLoop({
      host,
      store,
      clock: {
        nowMs: () => this.wallMs(),
        after: (ms, then) =>
          this.world.scheduler.after(ms, () => {
            if (life === this.life) then();
          }),
      },
      perform: (effect) => {
        if (life === this.life) this.#perform(effect);
      },
      onFatal: async (error) => {
        if (life === this.life) this.fatal(error);
      },
    });
    this.#attach(life);
    this.#push({ type: "start" });
    for (const { wire, heldBy } of host.state.pending.values()) {
      const update = readUpdate(wire, network.group, this.world.signatures.verifier);
      if (update.ok && !heldBy.has(this.author)) void this.#hold(update.value);
    }
  }

  #attach(life: number): void {
    if (this.linksOf !== undefined) return;
    const guarded =
      <A extends unknown[]>(then: (...args: A) => void) =>
      (...args: A): void => {
        if (life === this.life) then(...args);
      };
    this.world.links.attach({
      id: this.id,
      author: this.author,
      up: guarded((peer) => this.#hear({ type: "peer-up", peer })),
      down: guarded((peer) => this.#hear({ type: "peer-down", peer })),
      frame: guarded((peer, frame, isFromTwin) => this.#hear({ type: "message", peer, frame }, isFromTwin)),
    });
  }

  #push(input: HostInput): void {
    this.#loop?.push(input);
  }

  /** Both copies hear everybody; only in a divided network each hears its own side. */
  #hear(input: HostInput, isFromTwin = false): void {
    const { twin } = this;
    if (twin === undefined) return this.#push(input);
    if (input.type === "message" && this.world.isDivided) {
      const isFar = this.world.far.has(input.peer) || isFromTwin;
      return (isFar ? twin : this).#push(input);
    }
    this.#push(input);
    twin.#push(input);
  }

  protected override stopRunning(): void {
    this.world.links.detach(this.id);
    void this.#loop?.stop();
    this.#loop = undefined;
    this.#host = undefined;
    this.store = undefined;
  }

  #perform(effect: LaterEffect): void {
    switch (effect.type) {
      case "send":
        return this.transmit(effect.peer, effect.frame);
      case "broadcast":
        for (const peer of effect.peers) this.transmit(peer, effect.frame);
        return;
      case "serve-blocks":
      case "serve-range":
        return void this.#serve(effect);
      case "disconnect":
        this.world.check.disconnected(this, effect.peer, effect.code);
        return this.world.links.ban(this.id, effect.peer, 5000);
      case "mirror":
        return this.#onMirror(effect.event);
      case "changes-needed": {
        const pending = this.#host?.state.pending.get(effect.update);
        const update = pending && readUpdate(pending.wire, this.world.network.group, this.world.signatures.verifier);
        if (update?.ok === true) void this.#bringForExecution(update.value);
        return;
      }
      default:
        this.performShared(effect);
    }
  }

  /** Sends through whatever the adversary in this host does to frames. */
  transmit(peer: Author, frame: Uint8Array): void {
    if (this.isHonest) this.world.check.sent(this, frame);
    for (const { frame: sent, extraMs } of this.outgoing(frame, peer))
      this.world.links.send(this.linksOf?.id ?? this.id, peer, { frame: sent, isFromTwin: this.linksOf !== undefined }, extraMs);
  }

  async #serve(effect: Extract<LaterEffect, { type: "serve-blocks" | "serve-range" }>): Promise<void> {
    const { store, life } = this;
    if (store === undefined) return;
    const frame =
      effect.type === "serve-range"
        ? encodeMessage({ type: "range", range: await store.commits.range(effect.after) })
        : encodeMessage({
            type: "blocks",
            wires: await store.blocks(effect.refs, (ref) => this.#host?.block(ref)),
          });
    if (life === this.life) this.transmit(effect.peer, frame);
  }

  #onMirror(event: Extract<LaterEffect, { type: "mirror" }>["event"]): void {
    switch (event.type) {
      case "accepted":
        return void this.#hold(event.update);
      case "finished":
        this.#saidHeld.delete(event.id);
        return this.world.check.finished(this, event);
      case "height":
        return this.world.check.height(this, event.record);
      default:
        return;
    }
  }

  async #hold({ id, record }: SignedUpdate): Promise<void> {
    if (this.#saidHeld.has(id)) return;
    if (!this.isHeldFalsely && !(await this.bring(record.changes))) return;
    if (this.#saidHeld.has(id) || this.#host === undefined || !this.#host.state.pending.has(id)) return;
    this.#saidHeld.add(id);
    this.#push({ type: "held", updates: [id] });
  }

  async #bringForExecution(update: SignedUpdate): Promise<void> {
    if (await this.bring(update.record.changes)) this.#push({ type: "changes-here" });
  }

  // ── what clients ask of it ──

  get takes(): boolean {
    return this.isUp && this.#host?.vitals.isSigning === true && this.#host.vitals.pendingBytes < limits.pendingPayloadBytesMax;
  }

  /** An application message; returns the ticket that its place will be told under, or undefined. */
  append(bytes: Uint8Array): number | undefined {
    return this.#submit(segmentOf(messageKinds.application, [bytes]));
  }

  order(update: SignedUpdate): void {
    this.#submit(segmentOf(messageKinds.update, [update.wire]));
  }

  #submit(segment: Segment): number | undefined {
    if (!this.takes) return undefined;
    const ticket = this.#nextTicket++;
    this.#push({ type: "submit", ticket, segment });
    return ticket;
  }
}

const pollMs = 500;

/** A reader: follows whoever answers, verifies, executes, compares. */
export class SimReader extends SimHost {
  #host: FollowerHost | undefined;
  #turns: Promise<void> = Promise.resolve();

  get machine(): FollowerHost | undefined {
    return this.#host;
  }

  get lastIndex(): number {
    return this.#host?.lastCommit.index ?? 0;
  }

  async boot(): Promise<void> {
    if (this.isUp) return;
    this.isUp = true;
    this.world.note("up", this.id, "starts");
    this.halted = undefined;
    const life = ++this.life;
    try {
      const { network, signatures } = this.world;
      const { store } = await this.open();
      const recovery = await store.recover(network, {
        isGuardWhole: true,
        self: undefined,
        genesisFile: "genesis.json",
      });
      if (life !== this.life) return;
      this.store = store;
      this.#host = new FollowerHost({ network, verifier: signatures.verifier, view: this.view, recovery });
      this.#turn(life, () => this.#perform(this.#host?.start() ?? []));
      this.#pollLater(life);
    } catch (error) {
      if (life === this.life) this.fatal(error);
    }
  }

  protected override stopRunning(): void {
    this.#host = undefined;
    this.store = undefined;
    this.#turns = Promise.resolve();
  }

  #turn(life: number, work: () => Promise<void>): void {
    this.#turns = this.#turns.then(async () => {
      try {
        if (life === this.life) await work();
      } catch (error) {
        if (life === this.life) this.fatal(error);
      }
    });
  }

  async #perform(effects: ReturnType<FollowerHost["start"]>): Promise<void> {
    const { store, life } = this;
    const host = this.#host;
    if (store === undefined || host === undefined) return;
    const violation = effects.find((effect) => effect.type === "violation");
    if (violation?.type === "violation") throw new Error(`safety violation: ${violation.detail}`);
    if (persist(store, effects)) await store.sync();
    if (life !== this.life) return;
    const part = {
      horizon: Number.MAX_SAFE_INTEGER,
      state: host.state,
      stateWritten: () => host.stateWritten(),
    };
    writeState(store, part, effects);
    for (const effect of effects) this.#do(effect as LaterEffect, life);
  }

  #do(effect: LaterEffect, life: number): void {
    if (effect.type === "changes-needed") {
      const pending = this.#host?.state.pending.get(effect.update);
      const update = pending && readUpdate(pending.wire, this.world.network.group, this.world.signatures.verifier);
      if (update?.ok === true)
        void this.bring(update.value.record.changes).then((isHere) => {
          if (isHere && life === this.life) this.#turn(life, () => this.#perform(this.#host?.onChangesHere() ?? []));
        });
      return;
    }
    if (effect.type === "mirror") {
      if (effect.event.type === "finished") this.world.check.finished(this, effect.event);
      if (effect.event.type === "height") this.world.check.height(this, effect.event.record);
      return;
    }
    this.performShared(effect);
  }

  #pollLater(life: number): void {
    this.world.scheduler.after(pollMs, () => {
      if (life !== this.life) return;
      void this.#poll(life).then(() => {
        if (life === this.life) this.#pollLater(life);
      });
    });
  }

  async #poll(life: number): Promise<void> {
    const bytes = await this.world.news(this, this.lastIndex, this.head?.due.size ?? 0);
    const host = this.#host;
    if (bytes === undefined || life !== this.life || host === undefined) return;
    const news = this.readNews(bytes);
    if (news === undefined) return this.world.sometimes("an unreadable answer refused");
    this.#turn(life, async () => {
      const commits = news.range.commits.filter(({ commit }) => commit.index > host.lastCommit.index);
      if (commits.length > 0) {
        const taken = host.onRange({ ...news.range, commits });
        if (!taken.ok) return this.world.sometimes(`a source refused: ${taken.error.code}`);
        await this.#perform(taken.value);
      }
      if (news.note === undefined || life !== this.life) return;
      const taken = host.onCheckpoint(news.note);
      if (taken.ok) return this.#perform(taken.value);
      if (taken.error.code === "STATE_DIVERGED") throw new Error(taken.error.detail);
      this.world.sometimes(`a source refused: ${taken.error.code}`);
    });
  }
}
