import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, type Dispatcher, interceptors, request } from "undici";
import type { Digest } from "../../core/base/index.ts";
import { readAll } from "../client/index.ts";
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
  readonly sha256?: string;
}

/** Downloads of one archive over HTTP: follows redirects, tries again politely, never decodes what is transferred. */
export class Web {
  readonly #dispatcher = new Agent({ connections: atOnceMax }).compose(
    interceptors.redirect({ maxRedirections: redirectsMax }),
    interceptors.retry({ maxRetries: triesMax, statusCodes: [429, 500, 502, 503, 504] }),
  );
  readonly #progress: Progress;

  constructor(progress: Progress = {}) {
    this.#progress = progress;
  }

  /** `undefined` where nothing is (404, 410). Throws {@link SourceError} for other refusals. */
  async #get(
    url: string,
    headers: Record<string, string> = {},
  ): Promise<Dispatcher.ResponseData | undefined> {
    const response = await request(url, {
      dispatcher: this.#dispatcher,
      headers: { "user-agent": "smalti-import", "accept-encoding": "identity", ...headers },
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
      signal: AbortSignal.timeout(longestMs),
    }).catch((error: unknown) => {
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
   * Keeps what is at `url` in `file`; false where nothing is. A file that is here is asked for again only if it
   * changed since. Throws {@link SourceError} for what is not as expected.
   */
  async keep(url: string, file: string, expected: Expected = {}): Promise<boolean> {
    const since = await stat(file).catch(() => undefined);
    if (since !== undefined && (await isAs(file, since.size, expected))) return true;
    const isAsked = expected.sha256 === undefined && since !== undefined;
    const response = await this.#get(
      url,
      isAsked ? { "if-modified-since": since.mtime.toUTCString() } : {},
    );
    if (response === undefined) return false;
    if (response.statusCode === 304) {
      await response.body.dump();
      return true;
    }
    await mkdir(dirname(file), { recursive: true });
    const part = `${file}.part`;
    try {
      await this.#save(response.body, { url, part, expected });
      const modified = Date.parse(String(response.headers["last-modified"] ?? ""));
      if (!Number.isNaN(modified)) await utimes(part, new Date(), new Date(modified));
      await rename(part, file);
    } finally {
      await rm(part, { force: true });
    }
    this.#progress.onFile?.(file);
    return true;
  }

  async #save(
    body: Readable,
    { url, part, expected }: { readonly url: string; readonly part: string; expected: Expected },
  ): Promise<void> {
    const max = expected.size ?? Number.POSITIVE_INFINITY;
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

async function isAs(file: string, size: number, expected: Expected): Promise<boolean> {
  if (expected.sha256 === undefined || size !== expected.size) return false;
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex") === expected.sha256;
}

/** The address of a path below `base`. */
export function below(base: string, path: string): string {
  return `${base.replace(/\/+$/, "")}/${path.split("/").map(encodeURIComponent).join("/")}`;
}
