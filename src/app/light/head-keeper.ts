import {
  type MirrorClient,
  NoHonestServerError,
  StaleError,
  type VerifiedHead,
} from "../client/index.ts";

/** A head this old is served while a newer one is asked for; an older one is waited for. Milliseconds. */
const freshMs = 2000;
const usableMs = 15_000;
/** Past heights that are remembered. */
const pinnedMax = 256;

/** The newest verified state, kept up to date while somebody asks, and past ones that were asked for. */
export class HeadKeeper {
  readonly #client: MirrorClient;
  readonly #maxAgeS: number;
  readonly #pinned = new Map<number, VerifiedHead>();
  #head: VerifiedHead | undefined;
  #atMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #problem: Error | undefined;

  constructor(client: MirrorClient, maxAgeS: number) {
    this.#client = client;
    this.#maxAgeS = maxAgeS;
  }

  /** The last one, whatever its age. */
  get last(): VerifiedHead | undefined {
    return this.#head;
  }

  /** Why the last question for a newer one failed. */
  get problem(): string | undefined {
    return this.#problem?.message;
  }

  /** The newest state. Throws STALE where no quorum has vouched for it lately; NO_SERVER, VERIFICATION_FAILED. */
  async newest(): Promise<VerifiedHead> {
    const age = performance.now() - this.#atMs;
    if (age > freshMs) this.#asking ??= this.#ask();
    if (this.#head === undefined || age > usableMs) await this.#asking;
    const head = this.#head;
    if (head === undefined)
      throw this.#problem ?? new NoHonestServerError("the newest state", [], []);
    const ageS = Math.floor(Date.now() / 1000) - head.leaseS;
    if (ageS > this.#maxAgeS)
      throw new StaleError(
        "STALE",
        `the writers last vouched for height ${head.height} ${ageS} s ago (allowed: ${this.#maxAgeS} s)${this.#problem === undefined ? "" : `: ${this.#problem.message}`}`,
      );
    return head;
  }

  async #ask(): Promise<void> {
    try {
      const head = await this.#client.newestHead();
      const isLater = this.#head === undefined || head.logSize >= this.#head.logSize;
      if (isLater) this.#head = head;
      this.#problem = undefined;
    } catch (error) {
      this.#problem = error as Error;
    }
    this.#atMs = performance.now();
    this.#asking = undefined;
  }

  pinned(height: number): VerifiedHead | undefined {
    return this.#pinned.get(height);
  }

  /** Brings the state at a past height. Throws as {@link newest}. */
  async pin(height: number): Promise<void> {
    if (this.#pinned.has(height)) return;
    if (this.#pinned.size >= pinnedMax) this.#pinned.clear();
    this.#pinned.set(height, await this.#client.head(height));
  }
}
