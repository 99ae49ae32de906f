import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Digest } from "../../core/base/index.ts";
import { CodedError } from "../../core/base/index.ts";
import { type ChangeList, readingChanges, type SignedUpdate } from "../../core/mirror/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import type { Config } from "../config/index.ts";
import type { WitnessReport } from "../gateway/index.ts";
import type { Claim, Doubt, Seen } from "../import/index.ts";
import { inTurns } from "../pace/index.ts";
import type { Log } from "../telemetry/index.ts";

/** When one looks again at a source that showed something else, milliseconds; the last goes on. */
const looks = [2_000, 10_000, 60_000, 600_000, 3_600_000] as const;
const looksAtOnce = 4;
const doubtsTold = 5;
const reportsMax = 1024;

/**
 * Sees for itself what updates say they bring from elsewhere. Only from where this host's operator told it to look: a
 * publisher cannot send it to addresses of his choosing.
 */
export class Witness {
  readonly #imports: Config["import"];
  readonly #blobs: BlobStore;
  /** A directory of its own. */
  readonly #work: string;
  readonly #log: Log;
  readonly #running = new Map<Digest, Promise<boolean>>();
  readonly #reports = new Map<Digest, WitnessReport>();
  readonly #stop = new AbortController();
  readonly #waiting: (() => void)[] = [];
  #looking = 0;
  #tidied: Promise<void> | undefined;

  constructor({
    config,
    store,
    dataDirectory,
    log,
  }: {
    readonly config: Pick<Config, "import">;
    readonly store: { readonly blobs: BlobStore };
    readonly dataDirectory: string;
    readonly log: Log;
  }) {
    this.#imports = config.import;
    this.#blobs = store.blobs;
    this.#work = join(dataDirectory, "witness");
    this.#log = log;
  }

  stop(): void {
    this.#stop.abort();
  }

  reportOf(id: Digest): WitnessReport | undefined {
    return this.#reports.get(id);
  }

  /**
   * Resolves with true once the source has shown this host what the update brings; with false when it is settled
   * otherwise, when this host is not to look there, or when it stops.
   */
  async see(
    update: SignedUpdate,
    changes: Uint8Array,
    hasOutcome: () => boolean,
  ): Promise<boolean> {
    const running =
      this.#running.get(update.id) ??
      this.#look(update, changes, hasOutcome).finally(() => this.#running.delete(update.id));
    this.#running.set(update.id, running);
    return running;
  }

  async #look(
    update: SignedUpdate,
    bytes: Uint8Array,
    hasOutcome: () => boolean,
  ): Promise<boolean> {
    const { tree, source } = update.record;
    const changes = await inTurns(readingChanges(bytes));
    const known = this.#imports.find(
      (one) => one.tree === tree && one.kind === source?.kind && one.url === source.url,
    );
    if (known === undefined || !changes.ok) {
      this.#report(update.id, "not-asked", "this host's [[import]] settings name no such source");
      return false;
    }
    for (let i = 0; !hasOutcome() && !this.#stop.signal.aborted; i++) {
      this.#report(update.id, "looking", "");
      const doubts = await this.#inTurn(() => this.#check(known, changes.value)).catch((error) => [
        { path: "", why: error instanceof Error ? error.message : String(error) },
      ]);
      if (doubts.length === 0) {
        this.#report(update.id, "seen", "");
        return true;
      }
      this.#report(update.id, "refused", textOf(doubts));
      const waitMs = looks[Math.min(i, looks.length - 1)] ?? 0;
      await sleep(waitMs, undefined, { signal: this.#stop.signal, ref: false }).catch(
        () => undefined,
      );
    }
    return false;
  }

  /** A few at a time: whoever may publish could otherwise make this host crowd a source. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    while (this.#looking >= looksAtOnce)
      await new Promise<void>((done) => this.#waiting.push(done));
    this.#looking++;
    try {
      return await work();
    } finally {
      this.#looking--;
      this.#waiting.shift()?.();
    }
  }

  /** What a look left behind that was killed. */
  async #tidy(): Promise<void> {
    await mkdir(this.#work, { recursive: true });
    for (const name of await readdir(this.#work))
      if (/^(look|git|rsync)-/.test(name))
        await rm(join(this.#work, name), { recursive: true, force: true });
  }

  async #check(
    { kind, url, from = url, also }: Config["import"][number],
    { changes }: ChangeList,
  ): Promise<readonly Doubt[]> {
    // What is taken away brings no bytes: that is the importer's word, and older heights keep it.
    const claims = changes.flatMap(({ path, leaf }): Claim[] =>
      leaf === undefined ? [] : [{ path, leaf }],
    );
    this.#tidied ??= this.#tidy();
    await this.#tidied;
    const scratch = await mkdtemp(join(this.#work, "look-"));
    try {
      // Only now: most hosts never look, and its client takes longer to load than all else that they need.
      const { openSource } = await import("../import/index.ts");
      const source = await openSource({ kind, url: from, also });
      return await source.witness(claims, this.#seen(claims, scratch));
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  #seen(claims: readonly Claim[], scratch: string): Seen {
    const leaves = new Map(claims.map(({ path, leaf }) => [path, leaf]));
    const digestOf = (path: string): Digest => {
      const leaf = leaves.get(path);
      if (leaf?.kind !== "file")
        throw new CodedError("NOT_WITNESSED", `the update brings no file ${path}`);
      return leaf.digest;
    };
    let count = 0;
    return {
      work: this.#work,
      bytes: async (path) => this.#blobs.read(digestOf(path)),
      file: async (path) => {
        const digest = digestOf(path);
        const file = join(scratch, String(count++));
        await pipeline(
          this.#blobs.stream(digest, 0, this.#blobs.size(digest) ?? 0),
          createWriteStream(file),
        );
        return file;
      },
    };
  }

  #report(id: Digest, state: WitnessReport["state"], detail: string): void {
    this.#reports.delete(id);
    this.#reports.set(id, { state, detail });
    if (this.#reports.size > reportsMax)
      for (const oldest of this.#reports.keys()) {
        this.#reports.delete(oldest);
        break;
      }
    if (state !== "looking") this.#log.info({ update: id, state, detail }, "looked at a source");
  }
}

function textOf(doubts: readonly Doubt[]): string {
  const told = doubts
    .slice(0, doubtsTold)
    .map(({ path, why }) => (path === "" ? why : `${path}: ${why}`));
  const more = doubts.length > told.length ? [`and ${doubts.length - told.length} more`] : [];
  return [...told, ...more].join("; ");
}
