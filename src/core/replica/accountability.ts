import { type Evidence, encodeEvidence, fitsOrder, type Verdict } from "../accountability/index.ts";
import type { Author, Result } from "../base/index.ts";
import { Stall, type Submission } from "../consensus/index.ts";
import type { MirrorEvent, MirrorState, Writes } from "../mirror/index.ts";
import {
  defaultDetector,
  type Observation,
  type Opinion,
  type SignedStatement,
} from "../opinion/index.ts";
import type { SplitParent, SplitPlan } from "../split/index.ts";
import type { HostMessage } from "./messages.ts";
import { Opinions, type OpinionView } from "./opinions.ts";
import { Proofs, type Teller } from "./proofs.ts";
import { proposeSplit } from "./split-plan.ts";
import { type CertifiedPoint, type SplitEffect, Splitting } from "./splitting.ts";
import type { WriterOptions } from "./writer-options.ts";

/** What this host wants done for the sake of what it thinks and can prove. */
export type AccountabilityEffect =
  | { readonly type: "say"; readonly message: HostMessage }
  | { readonly type: "tell"; readonly peer: Author; readonly message: HostMessage }
  | ({ readonly type: "submit" } & Submission)
  /** Whom not to wait for, and whom to refuse. */
  | {
      readonly type: "standing";
      readonly shunned: readonly Author[];
      readonly corrupt: ReadonlySet<Author>;
    }
  | { readonly type: "evidence"; readonly verdict: Verdict }
  | { readonly type: "opinion"; readonly view: OpinionView }
  | { readonly type: "opinions-signed"; readonly statements: readonly SignedStatement[] }
  | { readonly type: "split-proposed"; readonly plan: Result<SplitPlan> }
  | { readonly type: "state"; readonly writes: Writes }
  | Exclude<SplitEffect, { type: "saw" | "say" | "tell" }>;

/** A split that an operator wants. */
export interface SplitWish {
  /** The newest certified checkpoint, as the store has it. */
  readonly parent: SplitParent;
  /** What convicted each writer that was. */
  readonly proofs: ReadonlyMap<Author, Uint8Array>;
  /** For so long nothing must have been accepted, milliseconds. */
  readonly splitAfterMs: number;
}

/** What peers say of other hosts. */
export type SaidOfHosts = Extract<HostMessage, { type: "opinion" | "evidence" | "split" }>;

/** What goes on around. */
export interface Surroundings {
  /** Blocks of the round before this one are owed. */
  readonly round: number;
  readonly lastCommit: number;
  /** Something waits to be ordered. */
  readonly isWanted: boolean;
  readonly reachable: ReadonlySet<Author>;
  readonly certified: CertifiedPoint | undefined;
}

/**
 * What this host thinks of the others, says of them, and can prove. Opinions change whom it waits for; proofs go into
 * the order, once each. Neither ever changes the order of anything.
 */
export class Accountability {
  readonly #options: WriterOptions;
  readonly #state: () => MirrorState;
  readonly opinions: Opinions;
  readonly proofs: Proofs;
  readonly splitting: Splitting;
  readonly #stall = new Stall();
  #standing = "/";
  #around: Surroundings | undefined;
  /** From the steady clock to POSIX, milliseconds. */
  #offsetMs = 0;
  #effects: AccountabilityEffect[] = [];

  constructor(options: WriterOptions, state: () => MirrorState, atMs: number) {
    const { network, author, hostSigner, verifier, view } = options;
    this.#options = options;
    this.#state = state;
    this.opinions = new Opinions(
      {
        network,
        author,
        hostSigner,
        verifier,
        detector: options.detector ?? defaultDetector,
        isPublishing: options.isPublishing ?? true,
        matrix: state().opinions,
      },
      atMs,
    );
    const court = { network, verifier };
    this.proofs = new Proofs({ self: author, court, get: view.get });
    this.splitting = new Splitting({
      network,
      author,
      hostSigner,
      verifier,
      joined: options.recovery.guard.joined,
    });
    for (const wire of this.proofs.kept) this.hear(wire, { teller: "self", atMs });
  }

  observe(author: Author, observation: Observation, atMs: number): void {
    this.opinions.watch.observe(author, observation, atMs);
  }

  links(up: ReadonlySet<Author>, atMs: number): void {
    this.opinions.watch.links(up, atMs);
  }

  /** The operator's own opinion; `undefined` takes it back. */
  say(about: Author, opinion: Opinion | undefined, atMs: number): void {
    this.opinions.watch.say(about, opinion, atMs);
  }

