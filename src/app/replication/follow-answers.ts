import { encode } from "../../core/codec/index.ts";
import type { Protocol } from "../../core/consensus/index.ts";
import { FewAtOnce } from "../pace/index.ts";
import type { BatchArchive } from "../store/index.ts";

/** Answers that are kept: each takes up to some megabytes. */
const kept = 4;

interface Made {
  readonly note: string | undefined;
  readonly bytes: Promise<Uint8Array>;
}

/** What followers are told. They wait at the same few positions: an answer is made once for all of them. */
export class FollowAnswers {
  readonly #protocol: Protocol;
  readonly #batches: Pick<BatchArchive, "tip" | "range">;
  /** By where a follower is and how far this host is, the last asked for at the end. */
  readonly #made = new Map<string, Made>();

  /** Whoever asks from ever other places reads as much at once as four others. */
  readonly #making = new FewAtOnce(kept);

  constructor(protocol: Protocol, batches: Pick<BatchArchive, "tip" | "range">) {
    this.#protocol = protocol;
    this.#batches = batches;
  }

  /** The certified commits after one, as many as one answer takes, and a note if it is news. */
  after(commit: number, note: string | undefined): Promise<Uint8Array> {
    const key = `${commit} ${this.#batches.tip?.index ?? 0}`;
    const made = this.#made.get(key);
    this.#made.delete(key);
    const isMade = made !== undefined && made.note === note;
    const bytes = isMade ? made.bytes : this.#make(commit, note);
    this.#made.set(key, { note, bytes });
    // One that failed is made anew.
    bytes.catch(() => this.#made.delete(key));
    for (const oldest of this.#made.keys()) if (this.#made.size > kept) this.#made.delete(oldest);
    return bytes;
  }

  async #make(commit: number, note: string | undefined): Promise<Uint8Array> {
    const range = await this.#making.run(() => this.#batches.range(commit));
    return encode([this.#protocol.rangeValue(range), note ?? null]);
  }
}
