import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** Answers a request itself, or returns false to let the honest server answer. */
export type Trick = (
  request: IncomingMessage,
  response: ServerResponse,
) => boolean | Promise<boolean>;

/** A server that passes everything on to an honest one, but for what its trick takes. */
export class HostileServer {
  readonly #server: Server;
  readonly #honest: string;
  trick: Trick = () => false;
  requests = 0;

  constructor(honest: string) {
    this.#honest = honest;
    this.#server = createServer((request, response) => {
      this.requests++;
      response.on("error", () => undefined);
      void this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** `port`: where it listens, if it shall stand in somebody's place. */
  static async open(honest: string, port = 0): Promise<HostileServer> {
    const server = new HostileServer(honest);
    await new Promise<void>((done) => server.#server.listen(port, "127.0.0.1", done));
    return server;
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  get honest(): string {
    return this.#honest;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (await this.trick(request, response)) return;
    const { bytes, status, headers } = await this.pass(request);
    response.writeHead(status, headers).end(bytes);
  }

  /** What the honest server, or the one at `base`, says to the same request. */
  async pass(
    request: IncomingMessage,
    base = this.#honest,
  ): Promise<{ bytes: Buffer; status: number; headers: Record<string, string> }> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { method = "GET", url = "/" } = request;
    const headers: Record<string, string> = {};
    for (const name of ["content-type", "range"]) {
      const value = request.headers[name];
      if (typeof value === "string") headers[name] = value;
    }
    const body = pieces.length > 0 ? Buffer.concat(pieces) : null;
    const answer = await fetch(`${base}${url}`, { method, headers, body });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const type = answer.headers.get("content-type") ?? "application/octet-stream";
    return { bytes, status: answer.status, headers: { "content-type": type } };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }
}

/** A trick for URLs that match, all others are passed on. */
export function on(
  url: RegExp,
  play: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Trick {
  return async (request, response) => {
    if (!url.test(request.url ?? "")) return false;
    await play(request, response);
    return true;
  };
}

/** Sends pieces as fast as they are taken, until `mostBytes` or the other side has had enough; says how much went. */
export async function pour(
  response: ServerResponse,
  piece: Uint8Array,
  mostBytes: number,
): Promise<number> {
  let sent = 0;
  while (sent < mostBytes && !response.destroyed) {
    sent += piece.length;
    if (response.write(piece)) continue;
    await new Promise<void>((done) => {
      response.once("drain", done);
      response.once("close", done);
    });
  }
  response.end();
  return sent;
}

/** One byte now and then, so that nothing ever stalls and nothing ever ends. */
export function drip(response: ServerResponse, everyMs = 200): void {
  const timer = setInterval(() => response.write(" "), everyMs);
  response.once("close", () => clearInterval(timer));
}