  /** This host saw it itself. What does not convict before our own court is not reported. */
  saw(evidence: Evidence, atMs: number): void {
    const wire = encodeEvidence(this.#options.network, evidence);
    this.hear(wire, { teller: "self", atMs });
  }

  /** What a peer says. A fault is the peer's. */
  hearFrom(peer: Author, { type, wire }: SaidOfHosts, atMs: number): Result<unknown> {
    if (type === "opinion") return this.opinions.hear(wire);
    if (type === "split") return this.splitting.hear(peer, wire, atMs);
    return this.hear(wire, { teller: peer, atMs });
  }

  /** A proof from a peer or from an operator. Faults: those of {@link Proofs.learn}. */
  hear(
    wire: Uint8Array,
    from: { readonly teller: Teller; readonly atMs: number },
  ): Result<Verdict> {
    const learnt = this.proofs.learn(wire, from);
    if (!learnt.ok) return learnt;
    const { verdict, isNews } = learnt.value;
    if (isNews) this.#effects.push({ type: "evidence", verdict });
    if (isNews && fitsOrder(wire))
      this.#effects.push({ type: "say", message: { type: "evidence", wire } });
    return { ok: true, value: verdict };
  }

  /** Something was ordered. */
  onOrdered(event: MirrorEvent): void {
    if (event.type === "opinion") this.opinions.onOrdered(event.statement);
    if (event.type === "convicted") this.proofs.onConvicted(event.conviction);
  }

  /** A peer said hello: it is told what it may have missed. */
  greet(peer: Author): void {
    for (const { wire } of this.proofs.found)
      if (fitsOrder(wire)) this.#tell(peer, "evidence", wire);
    for (const { wire } of this.opinions.open) this.#tell(peer, "opinion", wire);
    for (const message of this.splitting.greetings(peer))
      this.#effects.push({ type: "tell", peer, message });
  }

  #tell(peer: Author, type: "evidence" | "opinion", wire: Uint8Array): void {
    this.#effects.push({ type: "tell", peer, message: { type, wire } });
  }

  /** After every input: what is to be done now. `atMs` is of the steady clock, `nowMs` of the wall's. */
  look(now: Surroundings, atMs: number, nowMs: number): readonly AccountabilityEffect[] {
    this.#offsetMs = nowMs - atMs;
    this.#around = now;
    this.#stall.see(now, atMs);
    this.#watch(now.round, atMs);
    this.#tellAll(atMs, nowMs);
    for (const effect of this.splitting.look(now.certified, now.reachable)) {
      if (effect.type === "saw") this.saw(effect.evidence, atMs);
      else this.#effects.push(effect);
    }
    this.#stand();
    const writes = this.proofs.takeKept();
    if (writes !== undefined) this.#effects.push({ type: "state", writes });
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #watch(round: number, atMs: number): void {
    const { watch } = this.opinions;
    watch.round(round, atMs);
    const { changed, probe } = watch.look(atMs);
    for (const peer of probe)
      this.#effects.push({ type: "tell", peer, message: { type: "probe" } });
    for (const about of changed) this.opinions.onChanged(about, atMs);
    for (const about of changed)
      this.#effects.push({ type: "opinion", view: this.opinions.view(about, this.#offsetMs) });
  }

  /** Into the order; and to peers directly what does not get there. */
  #tellAll(atMs: number, nowMs: number): void {
    const { opinions, proofs } = this;
    for (const segment of [opinions.due(atMs, nowMs), proofs.due(atMs)])
      if (segment !== undefined)
        this.#effects.push({ type: "submit", segment, ticket: 0, isNewest: true });
    const stalled = this.#stall.forMs(atMs) > 0 ? opinions.takeStalled(atMs, nowMs) : [];
    for (const { wire } of [...opinions.takeUntold(atMs), ...stalled])
      this.#effects.push({ type: "say", message: { type: "opinion", wire } });
  }

  /** What it thinks of everybody else now. */
  get views(): readonly OpinionView[] {
    return this.opinions.views(this.#offsetMs);
  }

  /** The same, signed. */
  signOpinions(nowMs: number): void {
    const statements = this.opinions.signedNow(nowMs, this.#offsetMs);
    this.#effects.push({ type: "opinions-signed", statements });
  }

  /** Proposes a split, if this is the time for one: with a plan, or with the faults of {@link proposeSplit}. */
  propose({ parent, proofs, splitAfterMs }: SplitWish, nowMs: number): void {
    const { network, verifier, author: self } = this.#options;
    const convicted = new Map<Author, Uint8Array>();
    for (const author of this.#state().convicted) {
      const wire = proofs.get(author);
      if (wire !== undefined) convicted.set(author, wire);
    }
    const reachable = this.#around?.reachable ?? new Set<Author>();
    const plan = proposeSplit({
      network,
      verifier,
      self,
      parent,
      convicted,
      statements: [
        ...this.opinions.signedNow(nowMs, this.#offsetMs),
        ...this.opinions.toldBy(reachable),
      ],
      reachable,
      stalledMs: this.#stall.forMs(nowMs - this.#offsetMs),
      splitAfterMs,
    });
    this.#effects.push({ type: "split-proposed", plan });
  }

  #stand(): void {
    const found = this.proofs.found.flatMap(({ author }) => author ?? []);
    const corrupt = new Set([...this.#state().convicted, ...found]);
    const { shunned } = this.opinions.watch;
    const standing = `${shunned}/${[...corrupt].sort((a, b) => a - b)}`;
    if (standing === this.#standing) return;
    this.#standing = standing;
    this.#effects.push({ type: "standing", shunned, corrupt });
  }

  /** When {@link look} should be asked again; infinite if nothing is to come. */
  wakeAtMs(atMs: number): number {
    return Math.max(atMs + 1, Math.min(this.opinions.wakeAtMs(atMs), this.proofs.wakeAtMs));
  }
}
