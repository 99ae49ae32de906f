import type { Digest, Prng } from "../src/core/base/index.ts";
import { type Signer, sha256 } from "../src/core/crypto/index.ts";
import {
  type Change,
  changesDigest,
  encodeChanges,
  type MirrorEvent,
  type SignedUpdate,
  signUpdate,
} from "../src/core/mirror/index.ts";
import type { SimWriter } from "./host.ts";
import { malloryRights } from "./plan.ts";
import type { Named } from "./realm.ts";
import type { World } from "./world.ts";

type Finished = Extract<MirrorEvent, { type: "finished" }>;
type Outcome = Finished["outcome"];

/** What it orders: an update, which lists it gives to a writer, and what may become of it. */
interface Trick {
  readonly tree?: string;
  readonly signer?: string;
  readonly changes: (count: number) => readonly Change[];
  /** Its record says that the list has so many bytes more. */
  readonly more?: number;
  /** What of it the writer that takes it has, all by default. */
  readonly isKept?: "all" | "list" | "nothing";
  /** The same nonce as the one before: the same update once more. */
  readonly isAgain?: boolean;
  readonly may: readonly Outcome[];
}

const content = Buffer.from("of mallory");
const leaf = {
  kind: "file",
  digest: sha256(content),
  size: content.length,
  executable: false,
} as const;
const absent = { kind: "file", digest: sha256(Buffer.from("nobody has it")), size: 13 } as const;
const deep = Array<string>(110).fill("d").join("/");

function put(path: string): Change {
  return { path, leaf, expect: "anything" };
}

const open = ["busy", "expired", "over-quota"] as const;

const tricks: Readonly<Record<string, Trick>> = {
  "a list that nobody has": {
    changes: (count) => [put(`lost ${count}`)],
    isKept: "nothing",
    may: open,
  },
  "content that nobody has": {
    changes: () => [{ ...put("a"), leaf: { ...absent, executable: false } }],
    isKept: "list",
    may: open,
  },
  "many deep paths": {
    changes: () => Array.from({ length: 300 }, (_, i) => put(`${i + 100}/${deep}`)),
    may: ["malformed", ...open],
  },
  "a false length": { changes: () => [put("a")], more: 7, may: ["malformed", ...open] },
  "one list in many updates": {
    changes: () => [put("same")],
    may: ["published", ...open],
  },
  "what another one sent": {
    changes: (count) => [put(`again ${count}`)],
    isAgain: true,
    may: ["published", ...open],
  },
  "a tree of others": {
    tree: "alpha",
    changes: () => [put("a")],
    may: ["not-permitted", "over-quota"],
  },
  "a key of nobody": {
    signer: "nobody",
    changes: () => [put("a")],
    may: ["not-permitted"],
  },
};

export const malloryTricks = Object.keys(tricks);

/** A publisher with rights to one tree who does whatever costs others something. */
export class Mallory {
  readonly #world: World;
  readonly #random: Prng;
  readonly #may = new Map<
    Digest,
    { readonly trick: string; readonly outcomes: readonly Outcome[] }
  >();
  #count = 0;

  constructor(world: World, random: Prng) {
    this.#world = world;
    this.#random = random;
  }

  start(everyMs: number, untilMs: number): void {
    this.#world.scheduler.after(everyMs * (0.2 + this.#random.below(1600) / 1000), () => {
      if (this.#world.scheduler.nowMs > untilMs) return;
      void this.#act();
      this.start(everyMs, untilMs);
    });
  }

  async #act(): Promise<void> {
    const name = malloryTricks[this.#random.below(malloryTricks.length)] ?? "";
    const trick = tricks[name];
    const takers = this.#world.writers.filter((writer) => writer.takes);
    if (trick === undefined || takers.length === 0) return;
    const { update, bytes } = this.#sign(trick);
    const via = takers[this.#random.below(takers.length)];
    if (via === undefined) return;
    this.#may.set(update.id, { trick: name, outcomes: trick.may });
    await this.#keep(via, { digest: update.record.changes.digest, bytes }, trick);
    // Whatever a writer's desk would say: a cheating writer orders it all the same.
    for (const taker of trick.isAgain === true ? takers : [via]) taker.order(update);
    this.#world.misdeed(`publisher: ${name}`);
  }

  #sign(trick: Trick): { readonly update: SignedUpdate; readonly bytes: Uint8Array } {
    const { signatures, network, plan } = this.#world;
    const signer: Signer = signatures.signer(trick.signer ?? "mallory");
    const tree = trick.tree ?? malloryRights.tree;
    const bytes = encodeChanges({ tree, baseHeight: 0, changes: trick.changes(this.#count) });
    const record = {
      group: network.group,
      publisher: signer.publicKey,
      tree,
      changes: { digest: changesDigest(bytes), bytes: bytes.length + (trick.more ?? 0) },
      nonce: sha256(Buffer.from(`mallory ${this.#count++} ${plan.seed}`)).slice(0, 32),
    };
    return { update: signUpdate(record, signer), bytes };
  }

  async #keep(
    via: SimWriter,
    list: { readonly digest: Digest; readonly bytes: Uint8Array },
    { isKept = "all" }: Trick,
  ): Promise<void> {
    if (isKept !== "nothing") await via.blobs.putSmall([list]);
    if (isKept === "all") await via.blobs.putSmall([{ digest: leaf.digest, bytes: content }]);
  }

  /** Nothing may become of what it orders that its kind may not. */
  finished(host: Named, { id, outcome }: Finished): void {
    const expected = this.#may.get(id);
    if (expected === undefined || !host.isHonest) return;
    this.#world.sometimes(`mallory's update is ${outcome}`);
    if (!expected.outcomes.includes(outcome))
      this.#world.check.fail("I15", `${expected.trick} of mallory became ${outcome}`);
  }
}
