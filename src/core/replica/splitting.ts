import type { Evidence } from "../accountability/index.ts";
import {
  Allowance,
  type Author,
  type Digest,
  equalBytes,
  fail,
  limits,
  ok,
  type Result,
} from "../base/index.ts";
import { bytes, encode, exactBytes, fields, optional, read, require } from "../codec/index.ts";
import type { Network } from "../committee/index.ts";
import { rootOf, type Signer, type Verifier } from "../crypto/index.ts";
import type { MirrorState } from "../mirror/index.ts";
import {
  encodeGroup,
  isJoinSigned,
  planId,
  readPlan,
  type SideIndex,
  type SplitParent,
  type SplitPlan,
  sideOf,
  signJoin,
  splitBody,
} from "../split/index.ts";
import type { HostMessage } from "./messages.ts";

/** What this host has joined; durable before its signature leaves. One only, for ever. */
export interface JoinRecord {
  readonly group: Digest;
  readonly size: number;
  readonly plan: Digest;
  /** The plan itself, so that a restart in the middle loses nothing. */
  readonly wire?: Uint8Array | undefined;
}

/** The newest checkpoint that this host knows to be certified, and the state there. */
export type CertifiedPoint = Pick<SplitParent, "size" | "root" | "height" | "commit" | "tsMs">;

/** The certified checkpoint that a state belongs to. */
export function certifiedPointOf(state: MirrorState): CertifiedPoint {
  const { log, height, commit, tsMs } = state;
  return { size: log.size, root: rootOf(log), height, commit, tsMs };
}

/** True if a plan begins with this very state: what its proposer says of it is in nobody's signature but the members'. */
function isSamePoint(a: CertifiedPoint, b: CertifiedPoint): boolean {
  return (
    equalBytes(a.root, b.root) &&
    a.height === b.height &&
    a.commit.index === b.commit.index &&
    a.commit.digest === b.commit.digest &&
    a.tsMs === b.tsMs
  );
}

export type SplitEffect =
  | { readonly type: "say"; readonly message: HostMessage }
  | { readonly type: "tell"; readonly peer: Author; readonly message: HostMessage }
  | { readonly type: "guard-split"; readonly record: JoinRecord }
  /** A group is founded: all its members have signed. */
  | { readonly type: "split"; readonly wire: Uint8Array; readonly isMine: boolean }
  | { readonly type: "saw"; readonly evidence: Evidence };

/** A plan as people are shown it. */
export interface PlanView {
  readonly plan: SplitPlan;
  /** Members whose operators agreed. */
  readonly joining: readonly Author[];
  readonly signed: readonly Author[];
  /** Sides that are founded. */
  readonly founded: readonly SideIndex[];
}

interface Known {
  readonly plan: SplitPlan;
  readonly joining: Set<Author>;
  readonly signatures: Map<Author, Uint8Array>;
  readonly founded: Set<SideIndex>;
  /** Who brought it first; `undefined` for this host's operator. */
  readonly from: Author | undefined;
}

/** Plans remembered of each peer, and of this host's operator: nobody can crowd out another's. */
const plansMax = 4;
/** A peer has so many unknown plans verified: each costs many signature checks. */
const verified = { everyMs: 1000, atOnce: plansMax };

/**
 * Agreeing on a split (`dag.md` §17). Operators consent first, which binds nobody; only when all members of a side have
 * consented does each sign, once and for ever. A group is founded when all its members have signed.
 */
export class Splitting {
  readonly #network: Network;
  readonly #self: Author;
  readonly #signer: Pick<Signer, "sign">;
  readonly #verifier: Verifier;
  readonly #plans = new Map<Digest, Known>();
  readonly #verified = new Allowance<Author>(verified);
  #joined: JoinRecord | undefined;
  #effects: SplitEffect[] = [];

