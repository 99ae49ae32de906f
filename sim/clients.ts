import type { Digest, Prng } from "../src/core/base/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import { type Change, changesDigest, encodeChanges, signUpdate } from "../src/core/mirror/index.ts";
import type { SimWriter } from "./host.ts";
import type { World } from "./world.ts";

const trees = ["alpha", "beta"];

/** Clients that append messages and publish updates, each through a writer of chance. */
export class Clients {
  readonly #world: World;
  readonly #random: Prng;
  #count = 0;
  /** Updates that a writer took. */
  readonly taken = new Set<Digest>();

  constructor(world: World, random: Prng) {
    this.#world = world;
    this.#random = random;
  }

  start(everyMs: number, untilMs: number): void {
    this.#world.scheduler.after(everyMs * (0.2 + this.#random.below(1600) / 1000), () => {
      if (this.#world.scheduler.nowMs > untilMs) return;
      this.request();
      this.start(everyMs, untilMs);
    });
  }

  request(via: SimWriter | undefined = this.#writer()): void {
    if (via === undefined || !via.takes) return;
    if (this.#random.chance(0.3)) this.#publish(via);
    else this.append(via);
  }

  #writer(): SimWriter | undefined {
    const up = this.#world.writers.filter((writer) => writer.takes);
    return up[this.#random.below(Math.max(1, up.length))];
  }

  append(via: SimWriter): string | undefined {
    const text = `m${this.#count++} via ${via.id}`;
    this.#world.submitted.set(text, via.id);
    return via.append(Buffer.from(text)) === undefined ? undefined : text;
  }

  /** A signed update of one to three files; now and then it insists on what it cannot have seen. */
  #publish(via: SimWriter): void {
    const { signatures, network } = this.#world;
    const tree = trees[this.#random.below(trees.length)] ?? "alpha";
    const files = Array.from({ length: 1 + this.#random.below(3) }, () => this.#file());
    const paths = [...new Map(files.map((file) => [file.change.path, file])).values()];
    const bytes = encodeChanges({
      tree,
      baseHeight: 0,
      changes: paths.map(({ change }) => change),
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
    const blobs = [...paths.map(({ blob }) => blob), { digest: record.changes.digest, bytes }];
    void via.blobs.putSmall(blobs).then(() => {
      if (!via.takes) return;
      via.order(update);
      this.taken.add(update.id);
    });
  }

  #file(): {
    readonly change: Change;
    readonly blob: { readonly digest: Digest; readonly bytes: Uint8Array };
  } {
    const bytes = Buffer.from(`content ${this.#random.below(50)}`);
    const digest = sha256(bytes);
    const path = `d${this.#random.below(3)}/f${this.#random.below(4)}`;
    const leaf = this.#random.chance(0.2)
      ? undefined
      : { kind: "file" as const, digest, size: bytes.length, executable: false };
    const expect = this.#random.chance(0.2) ? "absent" : "anything";
    return { change: { path, leaf, expect }, blob: { digest, bytes } };
  }
}
