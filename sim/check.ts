import { fitsOrder, type Verdict } from "../src/core/accountability/index.ts";
import type { Author, Digest } from "../src/core/base/index.ts";
import { type AcceptedBatch, type Certificate, messagesOf } from "../src/core/consensus/index.ts";
import { verifyNote } from "../src/core/crypto/index.ts";
import {
  blockFromWire,
  blockOf,
  dagConfigOf,
  readCertificate,
  verifySignedHeader,
} from "../src/core/dag/index.ts";
import {
  type Appended,
  appendOf,
  type DueRecord,
  type MirrorEvent,
  messageKinds,
} from "../src/core/mirror/index.ts";
import type { HostRecovery } from "../src/core/replica/index.ts";
import { StorageError } from "../src/io/ports/index.ts";
import { decodeMessage } from "./messages.ts";
import type { Checks, Named, NamedWriter, Proof, Realm } from "./realm.ts";

type Finished = Extract<MirrorEvent, { type: "finished" }>;
type Height = Extract<MirrorEvent, { type: "height" }>["record"];

/** Application messages of a batch, as text, with the ticket of each: plain ones first, then what clients numbered. */
function* messagesIn(
  batch: AcceptedBatch,
  appends: readonly (Appended | undefined)[],
): Generator<{ text: string; ticket: number; author: Author }> {
  for (const { bytes, ticket, author } of messagesOfKind(batch, messageKinds.application))
    yield { text: Buffer.from(bytes).toString(), ticket, author };
  let nth = 0;
  for (const { bytes, author } of messagesOfKind(batch, messageKinds.append)) {
    const record = appendOf(bytes);
    if (appends[nth++]?.isNew === true && record !== undefined)
      yield { text: Buffer.from(record.data).toString(), ticket: 0, author };
  }
}

function* messagesOfKind(
  batch: AcceptedBatch,
  kind: number,
): Generator<{ bytes: Uint8Array; ticket: number; author: Author }> {
  for (const { author, segments, tickets } of batch.payloads)
    for (const [i, segment] of segments.entries())
      if (segment.kind === kind)
        for (const bytes of messagesOf(segment)) yield { bytes, ticket: tickets[i] ?? 0, author };
}

/** How far honest clocks are off at most, milliseconds, and how fast they get farther. */
export const worstClock = { skewMs: 60_000, drift: 0.1 };

/** From what one host saw to what all have ordered. */
const provenWithinMs = 10_000;

