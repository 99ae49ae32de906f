import { readdir, readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** A plain web server over a directory, as archives have: listings, a registry's documents, dates; and it can lie. */
export class Upstream {
  readonly #server: Server;
  readonly #directory: string;
  /** What is served instead of a path's bytes. */
  readonly lies = new Map<string, Buffer>();
  /** Paths that were asked for, in order. */
  readonly asked: string[] = [];

  private constructor(directory: string) {
    this.#directory = directory;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async open(directory: string): Promise<Upstream> {
    const upstream = new Upstream(directory);
    await new Promise<void>((done) => upstream.#server.listen(0, "127.0.0.1", done));
    return upstream;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url ?? "/", this.url).pathname);
    this.asked.push(path);
    try {
      await this.#serve(path, request, response);
    } catch {
      response.writeHead(404).end();
    }
  }

  async #serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const place = join(this.#directory, path);
    const found = await stat(place);
    if (!found.isDirectory()) {
      const lie = this.lies.get(path);
      const modified = new Date(Math.floor(found.mtimeMs / 1000) * 1000);
      const since = Date.parse(request.headers["if-modified-since"] ?? "");
      if (lie === undefined && since >= modified.getTime()) {
        response.writeHead(304).end();
        return;
      }
      const bytes = lie ?? (await readFile(place));
      response.writeHead(200, { "last-modified": modified.toUTCString() }).end(bytes);
      return;
    }
    const names = await readdir(place, { withFileTypes: true });
    const has = (name: string): boolean => names.some((entry) => entry.name === name);
    const isJson = /json/.test(request.headers.accept ?? "");
    if (has("index.json") && (isJson || !path.endsWith("/"))) {
      const text = (await readFile(join(place, "index.json"))).toString();
      const type = path.endsWith("/") ? "application/vnd.pypi.simple.v1+json" : "application/json";
      response.writeHead(200, { "content-type": type });
      response.end(text.replaceAll("http://registry.invalid", this.url));
    } else if (!path.endsWith("/")) response.writeHead(301, { location: `${path}/` }).end();
    else if (has("index.html")) {
      response.writeHead(200, { "content-type": "text/html" });
      response.end(await readFile(join(place, "index.html")));
    } else {
      const row = (name: string): string => `<a href="${encodeURIComponent(name)}`;
      const rows = names.map((entry) =>
        entry.isDirectory() ? `${row(entry.name)}/">d</a>` : `${row(entry.name)}">f</a>`,
      );
      const page = `<html><a href="../">up</a><a href="?C=N">sort</a>${rows.join("\n")}</html>`;
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
    }
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(() => done()));
  }
}
