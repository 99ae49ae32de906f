import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, utimes } from "node:fs/promises";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, type Dispatcher, interceptors, request } from "undici";
import type { Digest } from "../../core/base/index.ts";
import { readAll } from "../client/index.ts";
import type { Reach } from "./reach.ts";
import {
  type Claim,
  type Doubt,
  differs,
  foreign,
  missing,
  type Progress,
  parallel,
  SourceError,
} from "./source.ts";
import type { Staging, Validator } from "./staging.ts";

const stallMs = 60_000;
/** A source that drips does not hold a host for longer, whatever the size. */
const longestMs = 60 * 60_000;
const triesMax = 3;
const redirectsMax = 5;
/** Requests to one archive at once: a guest does not crowd his host. */
export const atOnceMax = 6;

/** What a download must come to. */
export interface Expected {
  readonly size?: number;
  /** Bytes that it may have where its size is not known. */
  readonly max?: number;
  readonly sha256?: string;
}

/** Downloads of one archive over HTTP: follows redirects, tries again politely, never decodes what is transferred. */
export class Web {
  readonly #dispatcher: Dispatcher;
  readonly #progress: Progress;

  constructor(reach: Reach, progress: Progress = {}) {
    this.#progress = progress;
    this.#dispatcher = new Agent({ connections: atOnceMax, connect: reach.connector }).compose(
      interceptors.redirect({ maxRedirections: redirectsMax }),
      interceptors.retry({ maxRetries: triesMax, statusCodes: [429, 500, 502, 503, 504] }),
    );
  }

  /** `undefined` where nothing is (404, 410). Throws {@link SourceError} for other refusals. */
  async #get(
    url: string,
    headers: Record<string, string> = {},
    method: "GET" | "HEAD" = "GET",
  ): Promise<Dispatcher.ResponseData | undefined> {
    const response = await request(url, {
      method,
      dispatcher: this.#dispatcher,
      headers: { "user-agent": "smalti-import", "accept-encoding": "identity", ...headers },
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
      signal: AbortSignal.timeout(longestMs),
    }).catch((error: unknown) => {
      if (error instanceof SourceError) throw new SourceError(`${url}: ${error.message}`);
      const { statusCode, code } = error as { statusCode?: number; code?: string };
      throw new SourceError(`${url}: ${statusCode ?? code ?? String(error)}`);
    });
    if (response.statusCode === 404 || response.statusCode === 410) {
      await response.body.dump();
      return undefined;
    }
    if (response.statusCode >= 400) {
      await response.body.dump();
      throw new SourceError(`${url}: HTTP ${response.statusCode}`);
    }
    return response;
  }

  /** A document of at most `max` bytes, and its media type. */
  async document(
    url: string,
    max: number,
    headers: Record<string, string> = {},
  ): Promise<{ readonly bytes: Buffer; readonly type: string } | undefined> {
    const response = await this.#get(url, headers);
    if (response === undefined) return undefined;
    const bytes = await readAll(response.body, max, url);
    this.#progress.onBytes?.(bytes.length);
    const type = String(response.headers["content-type"] ?? "")
      .split(";", 1)
      .join()
      .trim();
    return { bytes, type };
  }

  /**
   * Keeps what is at `url` at a path of the staging area; false where nothing is. A file that is here is fetched again
   * unless its digest is the expected one, or the server says of it exactly what it said when it was fetched: one that
   * went back to an older file says something else. Throws {@link SourceError} for what is not as expected.
   */
  async keep(
    url: string,
    { staging, path }: { readonly staging: Staging; readonly path: string },
    expected: Expected = {},
  ): Promise<boolean> {
    if (await isAs(staging.file(path), expected)) {
      staging.keep(path);
      return true;
    }
    const known = expected.sha256 === undefined ? await staging.validatorOf(path) : undefined;
    if (known !== undefined && (await this.#isUnchanged(url, known))) {
      staging.keep(path);
      return true;
    }
    const response = await this.#get(url);
    if (response === undefined) return false;
    await staging.place(path, async (part) => {
      const size = await this.#save(response.body, { url, part, expected });
      const { etag, modified } = saidOf(response);
      const ms = Date.parse(modified ?? "");
      if (!Number.isNaN(ms)) await utimes(part, new Date(), new Date(ms));
      return { etag, modified, size };
    });
    this.#progress.onFile?.(path);
    return true;
  }

  /** One question without an answer's body: by its tag where the server gives one, else by its date and size. */
  async #isUnchanged(url: string, known: Validator): Promise<boolean> {
    if (known.etag === undefined && known.modified === undefined) return false;
    const response = await this.#get(url, {}, "HEAD").catch(() => undefined);
    await response?.body.dump();
    if (response === undefined || response.statusCode !== 200) return false;
    const { etag, modified, size } = saidOf(response);
    return (
      etag === known.etag && modified === known.modified && (size ?? known.size) === known.size
    );
  }

  /** Returns the length. */
  async #save(
    body: Readable,
    { url, part, expected }: { readonly url: string; readonly part: string; expected: Expected },
  ): Promise<number> {
    const max = expected.size ?? expected.max ?? Number.POSITIVE_INFINITY;
    const hash = createHash("sha256");
    let length = 0;
    const count = new Transform({
      transform: (piece: Buffer, _, done) => {
        length += piece.length;
        hash.update(piece);
        this.#progress.onBytes?.(piece.length);
        done(length > max ? new SourceError(`${url} is longer than ${max} bytes`) : null, piece);
      },
    });
    await pipeline(body, count, createWriteStream(part));
    if (expected.size !== undefined && length !== expected.size)
      throw new SourceError(`${url} has ${length} bytes, not ${expected.size}`);
    if (expected.sha256 !== undefined && hash.digest("hex") !== expected.sha256)
      throw new SourceError(`${url} is not what its index says; it may be changing just now`);
    return length;
  }

  /** The SHA-256 of what is at `url`, read no further than `max` bytes. */
  async digest(
    url: string,
    max: number,
  ): Promise<{ readonly digest: Digest; readonly size: number } | undefined> {
    const response = await this.#get(url);
    if (response === undefined) return undefined;
    const hash = createHash("sha256");
    let size = 0;
    for await (const piece of response.body) {
      size += (piece as Buffer).length;
      hash.update(piece as Buffer);
      if (size > max) break;
    }
    return { digest: hash.digest("hex") as Digest, size };
  }

  /** Looks at each path of `claims` where `urlOf` says it is. */
  async witness(
    claims: readonly Claim[],
    urlOf: (path: string) => string | undefined,
  ): Promise<readonly Doubt[]> {
    const doubts: Doubt[] = [];
    await parallel(claims, atOnceMax, async ({ path, leaf }) => {
      const url = urlOf(path);
      if (url === undefined || leaf.kind !== "file" || leaf.executable)
        return void doubts.push(foreign(path));
      const found = await this.digest(url, leaf.size);
      if (found === undefined) doubts.push(missing(path));
      else if (found.digest !== leaf.digest || found.size !== leaf.size) doubts.push(differs(path));
    });
    return doubts;
  }

  close(): Promise<void> {
    return this.#dispatcher.close();
  }
}

function saidOf({ headers }: Dispatcher.ResponseData): Partial<Validator> {
  const one = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === "string" ? value : undefined;
  };
  const length = one("content-length");
  return {
    etag: one("etag"),
    modified: one("last-modified"),
    ...(length === undefined ? {} : { size: Number(length) }),
  };
}

async function isAs(file: string, expected: Expected): Promise<boolean> {
  if (expected.sha256 === undefined) return false;
  const found = await lstat(file).catch(() => undefined);
  if (found?.isFile() !== true || found.size !== (expected.size ?? found.size)) return false;
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex") === expected.sha256;
}

/** The address of a path below `base`. */
export function addressBelow(base: string, path: string): string {
  return `${base.replace(/\/+$/, "")}/${path.split("/").map(encodeURIComponent).join("/")}`;
}
