import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import Negotiator from "negotiator";
import type { Digest } from "../../core/base/index.ts";
import { type Entry, MissingNodeError } from "../../core/mirror/index.ts";
import { sendView, type Viewed, viewOf } from "./derived.ts";
import { linkHeader, redirectAway, sendMetalink, sendMirrorList } from "./duplicates.ts";
import {
  cacheFor,
  type File,
  headersOf,
  jsonTypes,
  notAfterNow,
  timeHeaders,
  wishOf,
} from "./file-headers.ts";
import { directoryPage } from "./listing.ts";
import { Listings } from "./listings.ts";
import { isManifest, manifestHeaders, ociTree, refuseOci } from "./oci.ts";
import { Pieces } from "./pieces.ts";
import { type Place, placeOf, resolvePath } from "./places.ts";
import { arePreconditionsMet, dateOf, isFresh } from "./preconditions.ts";
import { refuse } from "./refuse.ts";
import { sendBlob } from "./send-blob.ts";
import type { AnswerSigner, TreeExchange, TreeHost } from "./tree-host.ts";

/** Trees over plain HTTP: `/TREE/path` is the newest state, `/@HEIGHT/TREE/path` any one before it. */
export function treeRoutes(server: FastifyInstance, host: TreeHost, sign?: AnswerSigner): void {
  const answers = new Map<string, FileAnswer>();
  const listings = new Listings();
  const pieces = new Pieces();
  server.route({
    method: ["GET", "HEAD"],
    url: "/*",
    handler: (request, reply) =>
      serveWhole({ host, answers, listings, pieces, request, reply, sign }),
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
  const key = `${host.servedHeight} ${wishOf(request)} ${rawPath}`;
  const known = answers.get(key);
  if (known !== undefined) return sendFile(call, known);
  let path: string;
  try {
    path = decodeURIComponent(rawPath);
  } catch {
    return refuse(reply, 400, "BAD_PATH", "the path is not valid percent-encoded UTF-8");
  }
  const place = await placeOf(host, path);
  if ("code" in place) return refuse(reply, place.status, place.code, place.message);
  return servePlace({ ...call, path, rawPath, key }, place);
}

async function servePlace(exchange: Exchange, place: Place): Promise<FastifyReply> {
  const { host, reply, path, rawPath } = exchange;
  reply.header("smalti-height", String(place.record.height));
  reply.headers(timeHeaders(place, rawPath));
  if (place.tree === "") {
    if (!rawPath.endsWith("/")) return reply.redirect(`${rawPath}/`, 301);
    return serveTrees(exchange, place);
  }
  const found = resolvePath(host, place);
  if ("status" in found) {
    const made = (await metalinkOf(exchange, place, rawPath)) ?? traceIn(exchange, place);
    if (made !== undefined) return made;
    if (found.isAbsent === true && !place.isPinned)
      await exchange.sign?.(exchange, {
        status: 404,
        height: place.record.height,
        content: undefined,
      });
    if (place.tree === ociTree) return refuseOci(reply, found, place.names);
    return refuse(reply, found.status, found.code, `${path}: ${found.message}`);
  }
  return serveEntry(exchange, { ...place, ...found }, found.entry);
}

/** Memento (RFC 7089): whoever asks for a time is sent to the height that was newest then. */
async function redirectToTime(
  { host, request, reply }: Call,
  rawPath: string,
): Promise<FastifyReply> {
  const tsMs = dateOf(String(request.headers["accept-datetime"]));
  reply.header("vary", "accept-datetime").header("cache-control", "no-cache");
  if (tsMs === undefined)
    return refuse(reply, 400, "BAD_TIME", "Accept-Datetime is a date of HTTP (RFC 9110 §5.6.7)");
  const height = await host.heightAt(tsMs);
  if (height === 0) return refuse(reply, 404, "NOT_YET", "nothing was published at that time");
  return reply.header("link", `<${rawPath}>; rel=original`).redirect(`/@${height}${rawPath}`, 302);
}

/** A file as it is answered with, but for ranges and conditions. */
interface FileAnswer {
  readonly file: File;
  readonly height: number;
  /** It stands at the very path: no link, no index page, no past height. */
  readonly isDirect: boolean;
  /** Its client reads fields as it likes: none that it does not know. */
  readonly isOci: boolean;
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
  readonly listings: Listings;
  readonly pieces: Pieces;
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

async function serveTrees(exchange: Exchange, place: Place): Promise<FastifyReply> {
  const { host, reply, listings, request } = exchange;
  const { directories } = host.archive;
  const listing = await listings.page(directories, place.record.trees, afterOf(request));
  const page = directoryPage({
    ...listing,
    path: "/",
    height: place.record.height,
    moniker: host.status().moniker,
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
  const vary = reply.getHeader("vary");
  reply.header("vary", typeof vary === "string" ? `${vary}, accept` : "accept");
  // Who names no JSON gets the page: what others get must not hang on how one of them asked.
  if (html !== undefined && wishOf(request) === "") return html;
  const offered = html === undefined ? jsonTypes : ["text/html", ...jsonTypes];
  const [type] = new Negotiator(request).mediaTypes(offered);
  if (type === "text/html") return html;
  if (type === undefined && html !== undefined) return html;
  const isWished = wishOf(request) !== "";
  return { ...json, type: isWished ? type : "application/json", isWished };
}

/** Each date is a question to the store: a longer listing has none. */
const datedMax = 5000;

/** Where a long listing goes on. */
function afterOf(request: FastifyRequest): string {
  const { after } = request.query as { after?: unknown };
  return typeof after === "string" ? after : "";
}

async function serveDirectory(
  exchange: Exchange,
  place: Place,
  root: Digest,
): Promise<FastifyReply> {
  const { host, reply, path, listings, request } = exchange;
  const listing = await listings.page(host.archive.directories, root, afterOf(request));
  const { tree, names, record } = place;
  const changedMs = (name: string): number | undefined =>
    host.archive.changedMs(tree, [...names, name].join("/"), record.height);
  const page = directoryPage({
    ...listing,
    ...(listing.total <= datedMax ? { changedMs } : {}),
    path,
    height: place.record.height,
    moniker: host.status().moniker,
  });
  return reply.header("cache-control", cacheFor(place)).type("text/html; charset=utf-8").send(page);
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
  const vary = reply.getHeader("vary");
  const negotiated = typeof vary === "string" ? { vary } : {};
  const isOci = place.tree === ociTree;
  const oci = isManifest(place.tree, place.names) ? await manifestHeaders(host, file) : {};
  const times = timeHeaders(place, exchange.rawPath);
  const headers = { ...headersOf(host, place, file), ...form, ...times, ...negotiated, ...oci };
  const viewed = viewedOf(exchange, place, file, type);
  const about = { file, height, isDirect, isOci, headers };
  const answer = { ...about, ...(viewed === undefined ? {} : { viewed }) };
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
  const { height } = record;
  return { view, digest, size, height, directory: `/${parts.join("/")}/`, has };
}

/** `FILE.meta4`, where no such file stands and FILE does. */
async function metalinkOf(
  call: Call,
  place: Place,
  rawPath: string,
): Promise<FastifyReply | undefined> {
  const { host } = call;
  const name = place.names.at(-1)?.replace(/\.meta4$/, "") ?? "";
  if (host.duplicates === undefined || name === place.names.at(-1)) return undefined;
  const file = host.archive.entry(place.record, place.tree, [...place.names.slice(0, -1), name]);
  if (file?.kind !== "file") return undefined;
  const pieces = await call.pieces.of(host.blobs, file);
  const about = { ...file, name, rawPath: rawPath.replace(/\.meta4$/, ""), pieces };
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
  const { host, request, reply } = call;
  const { file, headers, height, isDirect } = answer;
  const elsewhere = answer.isOci ? undefined : sendElsewhere(call, answer);
  if (elsewhere !== undefined) return elsewhere;
  reply.headers({ ...headers, ...linksOf(call, answer) });
  const view = answer.viewed && (await sendView(call, answer.viewed));
  if (view !== undefined) return view;
  const { etag = "", "last-modified": changed = "" } = headers;
  const lastModified = notAfterNow(changed);
  if (changed !== "") reply.header("last-modified", lastModified);
  if (!arePreconditionsMet(request.headers, { etag, lastModified }))
    return refuse(
      reply.removeHeader("etag").removeHeader("repr-digest").removeHeader("last-modified"),
      412,
      "PRECONDITION_FAILED",
      "what stands there is not what the request asks for",
    );
  // By the order's time: two changes of a path never share a second of it.
  if (isFresh(request.headers, { etag, lastModified: changed }))
    return reply.code(304).removeHeader("content-type").send();
  if (isDirect && host.blobs.has(file.digest) && request.headers.range === undefined)
    await call.sign?.(call, { status: 200, height, content: file.digest });
  return sendBlob(call, file, height);
}

/** Where else the file stands, if the client asks for that instead of the file. */
function sendElsewhere(call: Call, { file }: FileAnswer): FastifyReply | undefined {
  const mirrors = call.host.duplicates?.();
  const [rawPath = "", query] = (call.request.raw.url ?? "").split("?");
  if (mirrors === undefined) return undefined;
  if (query === "mirrorlist") return sendMirrorList(call, mirrors, { ...file, name: "", rawPath });
  return query === "redirect" ? redirectAway(call.reply, mirrors, rawPath) : undefined;
}

function linksOf(
  { host, request }: Call,
  { headers, isOci }: FileAnswer,
): Readonly<Record<string, string>> {
  const mirrors = isOci ? undefined : host.duplicates?.();
  if (mirrors === undefined) return {};
  const [rawPath = ""] = (request.raw.url ?? "").split("?");
  const { link } = headers;
  return { link: [...(link ? [link] : []), linkHeader(mirrors, { rawPath })].join(", ") };
}
