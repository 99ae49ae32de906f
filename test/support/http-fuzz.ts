import { Prng } from "../../src/core/base/index.ts";
import { fetchRaw } from "./raw-http.ts";

/** A request that a host answered wrongly, and what was wrong. */
export interface HttpFault {
  readonly request: string;
  readonly why: string;
}

interface Known {
  /** Trees and paths that are there. */
  readonly paths: readonly string[];
  /** Digests of blobs and nodes, ids of updates, keys. */
  readonly digests: readonly string[];
}

/** An answer takes no longer, milliseconds: more than the longest wait that is asked for. */
const patienceMs = 15_000;
/** A host may say these of itself; other 5xx are bugs. */
const allowed = /"code":"(BUSY|BLOB_MISSING|NOT_SIGNING|STOPPED)"/;

/** Valid and bent requests to all routes of a host, drawn from a seed. */
export class HttpFuzzer {
  readonly #random: Prng;
  readonly #known: Known;

  constructor(seed: number, known: Known) {
    this.#random = new Prng(seed);
    this.#known = known;
  }

  /** Sends one request; tells what is wrong with the answer. */
  async once(base: string): Promise<HttpFault | undefined> {
    const method = this.#one(["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);
    const path = this.#target();
    const headers = this.#headers();
    const body = method === "POST" || method === "PUT" ? this.#body() : undefined;
    const request = JSON.stringify({
      method,
      path,
      headers,
      body: body?.toString("hex").slice(0, 400),
    });
    try {
      const content = body === undefined ? {} : { body };
      const { status, body: said } = await fetchRaw(base, path, {
        method,
        headers,
        waitMs: patienceMs,
        ...content,
      });
      if (status < 500 || (status === 503 && allowed.test(said.toString()))) return undefined;
      return { request, why: `${status} ${said.toString().slice(0, 300)}` };
    } catch (error) {
      // What is no HTTP any more may be cut off; an answer that does not come may not.
      const { name, code } = error as { name?: string; code?: string };
      const isCut = code === "ECONNRESET" || code === "EPIPE" || String(code).startsWith("HPE_");
      const isOurs = code === "ERR_INVALID_CHAR" || code === "ERR_UNESCAPED_CHARACTERS";
      if (isCut || isOurs) return undefined;
      return { request, why: `${name} ${code ?? ""} ${String(error)}` };
    }
  }

  #one<T>(items: readonly T[]): T {
    return items[this.#random.below(items.length)] as T;
  }

  #digest(): string {
    const drawn = Array.from({ length: 64 }, () => this.#one([..."0123456789abcdef"])).join("");
    return this.#one([...this.#known.digests, drawn, drawn.toUpperCase(), drawn.slice(1), ""]);
  }

