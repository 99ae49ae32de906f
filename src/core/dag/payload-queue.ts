import { assert, limits } from "../base/index.ts";
import {
  payloadFrameBytes,
  protocolMessageCount,
  type Submission,
  segmentBytes,
} from "../consensus/index.ts";

/** What a submission takes beside its segment: its ticket, and the request that waits for it. */
const submissionBytes = 512;

/** Payload that waits for the next own block, first in, first out. */
export class PayloadQueue {
  #items: Submission[] = [];
  #bytes = 0;

  /** What waits takes in memory, about: whoever brings many small ones fills the same room. */
  get bytes(): number {
    return this.#bytes + this.#items.length * submissionBytes;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  push(item: Submission): void {
    if (item.isNewest === true) this.#drop(item.segment.kind);
    this.#items.push(item);
    this.#bytes += segmentBytes(item.segment);
  }

  #drop(kind: number): void {
    const isOld = ({ isNewest, segment }: Submission): boolean =>
      isNewest === true && segment.kind === kind;
    for (const item of this.#items.filter(isOld)) this.#bytes -= segmentBytes(item.segment);
    this.#items = this.#items.filter((item) => !isOld(item));
  }

  /**
   * Back to the front, in their old order: payload of an own block that can never be ordered any more. What was
   * replaced meanwhile stays replaced.
   */
  unshift(items: readonly Submission[]): void {
    const kinds = new Set(
      this.#items.filter(({ isNewest }) => isNewest).map(({ segment }) => segment.kind),
    );
    const back = items.filter(({ isNewest, segment }) => !isNewest || !kinds.has(segment.kind));
    this.#items = [...back, ...this.#items];
    for (const item of back) this.#bytes += segmentBytes(item.segment);
  }

  /** As much as a valid block can hold: its payload is bounded in bytes, segments and protocol messages. */
  take(): Submission[] {
    let bytes = payloadFrameBytes;
    let messages = 0;
    let count = 0;
    for (const { segment } of this.#items) {
      bytes += segmentBytes(segment);
      messages += protocolMessageCount(segment);
      const isFull =
        bytes > limits.payloadBytesMax ||
        messages > limits.protocolMessagesMax ||
        count >= limits.segmentsMax;
      if (isFull) break;
      count++;
    }
    const taken = this.#items.splice(0, count);
    for (const item of taken) this.#bytes -= segmentBytes(item.segment);
    assert(this.#bytes >= 0, "no more is taken than was put in");
    return taken;
  }
}
