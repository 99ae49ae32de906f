import type { Segment } from "../../core/acceptance/index.ts";
import { messagesOf, segmentOf, segmentShape, segmentValue } from "../../core/acceptance/index.ts";
import { limits } from "../../core/base/index.ts";
import { encode, fields, list, natural, read, type Shape } from "../../core/codec/index.ts";
import { messageKinds } from "../../core/mirror/index.ts";
import { ask, askJson, readFrames, ServerError } from "./transfer.ts";

/** One message of the total order. */
export interface LoggedMessage {
  /** 0, 1, 2, …: the same at every host. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

/**
 * Appends messages (each up to 64 KiB) through one writer, in one batch that stays together. Resolves once they are
 * ordered, with the index of the first. After an error the batch may or may not be ordered: put an id of your
 * own into messages that must not be doubled.
 */
export async function appendMessages(
  writer: string,
  messages: readonly Uint8Array[],
): Promise<{ readonly index: number; readonly count: number }> {
  const segment = segmentOf(messageKinds.application, messages);
  const body = encode(segmentValue(segment));
  const headers = { "content-type": "application/octet-stream" };
  return askJson(`${writer}/.smalti/v1/log`, { method: "POST", body, headers, patienceMs: 60_000 });
}

interface TailFrame {
  readonly first: number;
  readonly segments: readonly Segment[];
}

const tailShape: Shape<TailFrame> = (value, what) => {
  const [first, segments] = fields(2)(value, what);
  return {
    first: natural()(first, `${what}.first`),
    segments: list(segmentShape, 100_000)(segments, `${what}.segments`),
  };
};

/** Batches of messages from an index on, for ever (until the signal). The host is trusted for the order here. */
export async function* tailBatches(
  host: string,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<TailFrame> {
  const { body } = await ask(`${host}/.smalti/v1/log?from=${from}`, {
    patienceMs: 0,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const bytes of readFrames(body, limits.frameBytesMax)) {
    const frame = read(bytes, tailShape, "frame");
    if (!frame.ok) throw new ServerError(host, 200, frame.error.code, frame.error.detail);
    yield frame.value;
  }
}

/** Messages from an index on, one by one. */
export async function* tailMessages(
  host: string,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<LoggedMessage> {
  for await (const { first, segments } of tailBatches(host, from, signal)) {
    let index = first;
    for (const segment of segments)
      for (const bytes of messagesOf(segment)) yield { index: index++, bytes };
  }
}