  constructor(options: {
    readonly network: Network;
    readonly author: Author;
    readonly hostSigner: Pick<Signer, "sign">;
    readonly verifier: Verifier;
    readonly joined: JoinRecord | undefined;
  }) {
    this.#network = options.network;
    this.#self = options.author;
    this.#signer = options.hostSigner;
    this.#verifier = options.verifier;
    this.#joined = options.joined?.group === options.network.group ? options.joined : undefined;
    if (this.#joined?.wire !== undefined) this.#resume(this.#joined.wire);
  }

  /** Before a restart it had signed: it says so again. */
  #resume(wire: Uint8Array): void {
    const plan = this.learn(wire);
    const known = plan.ok ? this.#plans.get(plan.value.id) : undefined;
    const side = plan.ok ? sideOf(plan.value, this.#self) : undefined;
    if (known === undefined || side === undefined) return;
    known.joining.add(this.#self);
    known.signatures.set(this.#self, signJoin(known.plan, side, this.#signer));
  }

  /** It has signed itself out of this group: it must sign no block of it any more. */
  get hasLeft(): boolean {
    return this.#joined !== undefined;
  }

  get plans(): readonly PlanView[] {
    return [...this.#plans.values()].map(({ plan, joining, signatures, founded }) => ({
      plan,
      joining: [...joining].sort((a, b) => a - b),
      signed: [...signatures.keys()].sort((a, b) => a - b),
      founded: [...founded],
    }));
  }

  /**
   * A plan from the operator, or from a peer. A repetition costs a hash. Faults: those of {@link readPlan};
   * TOO_MANY_PLANS where a peer has just had another one verified, or where all from there are consented to.
   */
  learn(
    wire: Uint8Array,
    from?: { readonly peer: Author; readonly atMs: number },
  ): Result<SplitPlan> {
    const repeated = this.#plans.get(planId(wire));
    if (repeated !== undefined) return ok(repeated.plan);
    if (from !== undefined && !this.#verified.take(from.peer, from.atMs))
      return fail("TOO_MANY_PLANS", "another plan from there was verified a moment ago");
    const read = readPlan(wire, { network: this.#network, verifier: this.#verifier });
    if (!read.ok) return read;
    const plan = read.value;
    if (!this.#makeRoom(from?.peer))
      return fail("TOO_MANY_PLANS", `${plansMax} plans from there are open already`);
    this.#plans.set(plan.id, {
      plan,
      joining: new Set(),
      signatures: new Map(),
      founded: new Set(),
      from: from?.peer,
    });
    return ok(plan);
  }

  /** The oldest plan from there that nobody has consented to makes room: what a peer passes on need not be its own. */
  #makeRoom(from: Author | undefined): boolean {
    const fromThere = [...this.#plans.values()].filter((known) => known.from === from);
    if (fromThere.length < plansMax) return true;
    const idle = fromThere.find(({ joining, signatures }) => joining.size + signatures.size === 0);
    if (idle !== undefined) this.#plans.delete(idle.plan.id);
    return idle !== undefined;
  }

  /** Why this host may not join; `undefined` if it may. */
  whyNot(id: Digest, certified: CertifiedPoint | undefined): string | undefined {
    const known = this.#plans.get(id);
    if (known === undefined) return "no such plan is known here";
    const { plan } = known;
    if (sideOf(plan, this.#self) === undefined) return "this host is in none of its groups";
    // Not even at a later checkpoint: it could be in both groups then.
    if (this.#joined !== undefined && this.#joined.plan !== id)
      return "this host has joined another group, and may join one only";
    if (certified === undefined) return "nothing is certified here yet";
    if (certified.size > plan.parent.size)
      return `it begins at ${plan.parent.size} leaves, and this host has seen ${certified.size} certified: propose anew`;
    if (certified.size < plan.parent.size)
      return `it begins at ${plan.parent.size} leaves, and this host has come to ${certified.size} only: wait until it has caught up`;
    return isSamePoint(certified, plan.parent)
      ? undefined
      : "the state at that checkpoint is another one here: the plan is wrong, or this host is damaged";
  }

  /** The operator agrees. */
  join(id: Digest): void {
    const known = this.#plans.get(id);
    if (known === undefined) return;
    known.joining.add(this.#self);
    this.#effects.push({ type: "say", message: this.#stateOf(known) });
  }

  /**
   * What this host says to a peer that comes: of its own plans, of those that it has consented to, and of those that the
   * peer had consented to, as it may have forgotten.
   */
  greetings(peer: Author): readonly HostMessage[] {
    const concerns = ({ from, joining }: Known): boolean =>
      from === undefined || joining.has(this.#self) || joining.has(peer);
    return [...this.#plans.values()].filter(concerns).map((known) => this.#stateOf(known));
  }

  #stateOf({ plan, joining, signatures }: Known): HostMessage {
    const signature = signatures.get(this.#self) ?? null;
    const wire = encode([plan.wire, joining.has(this.#self), signature]);
    return { type: "split", wire };
  }

  /** What a peer says of a plan. Faults: those of {@link learn}, BAD_SIGNATURE. */
  hear(peer: Author, wire: Uint8Array, atMs: number): Result<void> {
    const said = read(
      wire,
      (value, what) => {
        const [plan, isJoining, signature] = fields(3)(value, what);
        require(typeof isJoining === "boolean", `${what}.isJoining is a boolean`);
        return {
          plan: bytes(limits.splitPlanBytesMax)(plan, `${what}.plan`),
          isJoining,
          signature: optional(exactBytes(64))(signature, `${what}.signature`) ?? undefined,
        };
      },
      "split",
    );
    if (!said.ok) return said;
    const before = this.#plans.size;
    const plan = this.learn(said.value.plan, { peer, atMs });
    if (!plan.ok) return plan;
    const known = this.#plans.get(plan.value.id);
    // Whoever thinks that this host has consented, as it may have before a restart, is told how it stands.
    if (known !== undefined && this.#plans.size > before)
      this.#effects.push({ type: "tell", peer, message: this.#stateOf(known) });
    if (known === undefined || sideOf(plan.value, peer) === undefined) return ok(undefined);
    // Who has forgotten its consent, as by a restart, has not consented.
    if (said.value.isJoining) known.joining.add(peer);
    else known.joining.delete(peer);
    const { signature } = said.value;
    if (signature === undefined) return ok(undefined);
    const by = { network: this.#network, verifier: this.#verifier };
    if (!isJoinSigned(plan.value, { author: peer, signature }, by))
      return fail("BAD_SIGNATURE", "the signature under the plan is bad");
    this.#remember(known, peer, signature);
    return ok(undefined);
  }

  #remember(known: Known, author: Author, signature: Uint8Array): void {
    known.signatures.set(author, signature);
    for (const other of this.#plans.values()) {
      const earlier = other.signatures.get(author);
      const isSamePoint = other.plan.parent.size === known.plan.parent.size;
      if (other === known || earlier === undefined || !isSamePoint) continue;
      const half = (of: Known, signed: Uint8Array) => ({
        body: splitBody(of.plan, sideOf(of.plan, author) ?? 0),
        signature: signed,
      });
      const evidence: Evidence = {
        kind: "double-split",
        author,
        size: known.plan.parent.size,
        first: half(other, earlier),
        second: half(known, signature),
      };
      this.#effects.push({ type: "saw", evidence });
    }
  }

  /** After every input: signs where all have consented, and founds what all have signed. */
  look(
    certified: CertifiedPoint | undefined,
    reachable?: ReadonlySet<Author>,
  ): readonly SplitEffect[] {
    for (const known of this.#plans.values()) {
      const isTogether = this.#isTogether(known.plan, reachable);
      if (isTogether && this.#maySign(known, certified)) this.#sign(known);
      for (const side of [0, 1] as const) this.#found(known, side);
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** All of this host's side are in touch: a consent from earlier may be forgotten by now. */
  #isTogether(plan: SplitPlan, reachable: ReadonlySet<Author> | undefined): boolean {
    const side = sideOf(plan, this.#self);
    if (reachable === undefined || side === undefined) return side !== undefined;
    return plan.sides[side].every((member) => member === this.#self || reachable.has(member));
  }

  #maySign({ plan, joining, signatures }: Known, certified: CertifiedPoint | undefined): boolean {
    if (!joining.has(this.#self) || signatures.has(this.#self)) return false;
    const side = sideOf(plan, this.#self);
    if (side === undefined || !plan.sides[side].every((member) => joining.has(member)))
      return false;
    return this.whyNot(plan.id, certified) === undefined;
  }

  #sign(known: Known): void {
    const { plan } = known;
    const { group, size } = plan.parent;
    this.#joined = { group, size, plan: plan.id, wire: plan.wire };
    this.#effects.push({ type: "guard-split", record: this.#joined });
    const side = sideOf(plan, this.#self) ?? 0;
    known.signatures.set(this.#self, signJoin(plan, side, this.#signer));
    this.#effects.push({ type: "say", message: this.#stateOf(known) });
  }

  #found({ plan, signatures, founded }: Known, side: SideIndex): void {
    const members = plan.sides[side];
    if (founded.has(side) || members.length === 0) return;
    if (!members.every((member) => signatures.has(member))) return;
    founded.add(side);
    const isMine = members.includes(this.#self);
    this.#effects.push({ type: "split", wire: encodeGroup(plan, side, signatures), isMine });
  }
}
