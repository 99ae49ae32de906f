import { limits } from "../../base/index.ts";
import type { Segment } from "../contract.ts";
import { segmentBytes } from "../segment.ts";

/** A segment and the ticket by which its submitter will recognise it. */
export interface Submission {
  readonly ticket: number;
  readonly segment: Segment;
}

/** Payload that waits for the next own block, first in, first out. */
export class PayloadQueue {
  #items: Submission[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  push(item: Submission): void {
    this.#items.push(item);
    this.#bytes += segmentBytes(item.segment);
  }

  /** Back to the front, in their old order: payload of an own block that can never be ordered any more. */
  unshift(items: readonly Submission[]): void {
    this.#items = [...items, ...this.#items];
    for (const item of items) this.#bytes += segmentBytes(item.segment);
  }

  /** As much as fits one block. */
  take(): Submission[] {
    let bytes = 64;
    let count = 0;
    for (const item of this.#items) {
      bytes += segmentBytes(item.segment);
      if (count > 0 && (bytes > limits.payloadBytesMax || count >= limits.segmentsMax)) break;
      count++;
    }
    const taken = this.#items.splice(0, count);
    for (const item of taken) this.#bytes -= segmentBytes(item.segment);
    return taken;
  }
}
