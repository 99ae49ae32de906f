import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Digest, isDigest, limits, type Result, toBase64 } from "../../core/base/index.ts";
import { encode, read } from "../../core/codec/index.ts";
import { messageCount, segmentShape, segmentValue } from "../../core/consensus/index.ts";
import { messageKinds } from "../../core/mirror/index.ts";
import { bulkHead } from "../client/index.ts";
import type { HeadProof } from "../store/index.ts";
import { ChunkLists } from "./chunk-lists.ts";
import type { GatewayHost } from "./host-api.ts";
import { outflow } from "./outflow.ts";
import { receiptOf } from "./receipt.ts";
import { refuseFlow, sendBlob } from "./send-blob.ts";
import { Waiters } from "./waiters.ts";

/** HTTP status of a fault, by its code; 400 for those that are not listed. */
const statusOf: Readonly<Record<string, number>> = {
  NOT_PERMITTED: 403,
  OVER_QUOTA: 429,
  NOT_FOUND: 404,
  NOT_A_WRITER: 404,
  NOT_OPEN: 404,
  NOT_PROVEN: 422,
  NOTHING_TO_PARDON: 409,
  OTHER_GROUP: 409,
  BUSY: 503,
  NOT_SIGNING: 503,
  STOPPED: 503,
  TOO_LONG: 413,
  INCOMPLETE: 409,
};

export function refuseCode(reply: FastifyReply, code: string, message: string): FastifyReply {
  return reply
    .code(statusOf[code] ?? 400)
    .header("cache-control", "no-store")
    .send({ code, message });
}

export function answer<T>(reply: FastifyReply, result: Result<T>): FastifyReply {
  if (!result.ok) return refuseCode(reply, result.error.code, result.error.detail);
  return reply.header("cache-control", "no-store").send(result.value);
}

