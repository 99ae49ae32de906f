import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import fresh from "fresh";
import { lookup as mimeOf } from "mrmime";
import Negotiator from "negotiator";
import { type Digest, fromHex, toBase64 } from "../../core/base/index.ts";
import { type Entry, type Leaf, MissingNodeError, parsePath } from "../../core/mirror/index.ts";
import type { PinnedTrees } from "./archive.ts";
import { sendView, type Viewed, viewOf } from "./derived.ts";
import { linkHeader, redirectAway, sendMetalink, sendMirrorList } from "./duplicates.ts";
import { directoryPage } from "./listing.ts";
import { isManifest, manifestHeaders } from "./oci.ts";
import { pinnedState } from "./pinned.ts";
import { type Refusal, refuse } from "./refuse.ts";
import { sendBlob } from "./send-blob.ts";
import type { AnswerSigner, TreeExchange, TreeHost } from "./tree-host.ts";

const linkHopsMax = 8;

/** A place that a URL names. */
interface Place {
  /** Paths whose changes show here: the one asked for and every link on the way. */
  readonly via: readonly string[];
  readonly record: PinnedTrees;
  readonly isPinned: boolean;
  /** What stands there never changes. */
  readonly isForEver: boolean;
  readonly tree: string;
  readonly names: readonly string[];
  readonly hasSlash: boolean;
}

type File = Extract<Leaf, { kind: "file" }>;

/** Trees over plain HTTP: `/TREE/path` is the newest state, `/@HEIGHT/TREE/path` any one before it. */
export function treeRoutes(server: FastifyInstance, host: TreeHost, sign?: AnswerSigner): void {
  const answers = new Map<string, FileAnswer>();
  server.route({
    method: ["GET", "HEAD"],
    url: "/*",
    handler: (request, reply) => serveWhole({ host, answers, request, reply, sign }),
  });
  // Before a body is looked at, whatever its type.
  server.addHook("onRequest", async (request, reply) => {
    if (
      request.method === "GET" ||
      request.method === "HEAD" ||
      request.url.startsWith("/.smalti/")
    )
      return;
    return refuse(
      reply.header("allow", "GET, HEAD"),
      405,
      "NOT_ALLOWED",
      "trees are read with GET and HEAD",
    );
  });
}

/** Again and again while something is missing that can be brought. */
async function serveWhole(call: Call): Promise<FastifyReply> {
  for (;;) {
    try {
      return await serve(call);
    } catch (error) {
      if (!(error instanceof MissingNodeError) || call.host.bring === undefined) throw error;
      await call.host.bring(error, call.request);
    }
  }
}

async function serve(call: Call): Promise<FastifyReply> {
  const { host, answers, request, reply } = call;
  const [rawPath = "/"] = (request.raw.url ?? "/").split("?");
  if (request.headers["accept-datetime"] !== undefined && !rawPath.startsWith("/@"))
    return redirectToTime(call, rawPath);
  // A height never changes, so what was found in it is found again.
  const shown = host.liar.heightFor(request, host.servedHeight);
  const key = `${host.servedHeight} ${shown} ${wishOf(request)} ${rawPath}`;
  const known = answers.get(key);
  if (known !== undefined) return sendFile(call, known);
  let path: string;
  try {
    path = decodeURIComponent(rawPath);
  } catch {
    return refuse(reply, 400, "BAD_PATH", "the path is not valid percent-encoded UTF-8");
  }
  const place = await placeOf(host, path, request);
  if ("code" in place) return refuse(reply, place.status, place.code, place.message);
  return servePlace({ ...call, path, rawPath, key }, place);
}

async function servePlace(exchange: Exchange, place: Place): Promise<FastifyReply> {
  const { host, reply, path, rawPath } = exchange;
  reply.header("smalti-height", String(place.record.height));
  if (place.isPinned) reply.header("memento-datetime", new Date(place.record.tsMs).toUTCString());
  if (place.tree === "") {
    if (!rawPath.endsWith("/")) return reply.redirect(`${rawPath}/`, 301);
    return serveTrees(host, place, reply);
  }
  const found = resolvePath(host, place);
  if ("status" in found) {
    const made = metalinkOf(exchange, place, rawPath) ?? traceIn(exchange, place);
    if (made !== undefined) return made;
    if (found.isAbsent === true && !place.isPinned)
      await exchange.sign?.(exchange, {
        status: 404,
        height: place.record.height,
        content: undefined,
      });
    return refuse(reply, found.status, found.code, `${path}: ${found.message}`);
  }
  return serveEntry(exchange, { ...place, ...found }, found.entry);
}

