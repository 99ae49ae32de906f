import { HostLoop, type LaterEffect } from "../src/app/loop/index.ts";
import type { Question } from "../src/app/store/index.ts";
import { type Author, type Digest, type LinkName, limits } from "../src/core/base/index.ts";
import { type Segment, segmentOf } from "../src/core/consensus/index.ts";
import type { Signer } from "../src/core/crypto/index.ts";
import { messageKinds, type SignedUpdate } from "../src/core/mirror/index.ts";
import { type DetectorChoice, defaultDetector, type Opinion } from "../src/core/opinion/index.ts";
import { type HostInput, WriterHost } from "../src/core/replica/index.ts";
import { createGuard } from "../src/io/files/index.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Realm } from "./realm.ts";
import { home, SimHost } from "./sim-host.ts";

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
  /** What sits in the place of the host: a cheater that only pretends to be one. */
  puppet: { hear(input: HostInput): void } | undefined;
  /** Another copy of this identity, behind the same links: it hears all that this one hears. */
  twin: SimWriter | undefined;
  /** The copy whose links these are, if they are not its own. */
  linksOf: SimWriter | undefined;
  /** How it judges the others; by default as everybody does. */
  detector: DetectorChoice = defaultDetector;
  /** Whether it tells what it thinks: in every third seed, since each statement makes rounds that cost time here. */
  isPublishing: boolean;
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
    this.isPublishing = world.plan.seed % 3 === 0;
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

  protected async start(life: number): Promise<void> {
    if (this.puppet !== undefined) return this.#attach(life);
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
      hostSigner: this.world.signatures.signer(`w${this.author} node`),
      verifier: this.world.signatures.verifier,
      view: this.view,
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      detector: this.detector,
      isPublishing: this.isPublishing,
      leaseEveryMs: this.isPublishing ? 5000 : 60_000,
      recovery,
      seed: this.random.next(),
    });
    this.#host = host;
    this.#loop = new HostLoop({
      host,
      store,
      clock: this.clock,
      perform: (effect) => {
        if (life === this.life) this.#perform(effect);
      },
      onFatal: async (error) => {
        if (life === this.life) this.fatal(error);
      },
    });
    this.#attach(life);
    // Peers and clients may be there first.
    this.later(10 * this.random.below(4), () => this.#push({ type: "start" }));
    for (const { id, heldBy } of host.state.pending.values())
      if (!heldBy.has(this.author)) void this.#hold(this.pendingUpdate(id));
  }

  #attach(life: number): void {
    if (this.linksOf !== undefined) return;
    const guarded =
      <A extends unknown[]>(then: (...args: A) => void) =>
      (...args: A): void =>
        this.whenAwake(() => {
          if (life === this.life) then(...args);
        });
    this.world.links.attach({
      id: this.id,
      author: this.author,
      up: guarded((peer, session) => this.#hear({ type: "peer-up", peer, session })),
      down: guarded((peer) => this.#hear({ type: "peer-down", peer })),
      frame: guarded((peer, frame, isFromTwin) =>
        this.#hear({ type: "message", peer, frame }, isFromTwin),
      ),
    });
  }

  #push(input: HostInput): void {
    this.whenAwake(() => this.#loop?.push(input));
  }

  /** Both copies hear everybody; only in a divided network each hears its own side. */
  #hear(input: HostInput, isFromTwin = false): void {
    const { twin, puppet } = this;
    if (puppet !== undefined) return puppet.hear(input);
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
        return this.transmit(effect.link, effect.frame);
      case "broadcast":
        for (const link of effect.links) this.transmit(link, effect.frame);
        return;
      case "serve-records":
      case "serve-range":
        return void this.#serve(effect);
      case "batches-needed":
        return void this.readBack(effect).then((batches) => {
          if (batches !== undefined) this.#push({ type: "batches", batches });
        });
      case "disconnect":
        this.world.check.disconnected(this, effect.peer, effect.code);
        return this.world.links.ban(this.id, effect.peer, 5000);
      case "mirror":
        return this.#onMirror(effect.event);
      case "execution-paused":
        return this.#push({ type: "changes-here" });
      case "changes-needed":
        return void this.#bringForExecution(this.pendingUpdate(effect.update));
      default:
        this.performShared(effect);
    }
  }

  /** Sends through whatever the adversary in this host does to frames. */
  transmit({ peer, session }: LinkName, frame: Uint8Array): void {
    if (this.isHonest) this.world.check.sent(this, frame);
    for (const { frame: sent, extraMs } of this.outgoing(frame, peer))
      this.world.links.send(this.linksOf?.id ?? this.id, peer, {
        frame: sent,
        isFromTwin: this.linksOf !== undefined,
        session,
        extraMs: extraMs ?? 0,
      });
  }

  async #serve(effect: Question): Promise<void> {
    const { store, life } = this;
    if (store === undefined) return;
    try {
      const frame = await store.answer(effect, (name) => this.#host?.recent(name));
      if (life === this.life) this.transmit(effect.link, frame);
    } catch (error) {
      this.unreadable(error);
    }
  }

  #onMirror(event: Extract<LaterEffect, { type: "mirror" }>["event"]): void {
    switch (event.type) {
      case "accepted":
        return void this.#hold(event.update);
      case "finished":
        this.#saidHeld.delete(event.id);
        return this.told(event);
      case "height":
        return this.world.check.height(this, event.record);
      case "convicted":
        return this.convicted(event.conviction);
      default:
        return;
    }
  }

  async #hold(update: SignedUpdate | undefined): Promise<void> {
    if (update === undefined || this.#saidHeld.has(update.id)) return;
    const { id, record } = update;
    if (!this.isHeldFalsely && !(await this.bring(record.changes))) return;
    if (this.#saidHeld.has(id) || this.#host === undefined || !this.#host.state.pending.has(id))
      return;
    this.#saidHeld.add(id);
    this.#push({ type: "held", updates: [id] });
  }

  async #bringForExecution(update: SignedUpdate | undefined): Promise<void> {
    if (update !== undefined && (await this.bring(update.record.changes)))
      this.#push({ type: "changes-here" });
  }

  /** Its operator has an opinion. */
  decide(about: Author, opinion: Opinion | undefined): void {
    this.#push({ type: "operator-says", about, opinion });
  }

  // ── what clients ask of it ──

  get takes(): boolean {
    return (
      this.isUp &&
      !this.isPaused &&
      this.#host?.vitals.isSigning === true &&
      this.#host.vitals.pendingBytes < limits.pendingPayloadBytesMax
    );
  }

  /** An application message; returns the ticket that its place will be told under, or undefined. */
  append(bytes: Uint8Array): number | undefined {
    return this.#submit(segmentOf(messageKinds.application, [bytes]));
  }

  /** A client's numbered record; false where it is not taken. */
  appendOnce(wire: Uint8Array): boolean {
    return this.#submit(segmentOf(messageKinds.append, [wire])) !== undefined;
  }

  /** A signed update; undefined where it is not taken. */
  order(update: SignedUpdate): number | undefined {
    return this.#submit(segmentOf(messageKinds.update, [update.wire]));
  }

  #submit(segment: Segment): number | undefined {
    if (!this.takes) return undefined;
    const ticket = this.#nextTicket++;
    this.#push({ type: "submit", ticket, segment });
    return ticket;
  }
}
