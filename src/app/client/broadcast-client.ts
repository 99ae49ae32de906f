import { setTimeout as sleep } from "node:timers/promises";
import { CodedError, type Digest, limits } from "../../core/base/index.ts";
import { encode, fields, list, natural, read, type Shape } from "../../core/codec/index.ts";
import {
  messagesOf,
  type Segment,
  segmentOf,
  segmentShape,
  segmentValue,
} from "../../core/consensus/index.ts";
import type { Signer } from "../../core/crypto/index.ts";
import { messageKinds, signAppend } from "../../core/mirror/index.ts";
import { answeringFirst, askAny } from "./any-server.ts";
import { ask, askBytes, askJson, readFrames, ServerError, stopWith } from "./transfer.ts";

/** One message of the total order. */
export interface LoggedMessage {
  /** 0, 1, 2, …: the same at every host. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

/**
 * Appends messages (each up to 64 KiB) through one writer, in one batch that stays together. Resolves once they are
 * ordered, with the index of the first: at least once, not exactly once. A writer that cheats may order them again, and
 * after an error they may or may not be ordered. For messages that must not be doubled use {@link Appender}.
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

/** Bytes of messages that go under one number. */
const numberedBytesMax = 48 * 1024;
/** A writer that says nothing for so long is left for the next one; all together have so long, milliseconds. */
const writerPatienceMs = 10_000;
const allPatienceMs = 120_000;

/**
 * Appends messages exactly once: each batch goes under a number of this client, signed, to one writer after the other
 * until one says where it stands. The order takes a number once, whoever brings it and however often; so what is
 * acknowledged is ordered, once, though the writer that took it cheats. Of a client the last 64 numbers are remembered.
 */
export class Appender {
  readonly #options: {
    readonly writers: readonly string[];
    readonly group: Digest;
    readonly signer: Signer;
  };
  #sequence: number;
  #next = 0;
  #order: Promise<readonly string[]> | undefined;

  /** `sequence`: the first number to use, 0 for a key that is new. */
  constructor(options: {
    readonly writers: readonly string[];
    readonly group: Digest;
    readonly signer: Signer;
    readonly sequence?: number;
  }) {
    if (options.writers.length === 0) throw new CodedError("NO_SERVER", "no writer is named");
    this.#options = options;
    this.#sequence = options.sequence ?? 0;
  }

  /** The number that the next batch will have. */
  get sequence(): number {
    return this.#sequence;
  }

  /**
   * Resolves once all are ordered, with the place of each batch they were sent in. Throws `ServerError` where no writer
   * took one in two minutes: asking again with the same number is safe.
   */
  async append(
    messages: readonly Uint8Array[],
  ): Promise<readonly { readonly index: number; readonly count: number }[]> {
    const places: { index: number; count: number }[] = [];
    for (const batch of batchesOf(messages)) places.push(await this.#appendBatch(batch));
    return places;
  }

  async #appendBatch(messages: readonly Uint8Array[]): Promise<{ index: number; count: number }> {
    const { group, signer } = this.#options;
    const { lengths, data } = segmentOf(messageKinds.application, messages);
    const sequence = this.#sequence;
    const record = { group, client: signer.publicKey, sequence, lengths, data };
    const place = await this.#throughAny(signAppend(record, signer).wire);
    this.#sequence = sequence + 1;
    return place;
  }

  /** One that hangs is asked last. */
  #writers(): Promise<readonly string[]> {
    this.#order ??= answeringFirst(this.#options.writers);
    return this.#order;
  }

  async #throughAny(wire: Uint8Array): Promise<{ index: number; count: number }> {
    const writers = await this.#writers();
    const headers = { "content-type": "application/octet-stream" };
    const endMs = performance.now() + allPatienceMs;
    for (let tries = 1; ; tries++) {
      const writer = writers[this.#next % writers.length] ?? "";
      const patienceMs = writerPatienceMs;
      try {
        const url = `${writer}/.smalti/v1/log/once`;
        return await askJson(url, { method: "POST", body: wire, headers, patienceMs });
      } catch (error) {
        const isFinal = error instanceof ServerError && finalCodes.has(error.code);
        if (isFinal || performance.now() > endMs) throw error;
        this.#next++;
        // All were asked: a moment later one may sign again.
        if (tries % writers.length === 0) await sleep(500);
      }
    }
  }
}

/** What another writer would not take either. */
const finalCodes = new Set(["BAD_SIGNATURE", "WRONG_GROUP", "BAD_LENGTHS", "OLD_SEQUENCE"]);

function* batchesOf(messages: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let bytes = 0;
  for (const message of messages) {
    if (batch.length > 0 && bytes + message.length + 4 > numberedBytesMax) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(message);
    bytes += message.length + 4;
  }
  if (batch.length > 0) yield batch;
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
async function* tailBatches(
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

/** A server that does not answer a small question for so long is left for another one, milliseconds. */
const tailPatienceMs = 5000;

/**
 * {@link tailMessages} of whichever server answers: when it goes away, hangs or refuses, another one goes on at the next
 * index. Throws when none answers, or all in a row fail without a message.
 */
export async function* tailOfAny(
  servers: readonly string[],
  from: number,
  signal: AbortSignal,
): AsyncGenerator<LoggedMessage> {
  let next = from;
  let failed = 0;
  for (let left = servers; !signal.aborted; ) {
    const { server } = await askAny(left, isThere);
    try {
      for await (const message of tailWhileThere(server, next, signal)) {
        yield message;
        next = message.index + 1;
        failed = 0;
      }
    } catch (error) {
      if (++failed >= servers.length) throw error;
    }
    // The others first.
    left = [...servers.filter((one) => one !== server), server];
    await sleep(100);
  }
}

/** {@link tailMessages} until the server goes away or hangs; throws where it refuses, or sends what cannot be read. */
async function* tailWhileThere(
  server: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<LoggedMessage> {
  const stop = stopWith(signal);
  const watch = setInterval(() => {
    void isThere(server).catch(() => stop.abort());
  }, tailPatienceMs);
  try {
    yield* tailMessages(server, from, stop.signal);
  } catch (error) {
    if (error instanceof ServerError) throw error;
  } finally {
    clearInterval(watch);
    stop.abort();
    stop.end();
  }
}

function isThere(server: string, signal?: AbortSignal): Promise<Uint8Array> {
  const patienceMs = tailPatienceMs;
  const options = signal === undefined ? { patienceMs } : { patienceMs, signal };
  return askBytes(`${server}/.smalti/v1/policy`, limits.requestBytesMax, options);
}
