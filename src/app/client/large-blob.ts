import type { Hash } from "node:crypto";
import type { Digest } from "../../core/base/index.ts";
import { ask, ServerError, stallMs } from "./transfer.ts";

/** A server slower than this (64 kB/s) is left for another one. */
export const leastBytesPerMs = 64;

/** How long a server may take to send so many bytes, milliseconds. */
export function transferMs(bytes: number): number {
  return Math.ceil(stallMs + bytes / leastBytesPerMs);
}

/** Where a large blob goes; `hash` covers what is there already. */
export interface BlobSink {
  offset(): Promise<number>;
  hash(): Promise<Hash>;
  write(piece: Uint8Array): Promise<void>;
  reset(): Promise<void>;
}

/** Brings the rest of a blob; returns how the server broke the protocol, or throws where it only failed. */
export async function fill(
  server: string,
  blob: { readonly digest: Digest; readonly size: number },
  { sink, hash }: { readonly sink: BlobSink; readonly hash: Hash },
): Promise<string | undefined> {
  let at = await sink.offset();
  if (at >= blob.size) return undefined;
  const headers: Record<string, string> = at > 0 ? { range: `bytes=${at}-` } : {};
  const { body, statusCode } = await ask(`${server}/.smalti/blob/sha256/${blob.digest}`, {
    headers,
    signal: AbortSignal.timeout(transferMs(blob.size - at)),
  });
  if (at > 0 && statusCode !== 206) {
    body.destroy();
    return "ignored the range";
  }
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    at += piece.length;
    if (at > blob.size) return "sent more bytes than the file has";
    hash.update(piece);
    await sink.write(piece);
  }
  if (at < blob.size)
    throw new ServerError(server, 200, "CUT_SHORT", `only ${at} of ${blob.size} bytes came`);
  return undefined;
}