/** Memento (RFC 7089): whoever asks for a time is sent to the height that was newest then. */
async function redirectToTime(
  { host, request, reply }: Call,
  rawPath: string,
): Promise<FastifyReply> {
  const tsMs = Date.parse(String(request.headers["accept-datetime"]));
  reply.header("vary", "accept-datetime").header("cache-control", "no-cache");
  if (Number.isNaN(tsMs))
    return refuse(reply, 400, "BAD_TIME", "Accept-Datetime is a date of HTTP (RFC 9110 §5.6.7)");
  const height = await host.heightAt(tsMs);
  if (height === 0) return refuse(reply, 404, "NOT_YET", "nothing was published at that time");
  return reply.header("link", `<${rawPath}>; rel=original`).redirect(`/@${height}${rawPath}`, 302);
}

async function placeOf(
  host: TreeHost,
  path: string,
  request: FastifyRequest,
): Promise<Place | Refusal> {
  const pinned = await pinnedState(host, path);
  if (pinned !== undefined && "status" in pinned) return pinned;
  const record = pinned?.record ?? host.liar.recordFor(host.archive, request, host.servedHeight);
  if (record === undefined)
    return { status: 404, code: "NOTHING_PUBLISHED", message: "nothing is published yet" };
  const rest = (pinned?.rest ?? path).replace(/^\//, "");
  const [isPinned, isForEver] = [pinned !== undefined, pinned?.isForEver === true];
  const hasSlash = rest === "" || rest.endsWith("/");
  const trimmed = rest.replace(/\/$/, "");
  const at = { via: [], record, isPinned, isForEver, hasSlash };
  if (trimmed === "") return { ...at, tree: "", names: [] };
  const parsed = parsePath(trimmed);
  if (!parsed.ok) return { status: 400, code: parsed.error.code, message: parsed.error.detail };
  const [tree = "", ...names] = parsed.value;
  return { ...at, tree, names };
}

/** A file as it is answered with, but for ranges and conditions. */
interface FileAnswer {
  readonly file: File;
  readonly height: number;
  /** It stands at the very path: no link, no index page, no past height. */
  readonly isDirect: boolean;
  /** It is shown otherwise than it stands in the tree. */
  readonly viewed?: Viewed;
  readonly headers: Readonly<Record<string, string>>;
}

/** Answers remembered; some 500 bytes each, besides their keys. */
const answersMax = 16_384;
const keyLengthMax = 512;

interface Call extends TreeExchange {
  readonly host: TreeHost;
  /** By height and path. */
  readonly answers: Map<string, FileAnswer>;
  readonly sign: AnswerSigner | undefined;
}

interface Exchange extends Call {
  /** Of {@link Call.answers}. */
  readonly key: string;
  /** Decoded. */
  readonly path: string;
  /** As the client wrote it. */
  readonly rawPath: string;
}

function cacheFor(place: Place): string {
  return place.isForEver ? "public, max-age=31536000, immutable" : "no-cache";
}

function serveTrees(host: TreeHost, place: Place, reply: FastifyReply): FastifyReply {
  const entries = host.archive.directories.list(place.record.trees);
  const page = directoryPage({
    path: "/",
    height: place.record.height,
    moniker: host.status().moniker,
    entries,
  });
  return reply.header("cache-control", cacheFor(place)).type("text/html; charset=utf-8").send(page);
}

function serveEntry(
  exchange: Exchange,
  place: Place,
  entry: Entry,
): FastifyReply | Promise<FastifyReply> {
  const { reply, path, rawPath } = exchange;
  if (entry.kind === "directory") {
    const index = indexOf(exchange, place);
    if (index !== undefined && (place.hasSlash || index.isWished))
      return serveFile(exchange, { ...place, names: index.names }, index.file, index.type);
    if (!place.hasSlash)
      return reply.code(301).header("cache-control", "no-cache").redirect(`${rawPath}/`, 301);
    return serveDirectory(exchange, place, entry.root);
  }
  if (place.hasSlash) return refuse(reply, 404, "NOT_A_DIRECTORY", `${path} is not a directory`);
  if (entry.kind === "file") return serveFile(exchange, place, entry);
  return refuse(reply, 404, "DANGLING_LINK", "a link that leads nowhere");
}

/** What an `index.json` can be: listings for pip (PEP 691), packuments for npm. */
const jsonTypes = [
  "application/vnd.pypi.simple.v1+json",
  "application/vnd.npm.install-v1+json",
  "application/json",
];

/** A client's wish for JSON, where it has one: part of what its answer is remembered by. */
function wishOf(request: FastifyRequest): string {
  const { accept = "" } = request.headers;
  return accept.includes("json") ? accept : "";
}

interface Index {
  readonly names: readonly string[];
  readonly file: File;
  readonly type: string | undefined;
  /** The client asked for just this form: it needs no redirect to the directory. */
  readonly isWished: boolean;
}

/** The page that stands for a directory: `index.html`, or `index.json` for those who would rather have it. */
function indexOf({ host, request, reply }: Exchange, place: Place): Index | undefined {
  const at = (name: string): Index | undefined => {
    const names = [...place.names, name];
    const file = host.archive.entry(place.record, place.tree, names);
    return file?.kind === "file" ? { names, file, type: undefined, isWished: false } : undefined;
  };
  const [html, json] = [at("index.html"), at("index.json")];
  if (json === undefined) return html;
  reply.header("vary", "accept");
  const offered = html === undefined ? jsonTypes : ["text/html", ...jsonTypes];
  const [type] = new Negotiator(request).mediaTypes(offered);
  if (type === "text/html") return html;
  if (type === undefined && html !== undefined) return html;
  const isWished = wishOf(request) !== "";
  return { ...json, type: isWished ? type : "application/json", isWished };
}

function serveDirectory(
  exchange: Exchange,
  place: Place,
  root: Digest,
): FastifyReply | Promise<FastifyReply> {
  const { host, reply, path } = exchange;
  const entries = host.archive.directories.list(root);
  const page = directoryPage({
    path,
    height: place.record.height,
    moniker: host.status().moniker,
    entries,
  });
  return reply.header("cache-control", cacheFor(place)).type("text/html; charset=utf-8").send(page);
}

interface Resolved {
  readonly entry: Entry;
  /** Where it really stands. */
  readonly names: readonly string[];
  readonly via: readonly string[];
}

/**
 * Walks a path component by component, following symbolic links (of files and of directories) inside the tree. A link
 * that leads out is refused, as is a chain without end.
 */
function resolvePath(host: TreeHost, place: Place): Resolved | Refusal {
  let todo = [...place.names];
  let names: readonly string[] = [];
  const via: string[] = [];
  for (let hops = 0; hops <= linkHopsMax; ) {
    const entry = entryAt(host, place, names);
    if (entry === undefined) {
      const message = `not in height ${place.record.height}`;
      return { status: 404, code: "NOT_FOUND", message, isAbsent: via.length === 0 };
    }
    if (entry.kind === "link") {
      hops++;
      via.push(names.join("/"));
      const target = follow(names.slice(0, -1), entry.target);
      if (target === undefined)
        return { status: 403, code: "LINK_OUTSIDE", message: "a link leads out of its tree" };
      todo = [...target, ...todo];
      names = [];
      continue;
    }
    const [next, ...rest] = todo;
    if (next === undefined) return { entry, names, via: [...via, names.join("/")] };
    if (entry.kind !== "directory")
      return { status: 404, code: "NOT_FOUND", message: "a file is on the way" };
    names = [...names, next];
    todo = rest;
  }
  return { status: 404, code: "LINK_LOOP", message: `more than ${linkHopsMax} links in a row` };
}

function entryAt(host: TreeHost, place: Place, names: readonly string[]): Entry | undefined {
  if (host.liar.hides(names.join("/"))) return undefined;
  return host.archive.entry(place.record, place.tree, names);
}

function follow(directory: readonly string[], target: string): readonly string[] | undefined {
  if (target.startsWith("/")) return undefined;
  const names = [...directory];
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") names.push(part);
    else if (names.pop() === undefined) return undefined;
  }
  return names;
}

