import { type Author, unreachable } from "../base/index.ts";
import type { Network } from "../committee/index.ts";
import type { AcceptedBatch, Protocol } from "../consensus/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import type { MirrorState, MirrorView } from "../mirror/index.ts";
import { type CosignEffect, Cosigning, type SizedCosignature } from "./cosigning.ts";
import type { HostEffect, HostRecord } from "./effects.ts";
import { certifiedWrites, Executor, type ExecutorEffect } from "./executor.ts";
import { mirrorConfigOf } from "./network-config.ts";
import { batchesToReplay, type HostRecovery } from "./recovery.ts";
import { type CertifiedPoint, certifiedPointOf } from "./splitting.ts";

/** What follows, and what the others are to be told. */
export type ReplicaEffect =
  | HostEffect
  | Extract<HostRecord, { type: "guard-checkpoint" }>
  | Extract<CosignEffect, { type: "cosigned" | "contradiction" }>;

/** What follows from the order at a writer: executing it, and cosigning what came of it. */
export class Replica {
  readonly #executor: Executor;
  readonly #cosigning: Cosigning;
  readonly #recovery: HostRecovery;
  readonly #protocol: Protocol;
  #certified: CertifiedPoint | undefined;

  constructor(options: {
    readonly network: Network;
    readonly author: Author;
    readonly cosignSigner: Signer;
    readonly verifier: Verifier;
    readonly view: MirrorView;
    readonly recovery: HostRecovery;
    readonly leaseEveryMs?: number;
  }) {
    const { network, verifier, recovery, author, cosignSigner, leaseEveryMs = 60_000 } = options;
    this.#recovery = recovery;
    this.#protocol = network.consensus;
    this.#certified = recovery.certified;
    this.#executor = new Executor(recovery.state, mirrorConfigOf(network, verifier), options.view);
    const self = { author, signer: cosignSigner };
    const guard = recovery.guard.checkpoint;
    this.#cosigning = new Cosigning({ network, verifier, self, guard, leaseEveryMs });
    if (recovery.guard.joined !== undefined) this.leave();
  }

  get state(): MirrorState {
    return this.#executor.state;
  }

  get backlog(): number {
    return this.#executor.backlog;
  }

  /** Bytes of batches that wait in memory for a change list. */
  get backlogBytes(): number {
    return this.#executor.backlogBytes;
  }

  /** The last own cosignature: told to every peer that comes. */
  get cosignature(): SizedCosignature | undefined {
    return this.#cosigning.mine;
  }

  /** The newest checkpoint that is known to be certified. */
  get certified(): CertifiedPoint | undefined {
    return this.#certified;
  }

  /** It has joined a group that splits off: it cosigns no checkpoint of this one any more. */
  leave(): void {
    this.#cosigning.leave();
  }

  /** A certified checkpoint from elsewhere, of a size that this host has computed itself. */
  onNote(note: string): ReplicaEffect[] {
    return this.#fromCosigning(this.#cosigning.onNote(note));
  }

  /** Vouches again for the newest certified checkpoint, if it is time to, and names the next time. */
  renew(nowMs: number): ReplicaEffect[] {
    const effects = this.#fromCosigning(this.#cosigning.renew(nowMs));
    const atMs = this.#cosigning.renewAtMs;
    if (Number.isFinite(atMs)) effects.push({ type: "wake", atMs });
    return effects;
  }

  stateWritten(): void {
    this.#executor.written();
  }

  /** Executes what the log has and the state has not, and cosigns the last checkpoint anew. */
  start(nowMs: number): ReplicaEffect[] {
    const { due } = this.#recovery;
    if (due !== undefined) this.#executor.rememberDue(due);
    const effects = due === undefined ? [] : this.#fromCosigning(this.#cosigning.onDue(due, nowMs));
    for (const batch of batchesToReplay(this.#recovery, this.#protocol)) {
      effects.push(...this.accept(batch, nowMs));
    }
    return effects;
  }

  accept(batch: AcceptedBatch, nowMs: number): ReplicaEffect[] {
    return this.#fromExecutor(this.#executor.accept(batch), nowMs);
  }

  /** Batches that were left in the log. */
  acceptAgain(batches: readonly AcceptedBatch[], nowMs: number): ReplicaEffect[] {
    return this.#fromExecutor(this.#executor.acceptAgain(batches), nowMs);
  }

  changesHere(nowMs: number): ReplicaEffect[] {
    return this.#fromExecutor(this.#executor.run(), nowMs);
  }

  onCosignature(author: Author, cosignature: SizedCosignature): ReplicaEffect[] {
    return this.#fromCosigning(this.#cosigning.onCosignature(author, cosignature));
  }

  #fromExecutor(executed: readonly ExecutorEffect[], nowMs: number): ReplicaEffect[] {
    const effects: ReplicaEffect[] = [];
    for (const effect of executed) {
      effects.push(effect);
      if (effect.type !== "mirror" || effect.event.type !== "checkpoint-due") continue;
      effects.push(...this.#fromCosigning(this.#cosigning.onDue(effect.event.due, nowMs)));
    }
    return effects;
  }

  #fromCosigning(cosigned: readonly CosignEffect[]): ReplicaEffect[] {
    const effects: ReplicaEffect[] = [];
    for (const effect of cosigned) {
      if (effect.type === "certified") {
        const state = this.#executor.takeDueState(effect.due.size);
        if (state !== undefined) {
          this.#certified = certifiedPointOf(state);
          effects.push(certifiedWrites(state));
        }
      }
      effects.push(replicaEffectOf(effect));
    }
    return effects;
  }
}

function replicaEffectOf(effect: CosignEffect): ReplicaEffect {
  switch (effect.type) {
    case "guard-checkpoint":
    case "certified":
    case "cosigned":
    case "contradiction":
      return effect;
    case "other-root":
      return { type: "dropped", code: "OTHER_ROOT", peer: effect.author };
    default:
      return unreachable(effect);
  }
}
