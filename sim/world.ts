import {
  type Author,
  Author as authorOf,
  type Digest,
  Prng,
  type PublicKey,
} from "../src/core/base/index.ts";
import { type Network, networkOf } from "../src/core/committee/index.ts";
import type { Signer } from "../src/core/crypto/index.ts";
import { dag } from "../src/core/dag/index.ts";
import type { MirrorEvent } from "../src/core/mirror/index.ts";
import { adversaries } from "./adversaries.ts";
import { Check } from "./check.ts";
import { type Signatures, signaturesOf } from "./crypto.ts";
import { SimWriter } from "./host.ts";
import { lies } from "./lies.ts";
import { SimNetwork } from "./network.ts";
import { malloryRights, type Plan } from "./plan.ts";
import { SimReader } from "./reader.ts";
import type { Named, NamedWriter, Note, Realm } from "./realm.ts";
import { Scheduler } from "./scheduler.ts";

const treeNames = ["alpha", "beta"];

/** One seed's world: hosts, network, clock, and everything that is known about them for checking. */
export class World implements Realm {
  readonly plan: Plan;
  readonly random: Prng;
  readonly scheduler = new Scheduler();
  readonly signatures: Signatures;
  readonly network: Network;
  readonly links: SimNetwork;
  readonly check: Check;
  readonly writers: SimWriter[] = [];
  readonly twins: SimWriter[] = [];
  readonly far = new Set<Author>();
  readonly readers: SimReader[] = [];
  readonly epochMs = 1_700_000_000_000;
  /** Messages that clients sent, and through whom. */
  readonly submitted = new Map<string, string>();
  /** Those that an honest writer took, and when, until they are ordered. */
  readonly submittedMs = new Map<string, number>();
  onFinished: (host: Named, event: Extract<MirrorEvent, { type: "finished" }>) => void = () =>
    undefined;
  onAcknowledged: (host: Named, text: string) => void = () => undefined;
  /** An honest host dropped something that it was sent. */
  onDropped: (code: string) => void = () => undefined;
  readonly reached = new Map<string, number>();
  readonly misdeeds = new Map<string, number>();
  onNote: (note: Note) => void = () => undefined;
  readonly #diskFaults = new Set<string>();
  readonly #lossy = new Set<string>();
  readonly #forgetful = new Set<string>();
  readonly #firstAnswers = new Map<string, Uint8Array>();
  readonly #oldAnswers = new Map<string, Uint8Array>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.random = new Prng(plan.seed ^ 0x5eed);
    this.signatures = signaturesOf(plan.isRealCrypto);
    this.network = this.#makeNetwork();
    this.links = new SimNetwork(this.scheduler, new Prng(this.random.next()));
    this.check = new Check(this);
    for (let i = 0; i < plan.n; i++)
      this.writers.push(this.#makeWriter(`w${i}`, i, !plan.corrupt.has(i)));
    for (let i = 0; i < plan.readers; i++)
      this.readers.push(new SimReader(this, `r${i}`, !plan.liars.has(i)));
    for (const [author, names] of plan.corrupt)
      for (const name of names.split("+")) {
        const adversary = adversaries.find((one) => one.name === name);
        const writer = this.writers[author];
        if (adversary === undefined || writer === undefined)
          throw new Error(`no adversary ${name}`);
        adversary.corrupt(writer, this);
      }
  }

  #makeNetwork(): Network {
    const { plan } = this;
    const publisher = this.signatures.signer("publisher").publicKey;
    const made = networkOf(
      {
        name: `sim ${plan.seed}`,
        timeMs: this.epochMs,
        faults: plan.rule.budget,
        consensus: {
          algorithm: dag.name,
          parameters: { rule: plan.rule.name, leadersPerRound: plan.leaders },
        },
        writers: Array.from({ length: plan.n }, (_, i) => {
          const key = (role: string): PublicKey =>
            this.signatures.signer(`w${i} ${role}`).publicKey;
          return {
            name: `w${i}`,
            nodeKey: key("node"),
            blockKey: key("block"),
            cosignKey: key("cosign"),
            address: `w${i}:1`,
            http: `http://w${i}`,
          };
        }),
        administrators: [this.signatures.signer("administrator").publicKey],
        publishers: [
          { key: publisher, name: "publisher", trees: treeNames },
          ...(plan.hasMallory ? [this.#mallory] : []),
        ],
      },
      [dag],
    );
    if (!made.ok) throw new Error(made.error.detail);
    return made.value;
  }

  get #mallory(): Network["genesis"]["publishers"][number] {
    const { publicKey: key } = this.signatures.signer("mallory");
    return { key, name: "mallory", trees: [malloryRights.tree], perHour: malloryRights.perHour };
  }

  signersOf(author: Author): { readonly block: Signer; readonly cosign: Signer } {
    return {
      block: this.signatures.signer(`w${author} block`),
      cosign: this.signatures.signer(`w${author} cosign`),
    };
  }