// biome-ignore lint/complexity/useMaxParams: what is served, where, and as what
async function serveFile(
  exchange: Exchange,
  place: Place,
  file: File,
  type?: string,
): Promise<FastifyReply> {
  const { answers, key, host, reply } = exchange;
  const where = place.names.join("/");
  // A page that stands for a directory does not stand at its path.
  const isDirect = !place.isPinned && place.via.join("//") === where && !place.hasSlash;
  const { height } = place.record;
  const form = type === undefined ? {} : { "content-type": type };
  const negotiated = reply.hasHeader("vary") ? { vary: "accept" } : {};
  const oci = isManifest(place.tree, place.names) ? await manifestHeaders(host, file) : {};
  const headers = { ...headersOf(host, place, file), ...form, ...negotiated, ...oci };
  const viewed = viewedOf(exchange, place, file, type);
  const answer = { file, height, isDirect, headers, ...(viewed === undefined ? {} : { viewed }) };
  if (answers.size >= answersMax) answers.clear();
  // A path can be written in many ways: long ones are not worth the room that they could be made to take.
  if (key.length <= keyLengthMax) answers.set(key, answer);
  return sendFile(exchange, answer);
}

// biome-ignore lint/complexity/useMaxParams: what is served, where, and as what
function viewedOf(
  { host, path }: Exchange,
  { names, tree, record, isPinned }: Place,
  { digest, size }: File,
  type: string | undefined,
): Viewed | undefined {
  const view = viewOf(names, type);
  if (view === undefined) return undefined;
  const above = names.slice(0, -1);
  const [pin = ""] = isPinned ? path.replace(/^\//, "").split("/") : [];
  const parts = [...(isPinned ? [pin] : []), tree, ...above].map((name) =>
    encodeURIComponent(name).replaceAll("%40", "@"),
  );
  const has: Viewed["has"] = (below) =>
    host.archive.entry(record, tree, [...above, ...below])?.kind === "file";
  return { view, digest, size, directory: `/${parts.join("/")}/`, has };
}

function headersOf(host: TreeHost, place: Place, file: File): Readonly<Record<string, string>> {
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
    "x-content-type-options": "nosniff",
    "content-type": mimeOf(name) ?? "application/octet-stream",
    ...lastModified,
  };
}

