import { bigEndian, type Digest, readBigEndian } from "../../core/base/index.ts";
import { stateKeys } from "../../core/mirror/index.ts";
import type { StateStore } from "../../io/ports/index.ts";
import type { Archive } from "../store/index.ts";
import type { ContentFetcher } from "./content.ts";
import type { Before, Need } from "./wanted.ts";

interface CompletionParts {
  readonly state: StateStore;
  readonly archive: Archive;
  readonly content: ContentFetcher;
  readonly retainer: { needAt(height: number): Need | undefined };
  readonly before: (trees: Digest | undefined) => Before;
  readonly untilDone: (what: string, work: () => Promise<void>) => Promise<void>;
  /** A height is all here; `changes` is what led to it, if content did. */
  readonly onComplete: (height: number, changes: Digest | undefined) => void;
}

/** Brings what published heights name, one height after the other. */
export class Completion {
  readonly #parts: CompletionParts;
  #height: number;
  #running: Promise<void> | undefined;

  constructor(parts: CompletionParts) {
    this.#parts = parts;
    const stored = parts.state.get(stateKeys.complete);
    this.#height = stored === undefined ? 0 : readBigEndian(stored);
  }

  /** The newest height of which everything is here, and of all before it. */
  get height(): number {
    return this.#height;
  }

  /** There may be a height more. */
  goOn(): void {
    this.#running ??= this.#parts
      .untilDone("complete a height", () => this.#run())
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #run(): Promise<void> {
    const { archive, content, retainer, state } = this.#parts;
    for (;;) {
      const record = archive.height(this.#height + 1);
      if (record === undefined) return;
      if (record.changes !== undefined) {
        const ref = { digest: record.changes, bytes: record.changesBytes };
        const before = this.#parts.before(archive.height(this.#height)?.trees);
        const need = retainer.needAt(record.height);
        if (!(await content.complete(ref, { before, need }))) return;
      }
      this.#height = record.height;
      state.write([[stateKeys.complete, bigEndian(this.#height, 6)]]);
      this.#parts.onComplete(this.#height, record.changes);
    }
  }
}