  #makeWriter(id: string, index: number, isHonest: boolean): SimWriter {
    const author = authorOf(index);
    return new SimWriter(this, { id, author, isHonest, signers: this.signersOf(author) });
  }

  get isDivided(): boolean {
    return this.plan.corrupt.size > this.network.faults.f;
  }

  /** With more twins than the row bears, the network is divided as they are: the fork that must then be seen. */
  divided(): void {
    if (!this.isDivided) return;
    for (const a of this.honestWriters) {
      for (const b of this.honestWriters) {
        if (this.far.has(a.author) === this.far.has(b.author)) this.links.unblock(a.id, b.id);
        else this.links.block(a.id, b.id);
      }
    }
  }

  /** An operator starts a writer once more, from a copy of its disk: from here on it counts as a cheater. */
  double(writer: SimWriter): void {
    const copy = this.addTwin(writer);
    copy.disk.restore(writer.disk.backup());
    copy.state.restore(writer.state.backup());
    copy.blobs.takeOver(writer.blobs);
    writer.isHonest = false;
    void copy.boot();
  }

  /** A second copy of a cheater: its own disk, the same keys, the same links. */
  addTwin({ id, author }: NamedWriter): SimWriter {
    const writer = this.writers[author];
    const twin = this.#makeWriter(`${id}'`, author, false);
    twin.linksOf = writer;
    if (writer !== undefined) writer.twin = twin;
    this.twins.push(twin);
    return twin;
  }

  get hosts(): readonly (SimWriter | SimReader)[] {
    return [...this.writers, ...this.twins, ...this.readers];
  }

  get honestWriters(): readonly SimWriter[] {
    return this.writers.filter((writer) => writer.isHonest);
  }

  get honest(): readonly (SimWriter | SimReader)[] {
    return this.hosts.filter((host) => host.isHonest);
  }

  isByzantine(author: Author): boolean {
    return this.writers[author]?.isHonest !== true;
  }

  /** Writers that used up a fault: cheaters, and those whose disks lost what was synced. */
  get faulty(): number {
    return this.writers.filter((writer) => !writer.isHonest || this.#lossy.has(writer.id)).length;
  }

  /** A message that a cheater took may stand in the order twice: it signs what it likes. */
  mayRepeat(text: string): boolean {
    if (text.startsWith("once ")) return false;
    const via = this.writers.find(({ id }) => id === this.submitted.get(text));
    return via === undefined || !via.isHonest;
  }

  async start(): Promise<void> {
    for (const writer of [...this.writers, ...this.twins])
      void writer.install().then(() => writer.boot());
    for (const reader of this.readers) void reader.boot();
  }

  // ── what happened, for checks and campaigns ──

  sometimes(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1);
  }

  droppedAt(host: Named, code: string): void {
    if (host.isHonest) this.onDropped(code);
  }

  note(kind: Note["kind"], host: string | undefined, text: string): void {
    this.onNote({ atMs: this.scheduler.nowMs, kind, host, text });
  }

  misdeed(name: string): void {
    this.misdeeds.set(name, (this.misdeeds.get(name) ?? 0) + 1);
  }

  /**
   * This host's disk failed: it may stop. If it lost what was on it, that is one of the faults that the rule bears;
   * if it forgot, it may not know that it must not sign.
   */
  blameDisk(host: Named, how: "failed" | "lost" | "forgot"): void {
    this.#diskFaults.add(host.id);
    if (how !== "failed") this.#lossy.add(host.id);
    if (how === "forgot") this.#forgetful.add(host.id);
  }

  /** What the error of a damaged disk asks of the operator; only for disks that did lose something. */
  giveEmptyDisk(host: SimWriter): void {
    if (host.isUp || !this.#lossy.has(host.id)) return;
    this.sometimes("a damaged disk was refused");
    host.loseAll();
    void host.boot();
  }

  hadDiskFault(host: Named): boolean {
    return this.#diskFaults.has(host.id);
  }

  mayForget(host: Named): boolean {
    return this.#forgetful.has(host.id);
  }

  syncMs(random: Prng): number {
    return this.plan.syncMs * (0.2 + random.below(1000) / 600);
  }

  // ── plain HTTP between hosts ──

  /** Content by hash, from somebody who has it; liars give something else. */
  async content(asker: Named, digest: Digest): Promise<Uint8Array | undefined> {
    const holders = this.hosts.filter(
      (host) => host.isUp && host.id !== asker.id && host.blobs.has(digest),
    );
    await this.scheduler.sleep(2 * this.links.delayMs());
    const source = holders[this.random.below(Math.max(1, holders.length))];
    if (
      source === undefined ||
      !source.isUp ||
      source.isPaused ||
      this.links.isCut(source.id, asker.id)
    )
      return undefined;
    const bytes = source.blobs.has(digest) ? await source.blobs.read(digest) : undefined;
    return bytes === undefined || source.isHonest ? bytes : this.#lie(source.id, asker, bytes);
  }

  /** Certified commits from any host that is up. */
  async news(asker: Named, after: number, size: number): Promise<Uint8Array | undefined> {
    const sources = this.hosts.filter((host) => host.isUp && host.id !== asker.id);
    const source = sources[this.random.below(Math.max(1, sources.length))];
    await this.scheduler.sleep(this.links.delayMs());
    if (source === undefined || this.links.isCut(source.id, asker.id)) return undefined;
    const bytes = await source.answer(after, size);
    await this.scheduler.sleep(this.links.delayMs());
    return bytes === undefined || source.isHonest ? bytes : this.#lie(source.id, asker, bytes);
  }

  #lie(id: string, asker: Named, answer: Uint8Array): Uint8Array {
    const name = id.startsWith("r") ? this.plan.liars.get(Number(id.slice(1))) : "flipped";
    const lie = lies[name ?? ""];
    if (lie === undefined || this.random.chance(0.5)) return answer;
    const first = this.#firstAnswers.get(id) ?? answer;
    this.#firstAnswers.set(id, first);
    const old = this.#oldAnswers.get(id) ?? answer;
    if (this.random.chance(0.2)) this.#oldAnswers.set(id, answer);
    this.misdeed(`reader ${name}`);
    const isEven = this.hosts.findIndex((host) => host.id === asker.id) % 2 === 0;
    return lie({ answer, first, old, isEven }, this.random);
  }
}
