import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import rangeParser from "range-parser";
import { CodedError, type Digest, limits } from "../../core/base/index.ts";
import { type Flow, outflow } from "./outflow.ts";
import { refuse } from "./refuse.ts";
import type { TreeExchange, TreeHost } from "./tree-host.ts";

/** The byte range that a request wants; `undefined` for all of it, `"unsatisfiable"` for a range past the end. */
function rangeOf(
  request: FastifyRequest,
  reply: FastifyReply,
  size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const { range } = request.headers;
  if (range === undefined || request.method !== "GET") return undefined;
  const condition = request.headers["if-range"];
  if (
    condition !== undefined &&
    condition !== reply.getHeader("etag") &&
    condition !== reply.getHeader("last-modified")
  ) {
    return undefined;
  }
  // A unit that is not known is ignored, whatever the size (RFC 9110 §14.2).
  if (!/^\s*bytes\s*=/i.test(range)) return undefined;
  const suffix = /^bytes=-(\d{1,15})$/.exec(range);
  // A suffix longer than the file means all of it (RFC 9110 §14.1.2); the parser calls it unsatisfiable.
  if (suffix !== null && size > 0 && Number(suffix[1]) >= size) return { start: 0, end: size };
  const ranges = rangeParser(size, range);
  if (ranges === -1) return "unsatisfiable";
  // Several ranges, or a unit that is not bytes: answering with the whole is allowed (RFC 9110 §14.2).
  if (ranges === -2 || ranges.type !== "bytes" || ranges.length !== 1) return undefined;
  const [only] = ranges;
  return only === undefined ? undefined : { start: only.start, end: only.end + 1 };
}

/** Sends a blob or a range of it, in pieces that were verified when they were read. */
export async function sendBlob(
  exchange: TreeExchange & { readonly host: TreeHost },
  blob: { readonly digest: Digest; readonly size: number },
  height?: number,
): Promise<FastifyReply> {
  const { host, request, reply } = exchange;
  if (!host.blobs.has(blob.digest)) return refuseMissing(exchange, blob, height);
  const range = rangeOf(request, reply, blob.size);
  if (range === "unsatisfiable") {
    reply.removeHeader("etag").removeHeader("repr-digest").removeHeader("last-modified");
    reply.header("content-range", `bytes */${blob.size}`);
    return refuse(reply, 416, "RANGE_NOT_SATISFIABLE", `the file has ${blob.size} bytes`);
  }
  const { start, end } = range ?? { start: 0, end: blob.size };
  if (range !== undefined)
    reply.code(206).header("content-range", `bytes ${start}-${end - 1}/${blob.size}`);
  reply.header("content-length", end - start);
  if (request.method === "HEAD") return reply.send();
  try {
    if (blob.size > limits.packedBlobBytesMax)
      return await sendLarge(exchange, ({ stretchBytes, isAhead }) =>
        host.blobs.lend(blob.digest, { start, end, stretchBytes, isAhead }),
      );
    const pieces = host.blobs.stream(blob.digest, start, end);
    const parts: Uint8Array[] = [];
    for await (const piece of pieces) parts.push(piece);
    const [only] = parts;
    // The bytes are the store's, and sent as they are.
    const isOne = parts.length === 1 && only !== undefined;
    return reply.send(isOne ? asBuffer(only) : Buffer.concat(parts));
  } catch (error) {
    return refuseContent(exchange, blob, error);
  }
}

type Piece = IteratorResult<Uint8Array>;

async function sendLarge(
  exchange: TreeExchange & { readonly host: TreeHost },
  piecesOf: (flow: Flow) => AsyncGenerator<Uint8Array>,
): Promise<FastifyReply> {
  const { request, reply } = exchange;
  const flow = outflow.enter(request.ip, () => reply.raw.destroy());
  if (flow === undefined) return refuseFlow(reply);
  try {
    const pieces = piecesOf(flow);
    const next = (): Promise<Piece> => pieces.next();
    // Where pieces come from other servers, a slow one would hold up the others.
    const isFromDisk = exchange.host.bring === undefined;
    const inTurn = isFromDisk ? (): Promise<Piece> => outflow.reading(next) : next;
    return await sendLent(exchange, { next: inTurn, leave: () => pieces.return(undefined) }, flow);
  } finally {
    flow.leave();
  }
}

/** All that may wait for slow clients waits, and none of them stalls. */
export function refuseFlow(reply: FastifyReply): FastifyReply {
  for (const name of ["content-length", "content-range", "etag", "repr-digest", "last-modified"])
    reply.removeHeader(name);
  const busy = "too many large answers are being sent; try again, or another mirror";
  return refuse(reply.header("retry-after", "2"), 503, "BUSY", busy);
}

/** Content of a height that is kept comes back; of another it is gone here, and this is no fault. */
function refuseMissing(
  { host, reply }: TreeExchange & { readonly host: TreeHost },
  blob: { readonly digest: Digest; readonly size: number },
  height: number | undefined,
): FastifyReply {
  reply.removeHeader("etag").removeHeader("repr-digest").removeHeader("last-modified");
  if (height !== undefined && host.keeps?.(height) === false)
    return refuse(
      reply,
      410,
      "NOT_KEPT",
      `this host keeps the content of height ${height} no more; another mirror may`,
    );
  host.wantBlob(blob);
  return refuse(
    reply.header("retry-after", "1"),
    503,
    "BLOB_MISSING",
    "the content is being fetched from a neighbour; try again, or another mirror",
  );
}

/**
 * Sends lent pieces: while the kernel takes one, the next is read. What cannot even begin throws; what ends early
 * afterwards is cut, so that nobody takes it for the whole.
 */
async function sendLent(
  { request, reply }: TreeExchange,
  { next, leave }: { readonly next: () => Promise<Piece>; readonly leave: () => Promise<unknown> },
  flow: Flow,
): Promise<FastifyReply> {
  const first = await next();
  reply.hijack();
  const { raw } = reply;
  const { socket } = request.raw;
  const taken = (piece: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      const gone = (): void => reject(new CodedError("GONE", "the client went away"));
      // An answer that waits for one before it on the same connection is told of nothing.
      if (socket.destroyed) return gone();
      socket.once("close", gone);
      raw.write(piece, (error) => {
        socket.off("close", gone);
        if (error) reject(error);
        else resolve();
      });
    });
  try {
    raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
    for (let piece = first; piece.done !== true; flow.moved()) {
      const sent = taken(piece.value);
      if (flow.isAhead) [, piece] = await Promise.all([sent, next()]);
      else piece = await sent.then(next);
    }
    raw.end();
  } catch {
    raw.destroy();
  } finally {
    await leave();
  }
  return reply;
}

function refuseContent(
  { host, reply }: TreeExchange & { readonly host: TreeHost },
  blob: { readonly digest: Digest; readonly size: number },
  error: unknown,
): FastifyReply {
  host.wantBlob(blob);
  reply
    .removeHeader("content-length")
    .removeHeader("content-range")
    .removeHeader("etag")
    .removeHeader("last-modified")
    .removeHeader("repr-digest");
  const reason = error instanceof Error ? error.message : String(error);
  const told = host.refusal?.(error);
  if (told !== undefined) return refuse(reply, told.status, told.code, reason);
  return refuse(
    reply,
    503,
    "BLOB_CORRUPT",
    `the disk damaged this content; it is being fetched again (${reason})`,
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
