import { randomBytes } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type Digest, fromHex, toBase64 } from "../../core/base/index.ts";
import { sha256 } from "../../core/crypto/index.ts";
import { readAll } from "../client/index.ts";
import { FewAtOnce } from "../pace/index.ts";
import { isFresh } from "./preconditions.ts";
import type { TreeHost } from "./tree-host.ts";

/** What some clients need said otherwise than the tree has it: addresses of the very server that they ask. */
export type View = "packument" | "cargo-config";

const viewedBytesMax = 64 * 1024 * 1024;

/** What npm and its kin ask for a package by. */
const packumentTypes = ["application/vnd.npm.install-v1+json", "application/json"];

/** The view that a file is shown in, `type` being what was agreed on for a directory; most are shown as they are. */
export function viewOf(names: readonly string[], type: string | undefined): View | undefined {
  if (type !== undefined && packumentTypes.includes(type)) return "packument";
  return names.at(-1) === "config.json" ? "cargo-config" : undefined;
}

/** Of a file that is shown in a view. */
export interface Viewed {
  readonly view: View;
  readonly digest: Digest;
  readonly size: number;
  /** Of the state that it is shown from. */
  readonly height: number;
  /** URL path of the directory that it stands in, with a slash after it. */
  readonly directory: string;
  /** True if a file of that name stands below the directory. */
  readonly has: (names: readonly string[]) => boolean;
}

/**
 * Sends the derived form, if there is one: `undefined` where the file is to be sent as it is. It has its own ETag and
 * digest, is never signed, and no cache may give it to clients of another address.
 */
export async function sendView(
  { host, request, reply }: { host: TreeHost; request: FastifyRequest; reply: FastifyReply },
  viewed: Viewed,
): Promise<FastifyReply | undefined> {
  const base = baseOf(host, request);
  // Whoever verifies wants the file as the tree has it: only Cargo itself is told otherwise.
  const isAsked =
    viewed.view === "packument" || /^cargo\b/.test(request.headers["user-agent"] ?? "");
  if (
    !isAsked ||
    base === undefined ||
    viewed.size > viewedBytesMax ||
    !host.blobs.has(viewed.digest)
  )
    return undefined;
  const text = await templates.fill(viewed, `${base}${viewed.directory}`, async () => {
    const pieces = host.blobs.stream(viewed.digest, 0, viewed.size);
    // Whoever sends it as it is tells why it cannot be read.
    return readAll(pieces, viewed.size, base).catch(() => undefined);
  });
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text);
  const digest = sha256(bytes);
  const etag = `"${digest}"`;
  reply
    .header("etag", etag)
    .header("repr-digest", `sha-256=:${toBase64(fromHex(digest))}:`)
    .header("vary", "accept, host, user-agent")
    .header("cache-control", "private, no-cache")
    .removeHeader("accept-ranges")
    .removeHeader("last-modified");
  if (isFresh(request.headers, { etag }))
    return reply.code(304).removeHeader("content-type").send();
  return reply.send(request.method === "HEAD" ? undefined : bytes);
}

/** Stands for the directory's address in a template: nobody could have written it. */
const placeholder = `smalti-${randomBytes(16).toString("hex")}`;
/** Characters of all templates that are kept. */
const keptMax = 64 * 1024 * 1024;
/** What one costs beside its characters. */
const entryLength = 1024;

/** Files as they are shown, but for the address: each is parsed once, whoever asks and by whatever name of this host. */
class Templates {
  readonly #kept = new Map<string, Promise<string | undefined>>();
  /** One at a time: to parse one takes many times its length. */
  readonly #making = new FewAtOnce(1);
  #length = 0;

  async fill(
    viewed: Viewed,
    directory: string,
    read: () => Promise<Buffer | undefined>,
  ): Promise<string | undefined> {
    // Cargo's address is made of the host's and what the file says: short files, made anew.
    if (viewed.view === "cargo-config") {
      const stored = viewed.size <= configBytesMax ? await read() : undefined;
      return stored && derived(viewed, stored.toString(), directory);
    }
    const key = `${viewed.height} ${viewed.digest} ${viewed.directory}`;
    const made = this.#kept.get(key) ?? this.#make(key, viewed, read);
    return (await made)?.replaceAll(placeholder, () => directory);
  }

  #make(
    key: string,
    viewed: Viewed,
    read: () => Promise<Buffer | undefined>,
  ): Promise<string | undefined> {
    const made = this.#making.run(async () => {
      const stored = await read();
      return stored && derived(viewed, stored.toString(), placeholder);
    });
    this.#kept.set(key, made);
    made.then(
      (text) => this.#count(key, text),
      // A part of the directory is still to be fetched, say: whoever awaits it hears of that, and asks again.
      () => this.#kept.delete(key),
    );
    return made;
  }

  #count(key: string, text: string | undefined): void {
    if (text === undefined) return void this.#kept.delete(key);
    this.#length += text.length + entryLength;
    if (this.#length <= keptMax) return;
    this.#kept.clear();
    this.#length = 0;
  }
}

const configBytesMax = 64 * 1024;
const templates = new Templates();

/** The address by which the client came, or the one that the operator says is the host's. */
function baseOf(host: TreeHost, request: FastifyRequest): string | undefined {
  if (host.external !== undefined) return host.external;
  const { host: name = "" } = request.headers;
  return /^[\w.-]+(:\d{1,5})?$|^\[[0-9a-fA-F:]+\](:\d{1,5})?$/.test(name)
    ? `${request.protocol}://${name}`
    : undefined;
}

function derived(viewed: Viewed, text: string, directory: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null) return undefined;
  return viewed.view === "packument"
    ? packumentHere(json, viewed, directory)
    : cargoConfigHere(json, directory);
}

/** Tarballs that stand beside the packument are fetched from there, whatever host it was written for. */
function packumentHere(json: object, { has }: Viewed, directory: string): string | undefined {
  const { versions } = json as { versions?: unknown };
  if (typeof versions !== "object" || versions === null) return undefined;
  for (const version of Object.values(versions)) {
    const { dist } = (version ?? {}) as { dist?: { tarball?: unknown } };
    const { tarball } = dist ?? {};
    const name = typeof tarball === "string" ? tarball.replace(/^.*\//, "") : "";
    if (dist !== undefined && name !== "" && has(["-", name]))
      dist.tarball = `${directory}-/${encodeURIComponent(name)}`;
  }
  return JSON.stringify(json);
}

/** Cargo takes an absolute address only: a relative `dl` is one below the registry's own directory. */
function cargoConfigHere(json: object, directory: string): string | undefined {
  const { dl } = json as { dl?: unknown };
  if (typeof dl !== "string" || !/^\.{0,2}\//.test(dl)) return undefined;
  // Its placeholders stay as they are: they are no part of an address yet.
  const url = new URL(dl, directory).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
  return JSON.stringify({ ...json, dl: url });
}