export function natural(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The machine-readable side of every host. */
export function apiRoutes(server: FastifyInstance, host: GatewayHost): void {
  server.get("/.smalti/genesis.json", (_, reply) =>
    reply.type("application/json").send(host.genesisText),
  );
  server.get("/.smalti/status.json", (_, reply) =>
    reply.header("cache-control", "no-store").send(host.status()),
  );
  headRoute(server, host);
  followRoute(server, host);
  messageRoutes(server, host);
  bulkRoutes(server, host);
  historyRoutes(server, host);
  const waiters = new Waiters();
  server.get("/.smalti/v1/updates/:id", async (request, reply) => {
    const { id } = request.params as { id: string };
    if (!isDigest(id)) return refuseCode(reply, "BAD_REQUEST", "an update's id is 64 hex digits");
    return waiters.run(request, reply, async (wait) => {
      await host.settled(id, wait);
      return reply.header("cache-control", "no-store").send(receiptOf(host, id));
    });
  });
}

function headRoute(server: FastifyInstance, host: GatewayHost): void {
  const waiters = new Waiters();
  server.get("/.smalti/head", async (request, reply) => {
    const query = request.query as { height?: string; after?: string };
    return waiters.run(request, reply, async (wait) => {
      const after = natural(query.after);
      if (after !== undefined) await host.nextHead(after, wait);
      const height = natural(query.height);
      const proof = headProof(host, height);
      if (proof === undefined)
        return refuseCode(reply, "NOT_FOUND", `height ${height ?? 0} is not served here`);
      const { key } = host.accountability;
      return reply
        .header("cache-control", "no-store")
        .send({ ...proof, host: key, convicted: host.accountability.convicted() });
    });
  });
}

/** The newest state that is served, or that at a height. */
function headProof(host: GatewayHost, height: number | undefined): HeadProof | undefined {
  const { head, served, servedHeight, archive } = host;
  if (head === undefined || served === undefined) return undefined;
  if (height === undefined) return archive.newestProof(served);
  return height > servedHeight ? undefined : archive.proof(height, head);
}

function followRoute(server: FastifyInstance, host: GatewayHost): void {
  const waiters = new Waiters();
  server.get("/.smalti/v1/commits", async (request, reply) => {
    const query = request.query as Readonly<Record<string, string | undefined>>;
    const [commit, size] = [natural(query["after"]), natural(query["size"] ?? "0")];
    const leaseS = query["lease"] === undefined ? Number.MAX_SAFE_INTEGER : natural(query["lease"]);
    if (commit === undefined || size === undefined || leaseS === undefined)
      return refuseCode(reply, "BAD_REQUEST", "after, size and lease are numbers");
    return waiters.run(request, reply, async (wait) => {
      const { group } = query;
      const news = await host.follow({ commit, size, leaseS, group }, wait);
      if (!news.ok) return answer(reply, news);
      reply.header("cache-control", "no-store").type("application/cbor");
      const { buffer, byteOffset, byteLength } = news.value;
      const bytes = Buffer.from(buffer, byteOffset, byteLength);
      return bytes.length <= limits.packedBlobBytesMax
        ? reply.send(bytes)
        : sendMany(request, reply, [bytes], bytes.length);
    });
  });
}

function isLoopback(request: FastifyRequest): boolean {
  return /^(127\.|::1$|::ffff:127\.)/.test(request.ip);
}

function mayAppend(host: GatewayHost, request: FastifyRequest): boolean {
  return host.appendBy === "anybody" || (host.appendBy === "loopback" && isLoopback(request));
}

function refuseAppend(reply: FastifyReply): unknown {
  const why = "this host does not take messages from here (config: [log] append)";
  return refuseCode(reply, "NOT_PERMITTED", why);
}

function messageRoutes(server: FastifyInstance, host: GatewayHost): void {
  const waiters = new Waiters();
  server.post("/.smalti/v1/log", { bodyLimit: limits.appendBytesMax }, async (request, reply) => {
    if (!mayAppend(host, request)) return refuseAppend(reply);
    const segment = read(request.body as Buffer, segmentShape, "segment");
    if (!segment.ok) return answer(reply, segment);
    if (segment.value.kind !== messageKinds.application)
      return refuseCode(reply, "BAD_REQUEST", "only application messages");
    if (messageCount(segment.value) === 0) return refuseCode(reply, "BAD_REQUEST", "no message");
    return answer(reply, await host.append(segment.value));
  });
  server.post(
    "/.smalti/v1/log/once",
    { bodyLimit: limits.messageBytesMax },
    async (request, reply) => {
      if (!mayAppend(host, request)) return refuseAppend(reply);
      return answer(reply, await host.appendOnce(request.body as Buffer));
    },
  );
  server.get("/.smalti/v1/log", async (request, reply) => {
    const { from } = request.query as { from?: string };
    const start = natural(from ?? "0");
    if (start === undefined) return refuseCode(reply, "BAD_REQUEST", "from is an index");
    const stop = new AbortController();
    // It ends; whoever follows the log asks again from where he is.
    const leave = waiters.enter(request.ip, () => stop.abort());
    reply.raw.on("close", () => {
      leave();
      stop.abort();
    });
    return reply
      .type("application/octet-stream")
      .send(Readable.from(tailBytes(host, start, stop.signal)));
  });
}

/** length u32 · CBOR [first index, segments]. */
async function* tailBytes(
  host: GatewayHost,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for await (const { first, segments } of host.tail(from, signal)) {
    const bytes = encode([first, segments.map(segmentValue)]);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(bytes.length, 0);
    yield Buffer.concat([head, bytes]);
  }
}

function digestsOf(request: FastifyRequest): readonly Digest[] | undefined {
  const { digests } = (request.body ?? {}) as { digests?: unknown };
  if (!Array.isArray(digests) || digests.length > limits.bulkDigestsMax || !digests.every(isDigest))
    return undefined;
  return digests as Digest[];
}

function bulkRoutes(server: FastifyInstance, host: GatewayHost): void {
  const chunkLists = new ChunkLists();
  server.route({
    method: ["GET", "HEAD"],
    url: "/.smalti/blob/sha256/:digest",
    handler: async (request, reply) => {
      const { digest } = request.params as { digest: string };
      const size = isDigest(digest) ? host.blobs.size(digest) : undefined;
      if (!isDigest(digest) || size === undefined)
        return refuseCode(reply, "NOT_FOUND", "no such blob here");
      reply.header("etag", `"${digest}"`).header("accept-ranges", "bytes");
      reply
        .header("cache-control", "public, max-age=31536000, immutable")
        .type("application/octet-stream");
      return sendBlob({ host, request, reply }, { digest, size });
    },
  });
  server.get("/.smalti/v1/blobs/:digest/sums", async (request, reply) => {
    const { digest } = request.params as { digest: string };
    const size = isDigest(digest) ? host.blobs.size(digest) : undefined;
    const found = isDigest(digest) ? await host.blobs.sums(digest) : undefined;
    if (found === undefined || size === undefined)
      return refuseCode(reply, "NOT_FOUND", "no such large blob here");
    const { chunkBytes, sums } = found;
    return reply
      .header("cache-control", "no-store")
      .send({ size, chunkBytes, sums: toBase64(sums) });
  });
  server.get("/.smalti/v1/blobs/:digest/chunks", async (request, reply) => {
    const { digest } = request.params as { digest: string };
    const size = isDigest(digest) ? host.blobs.size(digest) : undefined;
    if (!isDigest(digest) || size === undefined || size <= limits.blobChunkBytes)
      return refuseCode(reply, "NOT_FOUND", "no blob of several chunks is here under that name");
    return reply
      .header("cache-control", "public, max-age=31536000, immutable")
      .type("application/octet-stream")
      .send(Buffer.from(await chunkLists.of(host.blobs, { digest, size })));
  });
  server.post("/.smalti/v1/blobs", async (request, reply) => {
    const digests = digestsOf(request);
    if (digests === undefined)
      return refuseCode(reply, "BAD_REQUEST", `digests: up to ${limits.bulkDigestsMax} digests`);
    reply.type("application/octet-stream");
    return sendMany(request, reply, bulkBlobs(host, digests));
  });
  server.post("/.smalti/v1/nodes", async (request, reply) => {
    const digests = digestsOf(request);
    if (digests === undefined)
      return refuseCode(reply, "BAD_REQUEST", `digests: up to ${limits.bulkDigestsMax} digests`);
    reply.type("application/octet-stream");
    return sendMany(request, reply, bulkNodes(host, digests));
  });
}

/** Sends pieces as their client takes them; `heldBytes`: what of them is in memory before that. */
// biome-ignore lint/complexity/useMaxParams: what goes to whom, and what it costs
function sendMany(
  request: FastifyRequest,
  reply: FastifyReply,
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
  heldBytes = 0,
): FastifyReply {
  const flow = outflow.enter(request.ip, () => reply.raw.destroy(), heldBytes);
  if (flow === undefined) return refuseFlow(reply);
  reply.raw.once("close", () => flow.leave());
  const told = async function* (): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      yield piece;
      flow.moved();
    }
  };
  return reply.send(Readable.from(told()));
}

