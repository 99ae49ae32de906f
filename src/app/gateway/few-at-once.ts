/** Work of which only so much goes on at once; what comes meanwhile waits for its turn. */
export class FewAtOnce {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    else
      await new Promise<void>((go) => {
        this.#waiting.push(go);
      });
    try {
      return await work();
    } finally {
      // Who waited longest takes over the place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
