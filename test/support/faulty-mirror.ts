import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";

/** How a mirror between a client and an honest reader behaves. */
export const mirrorFaults = ["honest", "corrupt", "stale", "truncated", "slow", "dead"] as const;
export type MirrorFault = (typeof mirrorFaults)[number];

/** A mirror that passes a reader's answers on with all their headers, and spoils them in one way. */
export class FaultyMirror {
  readonly #server: Server;
  readonly #origin: URL;
  fault: MirrorFault = "honest";
  /** The height that a stale mirror stopped at. */
  staleAt = 1;

  constructor(origin: string) {
    this.#origin = new URL(origin);
    this.#server = createServer((asked, answer) => {
      answer.on("error", () => undefined);
      this.#pass(asked, answer);
    });
  }

  static async open(origin: string): Promise<FaultyMirror> {
    const mirror = new FaultyMirror(origin);
    await new Promise<void>((done) => mirror.#server.listen(0, "127.0.0.1", done));
    return mirror;
  }

  /** A dead one's port is one where nobody listens. */
  get url(): string {
    const address = this.#server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    return `http://127.0.0.1:${this.fault === "dead" ? 9 : port}`;
  }

  #pathFor(url: string): string {
    if (this.fault !== "stale") return url;
    if (url.startsWith("/.smalti/head")) return `/.smalti/head?height=${this.staleAt}`;
    return url.startsWith("/.smalti/") || url.startsWith("/@") ? url : `/@${this.staleAt}${url}`;
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const { hostname, port } = this.#origin;
    const path = this.#pathFor(asked.url ?? "/");
    const onward = request(
      {
        hostname,
        port,
        path,
        method: asked.method,
        headers: { ...asked.headers, host: asked.headers.host },
      },
      (given) => void this.#answer(given, answer).catch(() => answer.destroy()),
    );
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  }

  async #answer(given: IncomingMessage, answer: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of given) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    const headers = { ...given.headers };
    if (typeof headers.location === "string" && this.fault === "stale")
      headers.location = headers.location.replace(/^\/@\d+/, "");
    if (this.fault === "corrupt" && body.length > 0) {
      const at = body.length >> 1;
      body[at] = (body[at] ?? 0) ^ 1;
    }
    answer.writeHead(given.statusCode ?? 500, headers);
    if (this.fault === "truncated" && body.length > 1) {
      answer.write(body.subarray(0, body.length >> 1), () => setTimeout(() => answer.destroy(), 5));
      return;
    }
    if (this.fault !== "slow") return void answer.end(body);
    // A byte a second: no tool's patience lasts for this.
    let at = 0;
    const timer = setInterval(() => {
      if (at >= body.length) answer.end();
      else answer.write(body.subarray(at, ++at));
    }, 1000);
    answer.once("close", () => clearInterval(timer));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
