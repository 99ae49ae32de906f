import { type Author, assert, limits } from "../../core/base/index.ts";
import type { FollowerInput, HostInput } from "../../core/replica/index.ts";

/** What a loop steps: a writer's inputs, or a follower's. */
export type LoopInput = HostInput | FollowerInput;

/** Inputs that are stepped before one sync: of this host's own, and of one peer. The others wait for the next one. */
const turnMax = { own: 512, peer: 64 };

/** First in, first out; `at` is where the next one stands. */
class Line<Input extends LoopInput> {
  #inputs: Input[] = [];
  #at = 0;
  bytes = 0;

  get isEmpty(): boolean {
    return this.#at === this.#inputs.length;
  }

  push(input: Input): void {
    this.#inputs.push(input);
    this.bytes += costOf(input);
  }

  take(most: number): Input[] {
    const taken = this.#inputs.slice(this.#at, this.#at + most);
    this.#at += taken.length;
    for (const input of taken) this.bytes -= costOf(input);
    assert(this.bytes >= 0, "no more is taken than was put in");
    // Moved together once half is gone, so that a long line costs no more than a short one.
    if (2 * this.#at >= this.#inputs.length) {
      this.#inputs = this.#inputs.slice(this.#at);
      this.#at = 0;
    }
    return taken;
  }
}

/**
 * What waits to be stepped: a line for each peer, and one for what this host asks of itself. Peers are served in turn,
 * one input each, so that none keeps another waiting, however much it sends; and a frame costs what it takes here, not
 * only what it says.
 */
export class Inbox<Input extends LoopInput> {
  readonly #own = new Line<Input>();
  readonly #peers = new Map<Author, Line<Input>>();

  get isEmpty(): boolean {
    return this.#lines().every((line) => line.isEmpty);
  }

  #lines(): Line<Input>[] {
    return [this.#own, ...this.#peers.values()];
  }

  #lineOf(input: Input): Line<Input> {
    if (!("peer" in input)) return this.#own;
    const line = this.#peers.get(input.peer) ?? new Line<Input>();
    this.#peers.set(input.peer, line);
    return line;
  }

  push(input: Input): void {
    this.#lineOf(input).push(input);
  }

  /** Bytes that wait of a peer, with what each frame takes beside what it says. */
  waiting(peer: Author): number {
    return this.#peers.get(peer)?.bytes ?? 0;
  }

  /** The inputs of one turn: one of each line as long as there are any, in the order of each. */
  take(): Input[] {
    const turns = this.#lines().map((line) =>
      line.take(line === this.#own ? turnMax.own : turnMax.peer),
    );
    const taken: Input[] = [];
    const longest = Math.max(...turns.map(({ length }) => length));
    for (let i = 0; i < longest; i++)
      for (const inputs of turns) {
        const input = inputs[i];
        if (input !== undefined) taken.push(input);
      }
    return taken;
  }
}

function costOf(input: LoopInput): number {
  return input.type === "message" ? limits.frameOverheadBytes + input.frame.length : 0;
}