/** One canonical history, and everything that any honest host does compared with it (`reliability.md` ii-4). */
export class Check implements Checks {
  readonly #world: Realm;
  readonly #commits: Digest[] = [];
  readonly #stateAt = new Map<number, string>();
  readonly #roots = new Map<number, string>();
  readonly #heights: string[] = [];
  readonly #outcomes = new Map<Digest, string>();
  /** `author/round` or `author/size` → what was signed there. */
  readonly #signed = new Map<string, string>();
  readonly #sentRound = new Map<string, number>();
  /** Those that were looked at. */
  readonly #certificates = new Set<string>();
  /** host/life → size of its newest certified checkpoint. */
  readonly #certifiedSize = new Map<string, number>();
  #lastFrame: Uint8Array | undefined;
  /** Application messages in the canonical order. */
  readonly messages: string[] = [];
  readonly #places = new Map<string, number>();
  /** Told to a client: message → index. */
  readonly acked = new Map<string, number>();
  readonly published = new Set<Digest>();
  /** Writers that evidence named. */
  readonly culprits = new Set<Author>();
  readonly #found: {
    readonly id: string;
    readonly life: number;
    readonly author: Author;
    readonly atMs: number;
  }[] = [];
  readonly #convictedMs = new Map<string, number>();
  /** The longest time from the sight of a misdeed to its proof at a host. */
  slowestProofMs = 0;
  failure: string | undefined;

  constructor(world: Realm) {
    this.#world = world;
  }

  fail(invariant: string, detail: string): void {
    this.failure ??= `${invariant} at ${this.#world.scheduler.nowMs.toFixed(0)} ms: ${detail}`;
  }

  get commits(): number {
    return this.#commits.length;
  }

  #same<K>(place: Map<K, string>, key: K, value: string): boolean {
    const known = place.get(key);
    if (known === undefined) place.set(key, value);
    return known === undefined || known === value;
  }

  /** I1, I2: every honest log is a prefix of one canonical log. I22: its time is within what honest clocks say. */
  accepted(host: Named, { index, digest, tsMs }: AcceptedBatch): void {
    if (!host.isHonest) return;
    const { epochMs, scheduler } = this.#world;
    const latestMs = epochMs + scheduler.nowMs * (1 + worstClock.drift) + worstClock.skewMs;
    if (tsMs > latestMs)
      this.fail("I22", `commit ${index} is of ${tsMs}, after every honest clock`);
    const known = this.#commits[index - 1];
    if (known === undefined) {
      if (index !== this.#commits.length + 1)
        return this.fail("I2", `${host.id} accepted commit ${index} after ${this.#commits.length}`);
      this.#commits.push(digest);
    } else if (known !== digest)
      this.fail("I1", `${host.id} accepted another commit ${index} than others`);
  }

  /** I8, I10: the same messages at the same places; each once. I9: the same state at the same commit. */
  executed(
    host: Named,
    batch: AcceptedBatch,
    at: { readonly firstMessage: number; readonly appends: readonly (Appended | undefined)[] },
  ): void {
    if (!host.isHonest) return;
    let index = at.firstMessage;
    for (const { text, ticket } of messagesIn(batch, at.appends)) {
      if (index === this.messages.length) this.#place(text, index);
      else if (this.messages[index] !== text)
        this.fail("I2", `${host.id} has "${text}" at ${index}, others "${this.messages[index]}"`);
      if (ticket !== 0) {
        this.acked.set(text, index);
        this.#world.onAcknowledged(host, text);
      }
      index++;
    }
  }

  #place(text: string, index: number): void {
    this.messages.push(text);
    const before = this.#places.get(text);
    this.#places.set(text, index);
    if (before !== undefined && !this.#world.mayRepeat(text))
      this.fail("I10", `"${text}" stands at ${before} and at ${index}`);
    if (!this.#world.submitted.has(text)) this.fail("I3", `nobody submitted "${text}"`);
  }

  /** I9: one root for a size. I6: a quorum of distinct cosigners. I12: a life of a host never goes back. */
  certified(host: Named, due: DueRecord, note: string): void {
    if (!host.isHonest) return;
    if (!this.#same(this.#roots, due.size, Buffer.from(due.root).toString("hex")))
      this.fail("I9", `${host.id} certified another root of size ${due.size}`);
    const { origin, cosigners, quorum } = this.#world.network;
    const { verifier } = this.#world.signatures;
    const verified = verifyNote(note, { origin, cosigners, quorum, verifier });
    if (!verified.ok) this.fail("I6", `${host.id} certified ${due.size}: ${verified.error.detail}`);
    const life = `${host.id}/${host.life}`;
    const before = this.#certifiedSize.get(life) ?? 0;
    this.#certifiedSize.set(life, due.size);
    if (due.size < before) this.fail("I12", `${host.id} went back from ${before} to ${due.size}`);
  }

  /** I6: distinct writers of this network, an honest one among them for sure, all for the one commit. */
  certificate(host: Named, certificate: Certificate): void {
    if (!host.isHonest) return;
    const read = readCertificate(certificate.bytes);
    if (!read.ok) return this.fail("I6", `${host.id} keeps a certificate that nobody can read`);
    const { index, digest, voters } = read.value;
    if (this.#certificates.has(`${index} ${digest}`)) return;
    this.#certificates.add(`${index} ${digest}`);
    const { network, signatures } = this.#world;
    const authors = new Set<Author>();
    for (const voter of voters) {
      const header = verifySignedHeader(voter, dagConfigOf(network), signatures.verifier);
      if (!header.ok) continue;
      const { ref, header: voted } = header.value;
      if (voted.commitVotes.some((vote) => vote.index === index && vote.digest === digest))
        authors.add(ref.author);
    }
    if (authors.size <= network.faults.f)
      this.fail("I6", `${host.id} took ${authors.size} writers' votes for commit ${index}`);
    const canonical = this.#commits[index - 1];
    if (canonical !== undefined && canonical !== digest)
      this.fail("I1", `${host.id} has a certificate of another commit ${index}`);
  }

  height(host: Named, record: Height): void {
    if (!host.isHonest) return;
    const text = JSON.stringify([
      record.height,
      record.tree,
      record.by,
      record.changes,
      record.tsMs,
    ]);
    const known = this.#heights[record.height - 1];
    if (known === undefined) this.#heights[record.height - 1] = text;
    else if (known !== text)
      this.fail("I9", `${host.id} has another height ${record.height}: ${text}, others ${known}`);
  }

  finished(host: Named, { id, outcome, height }: Finished): void {
    if (!host.isHonest) return;
    if (outcome === "published" && !this.published.has(id)) {
      this.published.add(id);
      this.#world.note("published", host.id, `height ${height}`);
    }
    const known = this.#outcomes.get(id);
    const text = `${outcome} ${height}`;
    if (known !== undefined && known !== text)
      this.fail("I9", `${host.id}: update ${id.slice(0, 8)} ended ${text}, elsewhere ${known}`);
    this.#outcomes.set(id, text);
  }

  get heights(): number {
    return this.#heights.length;
  }

  /** I15: evidence accuses only those that the simulation made cheat. */
  evidence(host: Named, proof: Proof): void {
    if (!host.isHonest) return;
    const { author, offence, detail } = proof;
    if (author === undefined) return this.fail("I15", `${host.id}: a reader is accused: ${detail}`);
    this.culprits.add(author);
    this.#world.sometimes(`evidence: ${offence.split(" ")[0]}`);
    if (!this.#world.isByzantine(author))
      this.fail("I15", `${host.id} accuses an honest writer: ${detail}`);
  }

  /** An honest host holds a proof that the order may not have yet. */
  found(host: Named, proof: Verdict): void {
    this.evidence(host, proof);
    // One that is too long for the order convicts only where it was found.
    if (!host.isHonest || proof.author === undefined || !fitsOrder(proof.wire)) return;
    const { life, id } = host;
    this.#found.push({ id, life, author: proof.author, atMs: this.#world.scheduler.nowMs });
  }

  /** The order convicted a writer, at this host. */
  convicted(host: Named, proof: Proof): void {
    this.evidence(host, proof);
    const key = `${host.id} ${proof.author}`;
    if (!this.#convictedMs.has(key)) this.#convictedMs.set(key, this.#world.scheduler.nowMs);
  }

  /**
   * I16: what a healed host saw is proven at all of them, within ten seconds of the sight or of the healing. What its
   * later life does not remember is nobody's any more.
   */
  allProven(hosts: readonly Named[], healedMs: number): void {
    const { nowMs } = this.#world.scheduler;
    for (const { id, life, author, atMs } of this.#found) {
      const fromMs = Math.max(atMs, healedMs);
      const isHere = hosts.some((host) => host.id === id && host.life === life);
      if (!isHere || nowMs < fromMs + provenWithinMs) continue;
      for (const host of hosts) {
        const tookMs = (this.#convictedMs.get(`${host.id} ${author}`) ?? nowMs + 1) - fromMs;
        this.slowestProofMs = Math.max(this.slowestProofMs, tookMs);
        if (tookMs > provenWithinMs)
          this.fail(
            "I16",
            `${host.id} has no proof against w${author} after ${tookMs} ms, ${id} has`,
          );
      }
    }
  }

  /** An honest host closes no honest host's link for misbehaviour. */
  disconnected(host: Named, peer: Author, code: string): void {
    this.#world.sometimes(`disconnected: ${code.split(":")[0]}`);
    if (host.isHonest && !this.#world.isByzantine(peer))
      this.fail("I15", `${host.id} banned the honest writer ${peer}: ${code}`);
  }

  /** I4: no honest key signs two things for one place, across restarts. */
  sent(host: NamedWriter, frame: Uint8Array): void {
    // A broadcast is one frame to all.
    if (frame === this.#lastFrame) return;
    this.#lastFrame = frame;
    const message = decodeMessage(frame);
    if (!message.ok)
      return this.fail("I4", `${host.id} sent what does not read: ${message.error.code}`);
    if (message.value.type === "cosignature") {
      const { size, root } = message.value;
      const cosigned = `${host.author}/c${size}`;
      if (!this.#same(this.#signed, cosigned, Buffer.from(root).toString("hex")))
        this.fail("I4", `${host.id} cosigned two roots of size ${size}`);
    }
    if (message.value.type !== "block") return;
    const block = blockFromWire(message.value.wire);
    if (!block.ok || block.value.ref.author !== host.author) return;
    const { round, digest } = block.value.ref;
    if (!this.#same(this.#signed, `${host.author}/${round}`, digest))
      this.fail("I4", `${host.id} signed two blocks of round ${round}`);
    this.#sentRound.set(host.id, Math.max(this.#sentRound.get(host.id) ?? 0, round));
  }

  /** I7, I25: what left a host is on its disk, or the host knows that it may not sign. */
  recovered(host: NamedWriter, recovery: HostRecovery): void {
    if (!host.isHonest) return;
    const sent = this.#sentRound.get(host.id) ?? 0;
    const known = Math.max(
      recovery.guard.place,
      ...recovery.records.map((record) => {
        const ref = blockOf(record)?.ref;
        return ref?.author === host.author ? ref.round : 0;
      }),
    );
    if (!recovery.maySign) return this.#world.sometimes("a host that may not sign after a restart");
    if (known < sent && !this.#world.mayForget(host))
      this.fail("I7", `${host.id} sent round ${sent}; its disk knows of ${known} and would sign`);
  }

  halted(host: Named, error: unknown): void {
    const text = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
    if (error instanceof StorageError) {
      this.#world.sometimes(`stopped: ${error.code}`);
      if (host.isHonest && !this.#world.hadDiskFault(host))
        this.fail("I21", `${host.id} stopped: ${text}`);
      return;
    }
    if (host.isHonest) this.fail("H", `${host.id} stopped: ${text}`);
  }

  /** The shared state of two honest hosts at one commit is byte for byte the same. */
  image(host: Named, commit: number, image: string): void {
    if (!this.#same(this.#stateAt, commit, image)) {
      const other = this.#stateAt.get(commit)?.split("\n") ?? [];
      const mine = image.split("\n");
      const line = mine.find((one, i) => one !== other[i]) ?? "a missing line";
      this.fail("I9", `${host.id}: another state at commit ${commit}: ${line.slice(0, 200)}`);
    }
  }

  /** I8: everything told to a client stands where it was told. */
  everythingAcked(): void {
    for (const [text, index] of this.acked)
      if (this.messages[index] !== text) this.fail("I8", `"${text}" was acknowledged at ${index}`);
  }
}
