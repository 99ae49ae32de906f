import type { FastifyInstance, FastifyReply } from "fastify";
import { bigEndian } from "../../core/base/index.ts";
import { consistencyProof } from "../../core/crypto/index.ts";
import { parsePath } from "../../core/mirror/index.ts";
import { writeConsistency, writePathProof } from "../../core/proof/index.ts";
import { natural, refuseCode } from "./api-routes.ts";
import type { GatewayHost } from "./host-api.ts";

/** Hashes of a full tile, and entries of a full bundle (C2SP tlog-tiles). */
const tileWidth = 256;
const immutable = "public, max-age=31536000, immutable";

/** The log as files, as C2SP tlog-tiles has them, and proofs that can be carried away. */
export function logRoutes(server: FastifyInstance, host: GatewayHost): void {
  server.get("/.smalti/checkpoint", (_, reply) => {
    if (host.head === undefined) return refuseCode(reply, "NOT_FOUND", "nothing is certified yet");
    return sendNote(reply, host.head.note, "max-age=5");
  });
  server.get("/.smalti/checkpoint/:size", (request, reply) => {
    const size = natural((request.params as { size: string }).size);
    const note = size === undefined ? undefined : host.archive.checkpoint(size);
    if (note === undefined)
      return refuseCode(reply, "NOT_FOUND", "no checkpoint of that size is here");
    return sendNote(reply, note, immutable);
  });
  server.get("/.smalti/tile/*", (request, reply) => {
    const place = tileAt((request.params as { "*": string })["*"]);
    if (place === undefined)
      return refuseCode(
        reply,
        "BAD_REQUEST",
        "a tile is LEVEL/INDEX[.p/WIDTH], as C2SP tlog-tiles says",
      );
    const bytes = tileOf(host, place);
    if (bytes === undefined)
      return refuseCode(reply, "NOT_FOUND", "the certified log does not reach so far");
    return reply
      .header("cache-control", immutable)
      .type("application/octet-stream")
      .send(Buffer.concat(bytes));
  });
  proofRoutes(server, host);
}

function sendNote(reply: FastifyReply, note: string, cacheControl: string): FastifyReply {
  return reply.header("cache-control", cacheControl).type("text/plain; charset=utf-8").send(note);
}

interface Tile {
  readonly level: number | "entries";
  readonly index: number;
  readonly width: number;
}

const tilePath = /^(entries|\d|[1-5]\d|6[0-3])\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** `x001/x234/067` is 1 234 067. */
function tileAt(path: string): Tile | undefined {
  const [, level, index = "", width = String(tileWidth)] = tilePath.exec(path) ?? [];
  if (level === undefined) return undefined;
  // A whole tile has no width in its path: partial ones have 1…255 (C2SP tlog-tiles).
  if (/\.p\//.test(path) && Number(width) >= tileWidth) return undefined;
  const parts = index.split("/");
  if (parts.length > 1 && parts[0] === "x000") return undefined;
  return {
    level: level === "entries" ? level : Number(level),
    index: Number(parts.map((part) => part.slice(-3)).join("")),
    width: Number(width),
  };
}

function tileOf(host: GatewayHost, { level, index, width }: Tile): Uint8Array[] | undefined {
  const size = host.head?.due.size ?? 0;
  const first = index * tileWidth;
  const complete = Math.floor(size / tileWidth ** (level === "entries" ? 0 : level));
  if (first + width > complete) return undefined;
  const places = Array.from({ length: width }, (_, i) => first + i);
  if (level !== "entries") return places.map((place) => host.archive.hashes(8 * level, place));
  return places.flatMap((place) => {
    const leaf = host.archive.leaf(place) ?? new Uint8Array(0);
    return [bigEndian(leaf.length, 2), leaf];
  });
}

function proofRoutes(server: FastifyInstance, host: GatewayHost): void {
  server.get("/.smalti/proof/:height/*", (request, reply) => {
    const { height: text, "*": path } = request.params as { height: string; "*": string };
    const height = text === "latest" ? host.servedHeight : natural(text);
    const names = parsePath(path.replace(/\/$/, ""));
    if (!names.ok) return refuseCode(reply, names.error.code, names.error.detail);
    const { head } = host;
    const proof =
      height === undefined || height > host.servedHeight || head === undefined
        ? undefined
        : host.archive.pathProof(height, names.value.join("/"), head);
    if (proof === undefined)
      return refuseCode(reply, "NOT_FOUND", `height ${text} is not served here`);
    return reply
      .header("cache-control", "no-cache")
      .type("text/plain; charset=utf-8")
      .send(writePathProof(proof));
  });
  server.get("/.smalti/consistency/:from", (request, reply) => {
    const query = request.query as { to?: string };
    const from = natural((request.params as { from: string }).from);
    const to = query.to === undefined ? host.head?.due.size : natural(query.to);
    if (from === undefined || to === undefined || from === 0 || from > to)
      return refuseCode(
        reply,
        "BAD_REQUEST",
        "a proof leads from a log that is not empty to a longer one",
      );
    const [older, newer] = [host.archive.checkpoint(from), host.archive.checkpoint(to)];
    if (older === undefined || newer === undefined)
      return refuseCode(reply, "NOT_FOUND", "no certified checkpoints of these sizes are here");
    const hashes = consistencyProof(from, to, host.archive.hashes);
    return reply
      .header("cache-control", "no-cache")
      .type("text/plain; charset=utf-8")
      .send(writeConsistency({ older, newer, hashes }));
  });
}
