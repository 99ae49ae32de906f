import { fail, type Result } from "../../core/base/index.ts";

type Place = Result<{ readonly index: number; readonly count: number }>;

/** Who waits to be told where in the order its messages stand. */
export class Tickets {
  readonly #waiting = new Map<number, (place: Place) => void>();
  #next = 1;

  /** A number that is handed in with the messages, and the place that will be told by it. */
  take(): { readonly ticket: number; readonly place: Promise<Place> } {
    const ticket = this.#next++;
    const place = new Promise<Place>((resolve) => this.#waiting.set(ticket, resolve));
    return { ticket, place };
  }

  settle(ticket: number, place: Place): void {
    this.#waiting.get(ticket)?.(place);
    this.#waiting.delete(ticket);
  }

  /** Answers everybody who still waits. */
  stop(): void {
    for (const ticket of [...this.#waiting.keys()])
      this.settle(ticket, fail("STOPPED", "the host stops; the message may or may not be ordered"));
  }
}
