import type { Digest, Prng } from "../src/core/base/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import { changesDigest, encodeChanges, signAppend, signUpdate } from "../src/core/mirror/index.ts";
import type { SimWriter } from "./host.ts";
import { type File, Registers } from "./registers.ts";
import type { World } from "./world.ts";

const trees = ["alpha", "beta"];

/** Clients that append messages, publish updates and use registers, each through a writer of chance. */
export class Clients {
  readonly #world: World;
  readonly #random: Prng;
  readonly registers: Registers;
  #count = 0;

  constructor(world: World, random: Prng) {
    this.#world = world;
    this.#random = random;
    this.registers = new Registers(world, random, this);
  }

  start(everyMs: number, untilMs: number): void {
    this.#world.scheduler.after(everyMs * (0.2 + this.#random.below(1600) / 1000), () => {
      if (this.#world.scheduler.nowMs > untilMs) return;
      this.#request();
      this.start(everyMs, untilMs);
    });
  }

  #request(): void {
    const via = this.#writer();
    if (via === undefined) return;
    const what = this.#random.below(10);
    if (what < 2) void this.publish(via, this.#someFiles());
    else if (what < 5) this.registers.operate(via);
    else if (what < 7) this.#appendOnce();
    else this.append(via);
  }

  #writer(): SimWriter | undefined {
    const up = this.#world.writers.filter((writer) => writer.takes);
    return up[this.#random.below(Math.max(1, up.length))];
  }

  /** The message, or undefined where the writer does not take any. */
  append(via: SimWriter): string | undefined {
    const text = `m${this.#count++} via ${via.id}`;
    this.#world.submitted.set(text, via.id);
    if (via.append(Buffer.from(text)) === undefined) return undefined;
    if (via.isHonest) this.#world.submittedMs.set(text, this.#world.scheduler.nowMs);
    return text;
  }

  /** A numbered message, given to all that take it, honest or not: it is ordered once all the same. */
  #appendOnce(): void {
    const { signatures, network, submitted, submittedMs, scheduler, writers } = this.#world;
    const signer = signatures.signer("appender");
    const text = `once ${this.#count}`;
    const data = Buffer.from(text);
    const lengths = Buffer.alloc(4);
    lengths.writeUInt32LE(data.length);
    const { group } = network;
    const record = { group, client: signer.publicKey, sequence: this.#count++, lengths, data };
    const { wire } = signAppend(record, signer);
    const takers = writers.filter((writer) => writer.takes && writer.appendOnce(wire));
    const [first] = takers;
    if (first === undefined) return;
    // Nobody in particular answers for it: it stands once, whoever cheats.
    submitted.set(text, "");
    if (takers.some(({ isHonest }) => isHonest)) submittedMs.set(text, scheduler.nowMs);
  }

  /** A signed update; its id once the writer has it, or undefined where the writer does not take any. */
  async publish(
    via: SimWriter,
    { tree, files }: { readonly tree: string; readonly files: readonly File[] },
  ): Promise<Digest | undefined> {
    const { signatures, network } = this.#world;
    const bytes = encodeChanges({
      tree,
      baseHeight: 0,
      changes: files.map(({ change }) => change),
    });
    const signer = signatures.signer("publisher");
    const record = {
      group: network.group,
      publisher: signer.publicKey,
      tree,
      changes: { digest: changesDigest(bytes), bytes: bytes.length },
      nonce: sha256(Buffer.from(`nonce ${this.#count++} ${this.#world.plan.seed}`)).slice(0, 32),
    };
    const update = signUpdate(record, signer);
    await via.blobs.putSmall([
      ...files.map(({ blob }) => blob),
      { digest: record.changes.digest, bytes },
    ]);
    return via.order(update) === undefined ? undefined : update.id;
  }

  /** One to three files; now and then they insist on what they cannot have seen. */
  #someFiles(): { readonly tree: string; readonly files: readonly File[] } {
    const tree = trees[this.#random.below(trees.length)] ?? "alpha";
    const files = Array.from({ length: 1 + this.#random.below(3) }, () => this.#file());
    return { tree, files: [...new Map(files.map((file) => [file.change.path, file])).values()] };
  }

  #file(): File {
    const bytes = Buffer.from(`content ${this.#random.below(50)}`);
    const digest = sha256(bytes);
    const path = `d${this.#random.below(3)}/f${this.#random.below(4)}`;
    const leaf = this.#random.chance(0.2)
      ? undefined
      : { kind: "file" as const, digest, size: bytes.length, executable: false };
    const expect = this.#random.chance(0.2) ? "absent" : "anything";
    return { change: { path, leaf, expect }, blob: { digest, bytes } };
  }

  /** A file that nothing stands in the way of. */
  publishNew(via: SimWriter): void {
    const bytes = Buffer.from(`new ${this.#count}`);
    const digest = sha256(bytes);
    const leaf = { kind: "file" as const, digest, size: bytes.length, executable: false };
    const change = { path: `new/${this.#count}`, leaf, expect: "anything" as const };
    void this.publish(via, { tree: "beta", files: [{ change, blob: { digest, bytes } }] });
  }
}
