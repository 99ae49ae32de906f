import { limits } from "../../core/base/index.ts";

/** Pieces of one frame that are kept apart. */
const chunksMax = 4096;

/** Cuts a byte stream into frames: length u32 big-endian, then so many bytes. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #buffered = 0;

  /** Frames that are complete now, or the reason to close the link. */
  push(chunk: Buffer): { readonly frames: readonly Buffer[] } | { readonly fault: string } {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    // Many small chunks cost more than they say.
    if (this.#chunks.length > chunksMax) this.#chunks = [Buffer.concat(this.#chunks)];
    const frames: Buffer[] = [];
    while (this.#buffered >= 4) {
      const length = this.#peekLength();
      if (length > limits.frameBytesMax) return { fault: `a frame of ${length} bytes` };
      if (this.#buffered < 4 + length) break;
      frames.push(this.#take(4 + length).subarray(4));
    }
    return { frames };
  }

  #peekLength(): number {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= 4) return first.readUInt32BE(0);
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]?.readUInt32BE(0) ?? 0;
  }

  #take(length: number): Buffer {
    this.#buffered -= length;
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= length) {
      if (first.length === length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = all.length > length ? [all.subarray(length)] : [];
    return all.subarray(0, length);
  }
}

/** The four bytes that go before a frame. */
export function frameHead(frame: Uint8Array): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(frame.length, 0);
  return head;
}

/** Frames up to here are copied behind their head: one short write is cheaper than two parts. */
const copiedMax = 16_384;

/** What is written for a frame, in one part or two. */
export function framed(frame: Uint8Array): readonly Uint8Array[] {
  const head = frameHead(frame);
  return frame.length <= copiedMax ? [Buffer.concat([head, frame])] : [head, frame];
}
