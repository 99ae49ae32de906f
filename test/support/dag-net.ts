import { Author, limits, Prng } from "../../src/core/base/index.ts";
import { type AcceptedBatch, segmentOf } from "../../src/core/consensus/index.ts";
import {
  type Commit,
  type DagConfig,
  type DagEffect,
  type DagInput,
  type DagMachine,
  type Ref,
  refKey,
  type VerifiedBlock,
  verifyBlock,
  verifyCommitRange,
} from "../../src/core/dag/index.ts";
import { machineOf } from "./dag-forge.ts";
import { fakeVerifier } from "./dag-world.ts";

/** One running machine. A two-faced cheater is two faces with one author. */
export interface Face {
  readonly author: number;
  /** Faces that get what this one broadcasts; undefined: all. */
  readonly audience: ReadonlySet<number> | undefined;
  readonly honest: boolean;
  machine: DagMachine;
  up: boolean;
  wakeAt: number;
  signedRound: number;
  blocks: Map<string, VerifiedBlock>;
  commits: Commit[];
  readonly digests: string[];
  readonly texts: string[];
}

export interface NetOptions {
  readonly config: DagConfig;
  readonly seed: number;
  /** Writers that run two machines under one key, each shown to one half of the others. */
  readonly twoFaced?: readonly number[];
  readonly loss?: number;
}

interface Delivery {
  readonly at: number;
  readonly run: () => void;
}

/** A small asynchronous network: reordering, loss, crashes, two-faced writers, commit sync as a host does it. */
export class DagNet {
  readonly faces: Face[] = [];
  readonly config: DagConfig;
  readonly random: Prng;
  violation: string | undefined;
  /** Commits taken by commit sync and not decided. */
  adopted = 0;
  now = 10_000;
  loss: number;
  #queue: Delivery[] = [];

  constructor(options: NetOptions) {
    this.config = options.config;
    this.random = new Prng(options.seed);
    this.loss = options.loss ?? 0;
    const n = this.config.keys.length;
    const cheats = new Set(options.twoFaced ?? []);
    const half = (odd: number): Set<number> =>
      new Set(Array.from({ length: n }, (_, i) => i).filter((i) => i % 2 === odd));
    for (let author = 0; author < n; author++) {
      this.faces.push(
        this.#face(author, cheats.has(author) ? half(0) : undefined, !cheats.has(author)),
      );
    }
    for (const author of cheats) this.faces.push(this.#face(author, half(1), false));
    for (const i of this.faces.keys()) this.step(i, { type: "start" });
    this.reach();
  }

  get honest(): Face[] {
    return this.faces.filter((face) => face.honest);
  }

  #face(author: number, audience: Set<number> | undefined, honest: boolean): Face {
    const machine = machineOf(this.config, author);
    const store = { blocks: new Map<string, VerifiedBlock>(), commits: [], digests: [], texts: [] };
    return {
      author,
      audience,
      honest,
      machine,
      up: true,
      wakeAt: Infinity,
      signedRound: 0,
      ...store,
    };
  }

  reach(): void {
    for (const [i, face] of this.faces.entries()) {
      const up = this.faces.filter((other) => other.up && other.author !== face.author);
      this.step(i, {
        type: "reachable",
        authors: new Set(up.map((other) => Author(other.author))),
      });
    }
  }

  kill(i: number): void {
    const face = this.faces[i];
    if (face !== undefined) face.up = false;
    this.reach();
  }

  restart(i: number): void {
    const face = this.faces[i];
    if (face === undefined) return;
    const blocks = [...face.blocks.values()];
    face.machine = machineOf(this.config, face.author, {
      blocks,
      commits: face.commits.filter(
        (commit) => commit.leader.round > (face.commits.at(-1)?.leader.round ?? 0) - 200,
      ),
      signedRound: face.signedRound,
      maySign: true,
    });
    face.up = true;
    this.step(i, { type: "start" });
    this.reach();
    this.resubscribe(i);
  }

  /** What fresh links do: each side streams the own blocks that the other may lack. */
  resubscribe(i: number): void {
    for (const [j, peer] of this.faces.entries()) {
      if (j === i) continue;
      for (const block of peer.machine.blocks.ownAbove(0)) this.send(j, i, block);
      for (const block of this.faces[i]?.machine.blocks.ownAbove(0) ?? []) this.send(i, j, block);
    }
  }

