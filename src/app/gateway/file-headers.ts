import type { FastifyRequest } from "fastify";
import { lookup as mimeOf } from "mrmime";
import { fromHex, toBase64 } from "../../core/base/index.ts";
import type { Leaf } from "../../core/mirror/index.ts";
import { ociTree } from "./oci.ts";
import type { Place } from "./places.ts";
import type { TreeHost } from "./tree-host.ts";

export type File = Extract<Leaf, { kind: "file" }>;

/** Of a past height: of when it is, and where the newest stands. The newest can be asked for another time (RFC 7089). */
export function timeHeaders(
  { isPinned, record, tree }: Place,
  rawPath: string,
): Readonly<Record<string, string>> {
  if (tree === ociTree) return {};
  if (!isPinned) return { vary: "accept-datetime" };
  return {
    "memento-datetime": new Date(record.tsMs).toUTCString(),
    link: `<${rawPath.replace(/^\/@[^/]+/, "") || "/"}>; rel=original`,
  };
}

export function cacheFor(place: Place): string {
  return place.isForEver ? "public, max-age=31536000, immutable" : "no-cache";
}

/** What an `index.json` can be: listings for pip (PEP 691), packuments for npm. */
export const jsonTypes = [
  "application/vnd.pypi.simple.v1+json",
  "application/vnd.npm.install-v1+json",
  "application/json",
];

/** A client's wish for JSON, where it has one: part of what its answer is remembered by. */
export function wishOf(request: FastifyRequest): string {
  const { accept = "" } = request.headers;
  return accept.includes("json") ? accept : "";
}

/** Pages of a tree may run scripts, but stand for nobody: not for this host, nor for one another. */
const apart = "sandbox allow-scripts allow-forms allow-popups allow-downloads";

function isActive(name: string): boolean {
  return /(html|svg|xml)/.test(mimeOf(name) ?? "");
}

/** Plain text is taken for UTF-8, as nearly all of it is; other types say so themselves. */
function typeOf(name: string): string {
  const type = mimeOf(name) ?? "application/octet-stream";
  return /^text\/(plain|markdown|csv)$/.test(type) ? `${type}; charset=utf-8` : type;
}

export function headersOf(
  host: TreeHost,
  place: Place,
  file: File,
): Readonly<Record<string, string>> {
  const name = place.names.at(-1) ?? "";
  const paths = new Set([...place.via, place.names.join("/")]);
  const stamps = [...paths].map(
    (path) => host.archive.changedMs(place.tree, path, place.record.height) ?? 0,
  );
  const changedMs = Math.max(...stamps);
  const lastModified =
    changedMs === 0 ? {} : { "last-modified": new Date(changedMs).toUTCString() };
  return {
    "smalti-height": String(place.record.height),
    etag: `"${file.digest}"`,
    "repr-digest": `sha-256=:${toBase64(fromHex(file.digest))}:`,
    "accept-ranges": "bytes",
    "cache-control": cacheFor(place),
    ...(isActive(name) ? { "content-security-policy": apart } : {}),
    "content-type": typeOf(name),
    ...lastModified,
  };
}

/** The order's clock may be ahead of this host's: no answer is of a later time than its own (RFC 9110 §8.8.2.1). */
export function notAfterNow(changed: string): string {
  return Date.parse(changed) > Date.now() ? new Date().toUTCString() : changed;
}
