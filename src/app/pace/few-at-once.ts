/** Requests that wait for their turn at most, at one place; further ones are told to come again. */
const waitingDefault = 1024;

/** Answered with 503: too many wait for the same work. */
export class BusyError extends Error {
  override readonly name = "BusyError";
  readonly statusCode = 503;
  constructor() {
    super("too many ask for this at once; try again later");
  }
}

/** Work of which only so much goes on at once; what comes meanwhile waits for its turn. */
export class FewAtOnce {
  readonly #most: number;
  readonly #waitingMax: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** `waitingMax`: infinite where those who wait are counted elsewhere. */
  constructor(most: number, waitingMax: number = waitingDefault) {
    this.#most = most;
    this.#waitingMax = waitingMax;
  }

  /** Throws {@link BusyError} where too many wait already. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    else await this.#turn();
    try {
      return await work();
    } finally {
      // Who waited longest takes over the place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.#waitingMax) throw new BusyError();
    return new Promise((go) => {
      this.#waiting.push(go);
    });
  }
}
