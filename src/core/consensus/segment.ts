import { assert, concatBytes, limits, type Result } from "../base/index.ts";
import {
  bytes,
  encode,
  fields,
  list,
  natural,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";
import type { Segment } from "./batch.ts";

/** Number of messages in a segment. */
export function messageCount(segment: Segment): number {
  return segment.lengths.length / 4;
}

/** Messages of a segment that cost whoever executes it work: all but plain application messages (kind 0). */
export function protocolMessageCount(segment: Segment): number {
  return segment.kind === 0 ? 0 : messageCount(segment);
}

/** What an encoded payload takes beside its segments. */
export const payloadFrameBytes = 64;

/** True if a payload can hold the segment, alone if need be. */
export function fitsPayload(segment: Segment): boolean {
  return (
    payloadFrameBytes + segmentBytes(segment) <= limits.payloadBytesMax &&
    protocolMessageCount(segment) <= limits.protocolMessagesMax
  );
}

/** Bytes a segment takes in a payload, up to a small constant. */
export function segmentBytes(segment: Segment): number {
  return segment.lengths.length + segment.data.length + 16;
}

/** Plain application messages (kind 0) are bounded otherwise than those that hosts and people make for the mirror. */
function messageBytesMaxOf(kind: number): number {
  return kind === 0 ? limits.messageBytesMax : limits.protocolMessageBytesMax;
}

/** Builds a segment from single messages; each must keep within the limit of its kind. */
export function segmentOf(kind: number, messages: readonly Uint8Array[]): Segment {
  const lengths = new Uint8Array(messages.length * 4);
  const view = new DataView(lengths.buffer);
  for (const [i, message] of messages.entries()) {
    assert(message.length <= messageBytesMaxOf(kind), "a message keeps within its limit");
    view.setUint32(4 * i, message.length, true);
  }
  return { kind, lengths, data: concatBytes(messages) };
}

/** The messages of a segment in order, as views. */
export function* messagesOf(segment: Segment): Generator<Uint8Array> {
  const view = new DataView(
    segment.lengths.buffer,
    segment.lengths.byteOffset,
    segment.lengths.byteLength,
  );
  let at = 0;
  for (let i = 0; i < segment.lengths.length; i += 4) {
    const length = view.getUint32(i, true);
    yield segment.data.subarray(at, at + length);
    at += length;
  }
}

/** Total length if every message keeps within its limit, else −1. */
function sumOfLengths(kind: number, lengths: Uint8Array): number {
  const bytesMax = messageBytesMaxOf(kind);
  const view = new DataView(lengths.buffer, lengths.byteOffset, lengths.byteLength);
  let sum = 0;
  for (let i = 0; i < lengths.length; i += 4) {
    const length = view.getUint32(i, true);
    if (length > bytesMax) return -1;
    sum += length;
  }
  return sum;
}

/** A well-formed segment: at least one message, and lengths that add up to the data. */
export const segmentShape: Shape<Segment> = (value, what) => {
  const [kind, lengths, data] = fields(3)(value, what);
  const segment = {
    kind: natural(255)(kind, `${what}.kind`),
    lengths: bytes(limits.payloadBytesMax)(lengths, `${what}.lengths`),
    data: bytes(limits.payloadBytesMax)(data, `${what}.data`),
  };
  require(segment.lengths.length > 0 &&
    segment.lengths.length % 4 === 0, `${what}.lengths holds u32 values`);
  require(sumOfLengths(segment.kind, segment.lengths) ===
    segment.data.length, `${what}.lengths adds up to the data`);
  return segment;
};

/** Kind 0 is opaque to everybody and cheap in any number; messages of other kinds cost their readers work. */
const payloadShape: Shape<readonly Segment[]> = (value, what) => {
  const segments = list(segmentShape, limits.segmentsMax)(value, what);
  let others = 0;
  for (const segment of segments) others += protocolMessageCount(segment);
  require(others <=
    limits.protocolMessagesMax, `${what} holds at most ${limits.protocolMessagesMax} protocol messages`);
  return segments;
};

/** Items of a payload: its list, and a list of three for each segment. */
const payloadItemsMax = 1 + 4 * limits.segmentsMax;

/** The segments of a payload that is valid; what has more items than any is refused before it is decoded. */
export function readPayload(payload: Uint8Array): Result<readonly Segment[]> {
  return read(payload, payloadShape, "payload", payloadItemsMax);
}

/** The value that {@link segmentShape} reads. */
export function segmentValue(segment: Segment): Value {
  return [segment.kind, segment.lengths, segment.data];
}

/** The payload of a block as one byte string. */
export function encodePayload(segments: readonly Segment[]): Uint8Array {
  return encode(segments.map(segmentValue));
}