/** `FILE.meta4`, where no such file stands and FILE does. */
function metalinkOf(call: Call, place: Place, rawPath: string): FastifyReply | undefined {
  const { host } = call;
  const name = place.names.at(-1)?.replace(/\.meta4$/, "") ?? "";
  if (host.duplicates === undefined || name === place.names.at(-1)) return undefined;
  const file = host.archive.entry(place.record, place.tree, [...place.names.slice(0, -1), name]);
  if (file?.kind !== "file") return undefined;
  const about = { ...file, name, rawPath: rawPath.replace(/\.meta4$/, "") };
  return sendMetalink(call, host.duplicates(), about);
}

/** `project/trace/HOST` of a Debian archive, where Debian's own tools look for it; what the tree has goes first. */
function traceIn({ host, reply }: Call, place: Place): FastifyReply | undefined {
  const path = `project/trace/${host.status().moniker}`;
  if (host.trace === undefined || place.isPinned || place.names.join("/") !== path)
    return undefined;
  if (host.archive.entry(place.record, place.tree, ["dists"])?.kind !== "directory")
    return undefined;
  return reply
    .header("cache-control", "max-age=60")
    .type("text/plain; charset=utf-8")
    .send(host.trace());
}

async function sendFile(call: Call, answer: FileAnswer): Promise<FastifyReply> {
  const { request, reply } = call;
  const { host } = call;
  const { file, headers, height, isDirect } = answer;
  const [rawPath = "", query] = (request.raw.url ?? "").split("?");
  const mirrors = host.duplicates?.();
  if (mirrors !== undefined && query === "mirrorlist")
    return sendMirrorList(call, mirrors, { ...file, name: "", rawPath });
  const away = query === "redirect" && mirrors ? redirectAway(reply, mirrors, rawPath) : undefined;
  if (away !== undefined) return away;
  reply.headers(headers);
  if (mirrors !== undefined) reply.header("link", linkHeader(mirrors, { rawPath }));
  const view = answer.viewed && (await sendView(call, answer.viewed));
  if (view !== undefined) return view;
  const { etag, "last-modified": lastModified = "" } = headers;
  if (fresh(request.headers, { etag, "last-modified": lastModified }))
    return reply.code(304).removeHeader("content-type").send();
  if (isDirect && host.blobs.has(file.digest) && request.headers.range === undefined)
    await call.sign?.(call, { status: 200, height, content: file.digest });
  return sendBlob(call, file, answer.height);
}