  submit(i: number, text: string): void {
    this.step(i, { type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from(text)]) });
  }

  step(i: number, input: DagInput): void {
    const face = this.faces[i];
    if (!face?.up) return;
    let effects: readonly DagEffect[];
    try {
      effects = face.machine.step(input, this.now);
    } catch (error) {
      // A cheater may trip over its own other face; a correct writer must never throw.
      if (face.honest) throw error;
      face.up = false;
      return;
    }
    for (const effect of effects) this.#perform(i, face, effect);
    const lag = face.machine.endorsedIndex - face.machine.lastCommit.index;
    if (input.type === "block" && lag > limits.commitLagMax) this.#after(() => this.sync(i));
  }

  #perform(i: number, face: Face, effect: DagEffect): void {
    switch (effect.type) {
      case "persist-block":
        face.blocks.set(refKey(effect.block.ref), effect.block);
        return;
      case "persist-commit":
        face.commits.push(effect.commit);
        return;
      case "guard":
        face.signedRound = effect.round;
        return;
      case "wake":
        face.wakeAt = Math.min(face.wakeAt, effect.atMs);
        return;
      case "missing":
        this.#fetchAll(i, effect.refs);
        return;
      case "broadcast":
        this.#broadcast(i, effect.block);
        return;
      case "accept":
        face.digests.push(effect.batch.digest);
        face.texts.push(...textsOf(effect.batch));
        return;
      case "violation":
        if (face.honest) this.violation ??= `face ${i}: ${effect.detail}`;
        return;
      case "equivocation":
      case "dropped":
        return;
    }
  }

  #broadcast(i: number, block: VerifiedBlock): void {
    for (const j of this.faces.keys()) this.send(i, j, block);
  }

  #fetchAll(i: number, refs: readonly Ref[]): void {
    for (const ref of refs) this.#fetch(i, ref);
  }

  send(from: number, to: number, block: VerifiedBlock): void {
    const source = this.faces[from];
    if (from === to || source === undefined || this.random.chance(this.loss)) return;
    if (source.audience !== undefined && !source.audience.has(to)) return;
    this.#after(() => this.deliver(to, block, { from: source.author, how: "pushed" }));
  }

  deliver(
    to: number,
    block: VerifiedBlock,
    by: { readonly from: number; readonly how: "pushed" | "fetched" },
  ): void {
    const verified = verifyBlock(block.wire, this.config, fakeVerifier);
    if (verified.ok)
      this.step(to, { type: "block", block: verified.value, from: Author(by.from), how: by.how });
  }

  #after(run: () => void): void {
    const slow = this.random.chance(0.05) ? 200 : 0;
    this.#queue.push({
      at: this.now + 1 + this.random.below(10) + this.random.below(slow + 1),
      run,
    });
  }

  #fetch(i: number, ref: Ref): void {
    const holders = this.faces.filter((face) => face.up && face.blocks.has(refKey(ref)));
    const holder = holders[this.random.below(holders.length)];
    const block = holder?.blocks.get(refKey(ref));
    if (holder === undefined || block === undefined) return;
    this.#after(() => this.deliver(i, block, { from: holder.author, how: "fetched" }));
  }

  /** Commit sync from the honest face that can prove the most. */
  sync(i: number): void {
    const face = this.faces[i];
    const after = face?.machine.lastCommit;
    if (face === undefined || after === undefined) return;
    for (const peer of this.honest) {
      const certificate = peer.machine.certified;
      if (!peer.up || certificate === undefined || certificate.index <= after.index) continue;
      const commits = peer.commits.filter(
        ({ index }) => index > after.index && index <= certificate.index,
      );
      const wires = commits.map((commit) => ({
        commit,
        blocks: commit.blocks.map((ref) => (peer.blocks.get(refKey(ref)) as VerifiedBlock).wire),
      }));
      const { voters } = certificate;
      const by = { config: this.config, verifier: fakeVerifier };
      const verified = verifyCommitRange({ commits: wires, voters }, after, by);
      if (!verified.ok) continue;
      this.adopted += verified.value.commits.length;
      this.step(i, { type: "certified", ...verified.value });
      return;
    }
  }

  /** Runs until nothing is left to happen; false if `untilMs` came first. */
  run(untilMs: number): boolean {
    while (this.now < untilMs) {
      const wake = Math.min(...this.faces.filter((face) => face.up).map((face) => face.wakeAt));
      const next = this.#queue.reduce<Delivery | undefined>(
        (a, b) => (a === undefined || b.at < a.at ? b : a),
        undefined,
      );
      const at = Math.min(wake, next?.at ?? Infinity);
      if (at === Infinity) return true;
      if (at > untilMs) break;
      this.now = Math.max(this.now, at);
      if (next !== undefined && next.at <= wake) {
        this.#queue.splice(this.#queue.indexOf(next), 1);
        next.run();
        continue;
      }
      this.#wake();
    }
    this.now = Math.max(this.now, untilMs);
    return false;
  }

  #wake(): void {
    for (const [i, face] of this.faces.entries()) {
      if (!face.up || face.wakeAt > this.now) continue;
      face.wakeAt = Infinity;
      this.step(i, { type: "tick" });
    }
  }

  /** What a host does now and then: ask again for what is missing, and for commits it lags behind. */
  repair(): void {
    for (const [i, face] of this.faces.entries()) {
      if (!face.up) continue;
      for (const ref of face.machine.admission.missing()) this.#fetch(i, ref);
      if (face.machine.endorsedIndex > face.machine.lastCommit.index)
        this.#after(() => this.sync(i));
    }
  }

  /** Undefined if all honest histories are prefixes of one another. */
  fork(): string | undefined {
    if (this.violation !== undefined) return this.violation;
    const longest = this.honest.reduce((a, b) => (b.digests.length > a.digests.length ? b : a));
    for (const face of this.honest) {
      const at = face.digests.findIndex((digest, i) => digest !== longest.digests[i]);
      if (at >= 0)
        return `writer ${face.author} differs from writer ${longest.author} at commit ${at + 1}`;
    }
    return undefined;
  }
}

function textsOf(batch: AcceptedBatch): string[] {
  const segments = batch.payloads.flatMap((payload) => payload.segments);
  return segments.map((segment) => Buffer.from(segment.data).toString());
}
