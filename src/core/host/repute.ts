import {
  blockParts,
  type DagConfig,
  type DagEffect,
  headerBodyDigest,
  type InvalidBlock,
  type Segment,
  type SignedHeader,
} from "../acceptance/index.ts";
import type { Author, Result } from "../base/index.ts";
import {
  courtOf,
  type Evidence,
  encodeEvidence,
  fitsOrder,
  type Verdict,
} from "../evidence/index.ts";
import type { MirrorEvent, MirrorState } from "../mirror/index.ts";
import { defaultDetector, type Observation, type Opinion } from "../opinion/index.ts";
import type { PeerMessage } from "./messages.ts";
import { Opinions, type OpinionView } from "./opinions.ts";
import { Proofs } from "./proofs.ts";
import type { WriterOptions } from "./writer-options.ts";

/** What this host wants done for the sake of what it thinks and can prove. */
export type ReputeEffect =
  | { readonly type: "say"; readonly message: PeerMessage }
  | { readonly type: "tell"; readonly peer: Author; readonly message: PeerMessage }
  | { readonly type: "submit"; readonly segment: Segment }
  /** Whom not to wait for, and whom to refuse. */
  | {
      readonly type: "standing";
      readonly shunned: readonly Author[];
      readonly corrupt: ReadonlySet<Author>;
    }
  | { readonly type: "evidence"; readonly verdict: Verdict }
  | { readonly type: "opinion"; readonly view: OpinionView }
  | { readonly type: "state"; readonly writes: ReadonlyMap<string, Uint8Array> };

/**
 * What this host thinks of the others, says of them, and can prove. Opinions change whom it waits for; proofs go into
 * the order, once each. Neither ever changes the order of anything.
 */
export class Repute {
  readonly #group: Parameters<typeof encodeEvidence>[0];
  readonly #state: () => MirrorState;
  readonly opinions: Opinions;
  readonly proofs: Proofs;
  #standing = "/";
  #effects: ReputeEffect[] = [];

  constructor(options: WriterOptions, state: () => MirrorState, atMs: number) {
    const { network, author, hostSigner, verifier, view } = options;
    this.#group = network.group;
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
    const court = courtOf(network, verifier);
    this.proofs = new Proofs({ self: author, court, get: view.get });
    for (const wire of this.proofs.kept) this.hear(wire, atMs);
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
    this.hear(encodeEvidence(this.#group, evidence), atMs);
  }

  /** A proof from a peer or from an operator. Faults: those of `judge`. */
  hear(wire: Uint8Array, atMs: number): Result<Verdict> {
    const learnt = this.proofs.learn(wire, atMs);
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
  }

  #tell(peer: Author, type: "evidence" | "opinion", wire: Uint8Array): void {
    this.#effects.push({ type: "tell", peer, message: { type, wire } });
  }

  /** After every input: what is to be done now. `atMs` is of the steady clock, `nowMs` of the wall's, `round` is open. */
  look(round: number, atMs: number, nowMs: number): readonly ReputeEffect[] {
    const { opinions, proofs } = this;
    opinions.watch.round(round, atMs);
    const { changed, probe } = opinions.watch.look(atMs);
    for (const peer of probe)
      this.#effects.push({ type: "tell", peer, message: { type: "probe" } });
    for (const about of changed)
      this.#effects.push({ type: "opinion", view: opinions.view(about, nowMs - atMs) });
    for (const segment of [opinions.due(atMs, nowMs), proofs.due(atMs)])
      if (segment !== undefined) this.#effects.push({ type: "submit", segment });
    for (const { wire } of opinions.takeUntold(atMs))
      this.#effects.push({ type: "say", message: { type: "opinion", wire } });
    this.#stand();
    const writes = proofs.takeKept();
    if (writes !== undefined) this.#effects.push({ type: "state", writes });
    const effects = this.#effects;
    this.#effects = [];
    return effects;
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

/** Two blocks of one slot, as what convicts their author. */
export function equivocationEvidence(
  { author, round, first, second }: Extract<DagEffect, { type: "equivocation" }>,
  { epoch }: DagConfig,
): Evidence {
  return {
    kind: "equivocation",
    author,
    epoch,
    round,
    first: halfOf(first),
    second: halfOf(second),
  };
}

function halfOf({
  bytes,
  signature,
}: SignedHeader): Extract<Evidence, { kind: "equivocation" }>["first"] {
  return { body: headerBodyDigest(bytes), signature };
}

/** A block that its author should not have signed; with the payload only where the payload is wrong. */
export function invalidBlockEvidence(wire: Uint8Array, fault: InvalidBlock): Evidence | undefined {
  const parts = fault.by === "author" ? blockParts(wire) : undefined;
  if (parts === undefined) return undefined;
  const payload = fault.code === "INVALID_PAYLOAD" ? parts.payload : undefined;
  return { kind: "invalid-block", signed: parts.signed, payload };
}