  #number(): string {
    return this.#one([
      "0",
      "1",
      "2",
      "255",
      "256",
      "-1",
      "1.5",
      "1e9",
      "NaN",
      "",
      "00",
      "0x10",
      `${2 ** 32}`,
      "9007199254740993",
      "9".repeat(400),
    ]);
  }

  #path(): string {
    const path = this.#one(this.#known.paths);
    switch (this.#random.below(8)) {
      case 0:
        return `${path}/`;
      case 1:
        return `${path}.meta4`;
      case 2:
        return path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
      case 3:
        return `${path}/${this.#one(["..", ".", "%2e%2e", "%", "%zz", "%ff", "a".repeat(300), "\\", "nul%00l"])}`;
      case 4:
        return path.replaceAll("/", "//");
      default:
        return path;
    }
  }

  #target(): string {
    const [digest, number, path] = [this.#digest(), this.#number(), this.#path()];
    const target = this.#one([
      path,
      path,
      `/@${number}${path}`,
      `/@${this.#one(["2026-11-30", "2026-13-45", "9999999", "name", "2026-11-30T25:61Z", ""])}${path}`,
      "/",
      `/v2${path}/manifests/${digest}`,
      `/v2${path}/tags/list`,
      "/.smalti/genesis.json",
      "/.smalti/status.json",
      "/.smalti/status.html",
      "/.smalti/head",
      `/.smalti/checkpoint/${number}`,
      `/.smalti/tile/${number}/${this.#one(["000", "x000/000", "001", number])}${this.#one(["", `.p/${number}`])}`,
      `/.smalti/tile/entries/${number}`,
      `/.smalti/proof/${number}${path}`,
      `/.smalti/proof/latest${path}`,
      `/.smalti/consistency/${number}`,
      `/.smalti/blob/sha256/${digest}`,
      `/.smalti/v1/blobs/${digest}/${this.#one(["chunks", "sums", "x"])}`,
      "/.smalti/v1/blobs",
      "/.smalti/v1/nodes",
      "/.smalti/v1/commits",
      "/.smalti/v1/heights",
      "/.smalti/v1/height-at",
      "/.smalti/v1/policy",
      "/.smalti/v1/log/once",
      "/.smalti/v1/updates",
      `/.smalti/v1/updates/${digest}`,
      `/.smalti/v1/updates/${digest}/${this.#one(["changes", "missing", "blobs", "submit", `blobs/${digest}`])}`,
      `/.smalti/v1/possession/${digest}`,
      "/.smalti/v1/evidence",
      "/.smalti/v1/pardons",
      "/.smalti/v1/origins",
      "/.smalti/opinions.json",
      "/.smalti/evidence",
      `/.smalti/evidence/${digest}`,
      "/.smalti/mirrors.json",
      "/.smalti/splits.json",
      `/.smalti/trace/${this.#one(["w0", "x", "%2e%2e"])}`,
    ]);
    return `${target}${this.#query()}`;
  }

  #query(): string {
    const names = [
      "after",
      "size",
      "lease",
      "wait",
      "group",
      "height",
      "below",
      "limit",
      "tree",
      "ms",
      "from",
      "to",
      "offset",
      "base",
      "prefix",
      "suffix",
      "nonce",
      "redirect",
      "mirrorlist",
    ];
    const parts = Array.from({ length: this.#random.below(4) }, () => {
      const name = this.#one(names);
      // Nobody waits long here.
      const value =
        name === "wait"
          ? this.#one(["0", "0.1", "-1", "x"])
          : this.#one([this.#number(), this.#digest(), "a", "%", "a&a"]);
      return this.#one([name, `${name}=${value}`, `${name}=${value}`]);
    });
    return parts.length === 0 ? "" : `?${parts.join("&")}`;
  }

  #headers(): Record<string, string> {
    const digest = this.#digest();
    const values: Readonly<Record<string, readonly string[]>> = {
      range: [
        "bytes=0-",
        "bytes=0-0",
        "bytes=-5",
        "bytes=5-2",
        "bytes=0-1,3-4",
        "bytes=99999999-",
        "lines=1",
        "bytes=",
        `bytes=${this.#number()}-`,
      ],
      "if-none-match": ["*", `"${digest}"`, `W/"${digest}"`, "x", ","],
      "if-match": ["*", `"${digest}"`, ""],
      "if-modified-since": ["Mon, 30 Nov 2026 12:00:00 GMT", "yesterday", "0"],
      "if-unmodified-since": ["Mon, 30 Nov 2026 12:00:00 GMT", "x"],
      "if-range": [`"${digest}"`, "Mon, 30 Nov 2026 12:00:00 GMT"],
      accept: [
        "application/json",
        "text/html;q=0.1, */*;q=0",
        "application/vnd.npm.install-v1+json",
        "q",
        "*/*,".repeat(200),
      ],
      "accept-datetime": ["Mon, 30 Nov 2026 12:00:00 GMT", "2026", "Thu, 01 Jan 1970 00:00:00 GMT"],
      "accept-signature": ["sig1=()", 'sig1=("content-digest");keyid="x"', "("],
      "content-type": [
        "application/octet-stream",
        "application/json",
        "application/vnd.smalti.stream",
        "text/plain",
        "multipart/form-data",
        "x",
      ],
      expect: ["100-continue", "x"],
      "user-agent": ["cargo 1.80", "pip/24", "Debian APT-HTTP/1.3"],
      "x-forwarded-for": ["127.0.0.1", "x"],
    };
    const headers: Record<string, string> = {};
    for (let i = this.#random.below(4); i > 0; i--) {
      const name = this.#one(Object.keys(values));
      headers[name] = this.#one(values[name] ?? [""]);
    }
    return headers;
  }

  #body(): Buffer {
    const digests = Array.from({ length: this.#random.below(20) }, () => this.#digest());
    const junk = Buffer.from(
      Array.from({ length: this.#random.below(300) }, () => this.#random.below(256)),
    );
    return this.#one([
      Buffer.from(JSON.stringify({ digests })),
      Buffer.from(JSON.stringify({ digests: "x" })),
      Buffer.from("{}"),
      Buffer.from("null"),
      Buffer.from("[".repeat(5000)),
      Buffer.alloc(0),
      Buffer.alloc(70_000, 0x82),
      junk,
    ]);
  }
}