/** The nodes among `digests` that are here, within `bulkBytesMax`, each once; read as they are taken. */
function* bulkNodes(host: GatewayHost, digests: readonly Digest[]): Generator<Buffer> {
  let [bytes, parts, partBytes] = [0, [] as Uint8Array[], 0];
  for (const digest of new Set(digests)) {
    const node = host.archive.nodes(digest);
    if (node === undefined) continue;
    bytes += node.length;
    if (bytes > limits.bulkBytesMax) break;
    parts.push(bulkHead(digest, node.length), node);
    partBytes += node.length;
    if (partBytes < limits.blobChunkBytes) continue;
    yield Buffer.concat(parts);
    [parts, partBytes] = [[], 0];
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

/** The small blobs among `digests` that are here, within `bulkBytesMax`; sent in pieces worth a write. */
async function* bulkBlobs(host: GatewayHost, digests: readonly Digest[]): AsyncGenerator<Buffer> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for await (const { digest, bytes } of host.blobs.readMany(withinBulk(host, digests))) {
    pending.push(bulkHead(digest, bytes.length), bytes);
    pendingBytes += bytes.length;
    if (pendingBytes < limits.blobChunkBytes) continue;
    yield Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
  }
  if (pending.length > 0) yield Buffer.concat(pending);
}

/** As many of the digests as one answer takes. */
function withinBulk(host: GatewayHost, digests: readonly Digest[]): Digest[] {
  let bytes = 0;
  return [...new Set(digests)].filter((digest) => {
    bytes += host.blobs.size(digest) ?? 0;
    return bytes <= limits.bulkBytesMax;
  });
}

/** Heights that are looked at for one answer; it says where to go on. */
const heightsLookedAtMax = 10_000;

/** The newest heights below one, of one tree or of all; `next`: below which there may be more. */
function heightsBelow(
  host: GatewayHost,
  below: number,
  { tree, most }: { readonly tree: string | undefined; readonly most: number },
): { readonly heights: readonly object[]; readonly next?: number } {
  const heights: object[] = [];
  let looked = 0;
  for (const record of host.archive.heights(below)) {
    if (heights.length >= most || looked++ >= heightsLookedAtMax)
      return { heights, next: record.height + 1 };
    if (tree !== undefined && record.tree !== tree) continue;
    const { height, tsMs, tree: of, by, changesBytes } = record;
    heights.push({ height, tsMs, tree: of, update: by, changesBytes });
  }
  return { heights };
}

function historyRoutes(server: FastifyInstance, host: GatewayHost): void {
  server.get("/.smalti/v1/heights", (request, reply) => {
    const query = request.query as { tree?: string; below?: string; limit?: string };
    const most = Math.min(natural(query.limit) ?? 50, 1000);
    const below = natural(query.below) ?? host.servedHeight + 1;
    const found = heightsBelow(host, below, { tree: query.tree, most });
    return reply.header("cache-control", "no-store").send(found);
  });
  server.get("/.smalti/v1/height-at", async (request, reply) => {
    const tsMs = natural((request.query as { ms?: string }).ms);
    if (tsMs === undefined)
      return refuseCode(reply, "BAD_REQUEST", "ms is a time, POSIX milliseconds");
    const height = await host.heightAt(tsMs);
    return reply.header("cache-control", "no-store").send({ height });
  });
  server.get("/.smalti/v1/policy", (_, reply) => {
    const { version, administrators, publishers } = host.policy;
    return reply.header("cache-control", "no-store").send({ version, administrators, publishers });
  });
}
