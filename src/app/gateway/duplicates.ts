import type { FastifyReply, FastifyRequest } from "fastify";
import type { Digest } from "../../core/base/index.ts";

import type { FilePieces } from "./pieces.ts";

/** Mirrors that are named in one answer. */
const namedMax = 4;

/** A file, as it is told where else it stands. */
interface Duplicated {
  /** Path of its URL, as the client wrote it. */
  readonly rawPath: string;
  readonly name: string;
  readonly digest: Digest;
  readonly size: number;
}

/** `Link`: where else the file stands (RFC 6249), and its metalink (RFC 5854). */
export function linkHeader(
  mirrors: readonly string[],
  { rawPath }: Pick<Duplicated, "rawPath">,
): string {
  const duplicates = mirrors
    .slice(0, namedMax)
    .map((mirror, i) => `<${mirror}${rawPath}>; rel=duplicate; pri=${i + 1}`);
  const metalink = `<${rawPath}.meta4>; rel=describedby; type="application/metalink4+xml"`;
  return [...duplicates, metalink].join(", ");
}

function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** This host first, as the client calls it, then the others. */
function urlsOf(
  request: FastifyRequest,
  mirrors: readonly string[],
  rawPath: string,
): readonly string[] {
  const here = `${request.protocol}://${request.host}`;
  return [here, ...mirrors.filter((mirror) => mirror !== here)].map((base) => `${base}${rawPath}`);
}

/** The metalink of a file (RFC 5854): what it is, and where it stands. */
export function sendMetalink(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  mirrors: readonly string[],
  { rawPath, name, digest, size, pieces }: Duplicated & { readonly pieces: FilePieces | undefined },
): FastifyReply {
  const hashes = pieces?.sha256.map((hash) => `      <hash>${hash}</hash>`) ?? [];
  const parts =
    pieces === undefined
      ? []
      : [`    <pieces length="${pieces.length}" type="sha-256">`, ...hashes, "    </pieces>"];
  const urls = urlsOf(request, mirrors, rawPath).map(
    (url, i) => `    <url priority="${i + 1}">${escapeXml(url)}</url>`,
  );
  return reply
    .header("cache-control", "max-age=60")
    .type("application/metalink4+xml")
    .send(
      [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink">',
        "  <generator>smalti</generator>",
        `  <file name="${escapeXml(name)}">`,
        `    <size>${size}</size>`,
        `    <hash type="sha-256">${digest}</hash>`,
        ...parts,
        ...urls,
        "  </file>",
        "</metalink>",
        "",
      ].join("\n"),
    );
}

/** `?mirrorlist`: the same for people and scripts. */
export function sendMirrorList(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  mirrors: readonly string[],
  { rawPath, digest, size }: Duplicated,
): FastifyReply {
  return reply
    .header("cache-control", "max-age=60")
    .send({ path: rawPath, size, sha256: digest, urls: urlsOf(request, mirrors, rawPath) });
}

/** Sends the client to one of the mirrors against which nothing is to be said; without one, the file is served here. */
export function redirectAway(
  reply: FastifyReply,
  mirrors: readonly string[],
  rawPath: string,
): FastifyReply | undefined {
  const mirror = mirrors[Math.floor(Math.random() * mirrors.length)];
  if (mirror === undefined) return undefined;
  return reply
    .header("cache-control", "private, no-cache")
    .header("link", linkHeader(mirrors, { rawPath }))
    .redirect(`${mirror}${rawPath}`, 302);
}
