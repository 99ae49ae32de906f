import type { Digest, Prng } from "../src/core/base/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import type { Change, MirrorEvent } from "../src/core/mirror/index.ts";
import type { SimWriter } from "./host.ts";
import { isLinearizable, type Operation } from "./linearizable.ts";
import type { Named } from "./realm.ts";
import type { World } from "./world.ts";

/** A file of an update, with its content. */
export interface File {
  readonly change: Change;
  readonly blob: { readonly digest: Digest; readonly bytes: Uint8Array };
}

/** What registers are made of. */
export interface Requests {
  append(via: SimWriter): string | undefined;
  publish(
    via: SimWriter,
    update: { readonly tree: string; readonly files: readonly File[] },
  ): Promise<Digest | undefined>;
}

type Finished = Extract<MirrorEvent, { type: "finished" }>;
type Begun = { -readonly [K in keyof Operation]: Operation[K] };

/** Who waits for an answer: a client that talks to one life of one writer. */
interface Waiting {
  readonly via: SimWriter;
  readonly life: number;
  readonly path: string;
  readonly operation: Begun;
}

const tree = "alpha";
const paths = ["registers/a", "registers/b", "registers/c"];

/**
 * A few paths used as registers: written, created if absent, and read through the order (a message is appended, and
 * the path is looked up at the writer that says where it stands). What clients were told must be linearizable (I13).
 */
export class Registers {
  readonly #world: World;
  readonly #random: Prng;
  readonly #requests: Requests;
  readonly #histories = new Map<string, Operation[]>(paths.map((path) => [path, []]));
  /** By update, or by the text of a read. */
  readonly #waiting = new Map<string, Waiting>();
  #instant = 0;

  constructor(world: World, random: Prng, requests: Requests) {
    this.#world = world;
    this.#random = random;
    this.#requests = requests;
  }

  operate(via: SimWriter): void {
    const path = paths[this.#random.below(paths.length)] ?? tree;
    if (this.#random.chance(0.4)) this.#read(via, path);
    else this.#write(via, path);
  }

  #begin(via: SimWriter, path: string, what: Pick<Operation, "kind" | "value">): Waiting {
    const operation: Begun = {
      ...what,
      invoked: ++this.#instant,
      responded: Number.POSITIVE_INFINITY,
      isDone: true,
    };
    this.#histories.get(path)?.push(operation);
    return { via, life: via.life, path, operation };
  }

  #read(via: SimWriter, path: string): void {
    const waiting = this.#begin(via, path, { kind: "read", value: undefined });
    const text = this.#requests.append(via);
    if (text !== undefined) this.#waiting.set(text, waiting);
  }

  #write(via: SimWriter, path: string): void {
    const bytes = Buffer.from(`register ${this.#random.below(1000)}`);
    const digest = sha256(bytes);
    const kind = this.#random.chance(0.3) ? "create" : "write";
    const waiting = this.#begin(via, path, { kind, value: digest });
    const leaf = { kind: "file" as const, digest, size: bytes.length, executable: false };
    const expect = kind === "create" ? ("absent" as const) : ("anything" as const);
    const files = [{ change: { path, leaf, expect }, blob: { digest, bytes } }];
    void this.#requests.publish(via, { tree, files }).then((id) => {
      if (id !== undefined) this.#waiting.set(id, waiting);
    });
  }

  /** An honest writer answers: its client is still there if that writer did not die meanwhile. */
  #answered(host: Named, key: string): Waiting | undefined {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined || waiting.via.id !== host.id) return undefined;
    this.#waiting.delete(key);
    return host.isHonest && waiting.via.life === waiting.life ? waiting : undefined;
  }

  finished(host: Named, { id, outcome }: Finished): void {
    const waiting = this.#answered(host, id);
    if (waiting === undefined || (outcome !== "published" && outcome !== "conflict")) return;
    waiting.operation.responded = ++this.#instant;
    waiting.operation.isDone = outcome === "published";
    this.#world.sometimes(`a register ${waiting.operation.kind} ended: ${outcome}`);
  }

  acknowledged(host: Named, text: string): void {
    const waiting = this.#answered(host, text);
    if (waiting === undefined) return;
    waiting.operation.value = waiting.via.contentAt(tree, waiting.path) as Digest | undefined;
    waiting.operation.responded = ++this.#instant;
    this.#world.sometimes("a register read through the order");
  }

  /** I13. A read that was never answered says nothing. */
  check(): void {
    for (const [path, history] of this.#histories) {
      const said = history.filter(
        ({ kind, responded }) => kind !== "read" || responded !== Number.POSITIVE_INFINITY,
      );
      if (!isLinearizable(said))
        this.#world.check.fail("I13", `${path} is not linearizable: ${JSON.stringify(said)}`);
    }
  }
}
