import { CodedError, type Digest, limits } from "../../core/base/index.ts";
import { type Answer, exchange } from "./exchange.ts";

/** A server's answer that is not what was asked for; `url` says who gave it. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly status: number;
  readonly code: string;
  readonly url: string;
  // biome-ignore lint/complexity/useMaxParams: an error has these four facts
  constructor(url: string, status: number, code: string, detail: string) {
    super(`${url}: ${detail}`);
    this.url = url;
    this.status = status;
    this.code = code;
  }
}

/** Time without a byte after which a server is given up, milliseconds. */
export const stallMs = 15_000;

type Body = Uint8Array | string | AsyncIterable<Uint8Array>;
export interface Ask {
  readonly method?: "GET" | "POST" | "PUT" | "HEAD";
  readonly headers?: Record<string, string>;
  readonly body?: Body;
  /** Milliseconds until the headers must have come, and between two pieces of the body; 0: for ever. */
  readonly patienceMs?: number;
  /** Milliseconds until the whole answer must have come; twice the patience by default. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** One HTTP exchange; a status that is not `2xx` is a {@link ServerError} with the server's own words. */
export async function ask(url: string, options: Ask = {}): Promise<Answer> {
  const response = await exchange(url, {
    method: options.method ?? "GET",
    headers: options.headers ?? {},
    body: options.body,
    patienceMs: options.patienceMs ?? stallMs,
    signal: options.signal,
  });
  if (response.statusCode >= 200 && response.statusCode < 300) return response;
  const text = await readAll(response.body, limits.requestBytesMax, url).then((bytes) =>
    bytes.toString(),
  );
  const { code, message } = errorOf(text);
  throw new ServerError(url, response.statusCode, code, message ?? `HTTP ${response.statusCode}`);
}

function errorOf(text: string): { readonly code: string; readonly message: string | undefined } {
  try {
    const { code, message } = JSON.parse(text) as { code?: unknown; message?: unknown };
    return {
      code: String(code ?? "HTTP"),
      message: typeof message === "string" ? message : undefined,
    };
  } catch {
    return { code: "HTTP", message: undefined };
  }
}

/** A body of at most `max` bytes; a longer one is refused as soon as it is. */
export async function readAll(
  body: AsyncIterable<Uint8Array>,
  max: number,
  url: string,
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > max)
      throw new ServerError(url, 200, "TOO_LONG", `the answer is longer than ${max} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** The whole answer must have come in time: a server that drips is as good as dead. */
export async function askBytes(url: string, max: number, options: Ask = {}): Promise<Buffer> {
  const ms = options.deadlineMs ?? 2 * (options.patienceMs ?? stallMs);
  const stop = stopWith(options.signal);
  const timer = setTimeout(
    () => stop.abort(new CodedError("TOO_SLOW", `no whole answer within ${ms} ms`)),
    ms,
  );
  try {
    const { body } = await ask(url, { ...options, signal: stop.signal });
    return await readAll(body, max, url);
  } finally {
    clearTimeout(timer);
    stop.end();
  }
}

/**
 * A signal that also comes when another one does. Not `AbortSignal.any` of a time-out: nothing holds that one, and once
 * memory was cleared up it never comes (Node 20).
 */
export function stopWith(signal: AbortSignal | undefined): {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
  /** Listens no more. */
  end(): void;
} {
  const own = new AbortController();
  const abort = (): void => own.abort(signal?.reason);
  if (signal?.aborted === true) abort();
  signal?.addEventListener("abort", abort, { once: true });
  return {
    signal: own.signal,
    abort: (reason) => own.abort(reason),
    end: () => signal?.removeEventListener("abort", abort),
  };
}

/** The JSON that a server answers; nothing of it is checked. Throws ServerError. */
export async function askJson<T>(url: string, options: Ask = {}): Promise<T> {
  const bytes = await askBytes(url, 4 * limits.requestBytesMax, options);
  try {
    return JSON.parse(bytes.toString()) as T;
  } catch {
    throw new ServerError(url, 200, "NOT_JSON", "the answer is not JSON");
  }
}

/** Length-prefixed items of a bulk body: digest (32 bytes) · length u32 · bytes. */
export interface BulkItem {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** Cuts a byte stream into records: a fixed head, then as many bytes as `lengthOf(head)` says. */
async function* cut(
  body: AsyncIterable<Uint8Array>,
  form: {
    readonly headBytes: number;
    readonly max: number;
    readonly lengthOf: (head: Buffer) => number;
  },
): AsyncGenerator<{ readonly head: Buffer; readonly bytes: Buffer }> {
  let pending: Buffer[] = [];
  let length = 0;
  let needed = form.headBytes;
  for await (const piece of body) {
    pending.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    length += piece.length;
    if (length < needed) continue;
    let buffer = Buffer.concat(pending);
    for (needed = form.headBytes; buffer.length >= needed; needed = form.headBytes) {
      const head = buffer.subarray(0, form.headBytes);
      const size = form.lengthOf(head);
      if (size > form.max)
        throw new CodedError("MALFORMED", `a record of ${size} bytes, more than ${form.max}`);
      needed += size;
      if (buffer.length < needed) break;
      yield { head, bytes: buffer.subarray(form.headBytes, needed) };
      buffer = buffer.subarray(needed);
    }
    pending = [buffer];
    length = buffer.length;
  }
  if (length > 0) throw new CodedError("MALFORMED", "the body ended inside a record");
}

/** Cuts a bulk body into items; throws where it breaks the form or an item is longer than `itemMax`. */
export async function* readBulk(
  body: AsyncIterable<Uint8Array>,
  itemMax: number,
): AsyncGenerator<BulkItem> {
  const form = {
    headBytes: bulkHeadBytes,
    max: itemMax,
    lengthOf: (head: Buffer) => head.readUInt32BE(32),
  };
  for await (const { head, bytes } of cut(body, form)) {
    yield { digest: head.toString("hex", 0, 32) as Digest, bytes };
  }
}

/** Cuts a body of length-prefixed frames (u32 big-endian). */
export async function* readFrames(
  body: AsyncIterable<Uint8Array>,
  frameMax: number,
): AsyncGenerator<Buffer> {
  const form = { headBytes: 4, max: frameMax, lengthOf: (head: Buffer) => head.readUInt32BE(0) };
  for await (const { bytes } of cut(body, form)) yield bytes;
}

export const bulkHeadBytes = 36;

/** The head that goes before an item's bytes. */
export function bulkHead(digest: Digest, length: number): Buffer {
  const head = Buffer.allocUnsafe(bulkHeadBytes);
  writeBulkHead(head, { digest, length });
  return head;
}

/** {@link bulkHead} into the first bytes of `room`. */
export function writeBulkHead(
  room: Buffer,
  { digest, length }: { readonly digest: Digest; readonly length: number },
): void {
  room.write(digest, 0, "hex");
  room.writeUInt32BE(length, 32);
}

/** The distinct items in groups of at most `count`. */
export function* groupsOf<T>(items: Iterable<T>, count: number): Generator<ReadonlySet<T>> {
  const distinct = [...new Set(items)];
  for (let i = 0; i < distinct.length; i += count) yield new Set(distinct.slice(i, i + count));
}

/**
 * Asks one server for many small items by digest, up to 32 MiB; it sends those it has, each once, within `deadlineMs`. The
 * bytes are not verified here. Anything else in the answer is an error and no lie: what was not asked for proves nothing.
 */
// biome-ignore lint/complexity/useMaxParams: a question has these three facts, and its time
export async function* askBulk(
  base: string,
  kind: "blobs" | "nodes",
  digests: ReadonlySet<Digest>,
  { patienceMs = stallMs, deadlineMs = 8 * stallMs }: Pick<Ask, "patienceMs" | "deadlineMs"> = {},
): AsyncGenerator<BulkItem> {
  const url = `${base}/.smalti/v1/${kind}`;
  const { body } = await ask(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ digests: [...digests] }),
    patienceMs,
    signal: AbortSignal.timeout(deadlineMs),
  });
  const owed = new Set(digests);
  const itemMax = kind === "blobs" ? limits.packedBlobBytesMax : limits.requestBytesMax;
  for await (const item of readBulk(body, itemMax)) {
    if (!owed.delete(item.digest))
      throw new ServerError(
        url,
        200,
        "UNEXPECTED_ANSWER",
        "it sent something else than was asked for",
      );
    yield item;
  }
}
