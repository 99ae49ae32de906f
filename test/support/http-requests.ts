import { connect } from "node:net";
import type { Prng } from "../../src/core/base/index.ts";

/** A request as it goes out, but for what each server calls its own. */
export interface DrawnRequest {
  readonly method: string;
  /** Below the tree. */
  readonly path: string;
  readonly version: "1.0" | "1.1";
  /** `{etag}` and `{date}` stand for the server's own validators of the file that the path names. */
  readonly headers: readonly (readonly [string, string])[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** One request on a connection of its own, byte for byte, and all that comes until it is closed. */
export function exchange(base: string, head: string): Promise<HttpAnswer> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(head));
    const timer = setTimeout(() => socket.destroy(new Error("no answer in 15 s")), 15_000);
    socket.on("data", (piece: Buffer) => pieces.push(piece));
    socket.once("error", reject);
    socket.once("close", () => {
      clearTimeout(timer);
      try {
        resolve(readAnswer(Buffer.concat(pieces)));
      } catch (error) {
        reject(error);
      }
    });
  });
}

function readAnswer(bytes: Buffer): HttpAnswer {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) throw new Error(`no whole head: ${bytes.subarray(0, 200).toString()}`);
  const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const at = line.indexOf(":");
    headers.set(line.slice(0, at).toLowerCase(), line.slice(at + 1).trim());
  }
  const rest = bytes.subarray(end + 4);
  const isChunked = headers.get("transfer-encoding") === "chunked";
  return { status: Number(first.split(" ")[1]), headers, body: isChunked ? unchunk(rest) : rest };
}

function unchunk(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const line = bytes.indexOf("\r\n", at);
    const length = Number.parseInt(bytes.subarray(at, line).toString(), 16);
    if (!(length > 0)) break;
    pieces.push(bytes.subarray(line + 2, line + 2 + length));
    at = line + 2 + length + 2;
  }
  return Buffer.concat(pieces);
}

export function headOf(request: DrawnRequest, prefix: string, own: Validators): string {
  const { method, path, version, headers } = request;
  const lines = headers.map(([name, value]) => {
    const filled = value.replaceAll("{etag}", own.etag).replaceAll("{date}", own.date);
    return `${name}: ${filled}\r\n`;
  });
  return `${method} ${prefix}${path} HTTP/${version}\r\nHost: mirror.example\r\nConnection: close\r\n${lines.join("")}\r\n`;
}

export interface Validators {
  readonly etag: string;
  readonly date: string;
}

const old = "Sun, 06 Nov 1994 08:49:37 GMT";
/** The same time in the two obsolete forms (RFC 9110 §5.6.7). */
const oldForms = [old, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"];
const later = "Fri, 01 Jan 2100 00:00:00 GMT";

/** Draws requests that are valid by RFC 9110, 9111 and 9112, and odd. */
export class RequestDrawer {
  readonly #random: Prng;
  readonly #files: readonly { readonly path: string; readonly size: number }[];
  readonly #others: readonly string[];

  /** `others`: directories, and what is not there. */
  constructor(
    random: Prng,
    files: readonly { readonly path: string; readonly size: number }[],
    others: readonly string[],
  ) {
    this.#random = random;
    this.#files = files;
    this.#others = others;
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random.below(items.length)] as T;
  }

  draw(): { readonly request: DrawnRequest; readonly file: string | undefined } {
    const file = this.#random.chance(0.8) ? this.#pick(this.#files) : undefined;
    const plain = file?.path ?? this.#pick(this.#others);
    const headers: [string, string][] = [];
    if (this.#random.chance(0.5)) headers.push(["Range", this.#range(file?.size ?? 1000)]);
    if (this.#random.chance(0.5)) headers.push(...this.#conditions());
    if (this.#random.chance(0.2))
      headers.push([
        "Accept-Encoding",
        this.#pick(["gzip", "identity", "br;q=1.0, *;q=0", "gzip;q=0"]),
      ]);
    if (this.#random.chance(0.1)) headers.push(["Accept", this.#pick(["*/*", "text/plain"])]);
    if (this.#random.chance(0.1)) headers.push(["X-Unknown", 'one, two;three="four"']);
    const method = this.#random.chance(0.75) ? "GET" : "HEAD";
    const version = this.#random.chance(0.1) ? "1.0" : "1.1";
    const path = this.#written(plain) + (this.#random.chance(0.1) ? "?query=1&x=%20" : "");
    return { request: { method, path, version, headers }, file: file?.path };
  }

  /** The same path as clients may write it. */
  #written(path: string): string {
    switch (this.#random.below(8)) {
      case 0:
        return path.replace(/[a-z]/g, (letter) =>
          this.#random.chance(0.3) ? `%${letter.charCodeAt(0).toString(16)}` : letter,
        );
      case 1:
        return path.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
      case 2:
        return `/.${path}`;
      case 3:
        return `/sub/..${path}`;
      case 4:
        return path.replace("/", "//");
      case 5:
        return `/./sub/../.${path}`;
      default:
        return path;
    }
  }

  #range(size: number): string {
    const at = (): number => this.#random.below(Math.max(1, size));
    const [a, b] = [at(), at()];
    const forms = [
      `bytes=${Math.min(a, b)}-${Math.max(a, b)}`,
      `bytes=${a}-`,
      `bytes=-${b}`,
      `bytes=0-${size + 10}`,
      `bytes=${size}-`,
      `bytes=${size + 5}-${size + 9}`,
      `bytes=-${size + 5}`,
      "bytes=-0",
      "bytes=0-0",
      `bytes=0-0,${Math.max(0, size - 1)}-`,
      `bytes=${a}-${a}, -1`,
      "bytes=5-2",
      "bytes=abc",
      "bytes=",
      "bytes",
      "lines=1-2",
      ` bytes=${Math.min(a, b)}-${Math.max(a, b)}`,
      `bytes= ${a}-`,
      "bytes=99999999999999999999-",
      "bytes=0-99999999999999999999",
    ];
    return this.#pick(forms);
  }

  #conditions(): [string, string][] {
    const etags = ["{etag}", '"other"', "*", "W/{etag}", '"other", {etag}', '"a","b"', "unquoted"];
    const dates = ["{date}", later, "yesterday", ...oldForms];
    const forms: [string, string][] = [
      ["If-None-Match", this.#pick(etags)],
      ["If-Match", this.#pick(etags)],
      ["If-Modified-Since", this.#pick(dates)],
      ["If-Unmodified-Since", this.#pick(dates)],
      ["If-Range", this.#pick(["{etag}", '"other"', "W/{etag}", "{date}", old, later])],
    ];
    const count = 1 + this.#random.below(2);
    return Array.from({ length: count }, () => this.#pick(forms)).filter(
      ([name], i, all) => all.findIndex(([other]) => other === name) === i,
    );
  }
}
