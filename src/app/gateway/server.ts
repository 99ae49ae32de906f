import type { Socket } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { limits } from "../../core/base/index.ts";
import { accountabilityRoutes } from "./accountability-routes.ts";
import { signAnswer } from "./answer-receipt.ts";
import { apiRoutes } from "./api-routes.ts";
import type { GatewayHost } from "./host-api.ts";
import { logRoutes } from "./log-routes.ts";
import { mirrorPages } from "./mirror-pages.ts";
import { boundPipelines } from "./pipelines.ts";
import { publishRoutes } from "./publish-routes.ts";
import { refuse } from "./refuse.ts";
import { normalTarget } from "./request-target.ts";
import { splitRoutes } from "./split-routes.ts";
import { treeRoutes } from "./tree-routes.ts";

/** Codes of errors that no handler answered. */
const codes: ReadonlyMap<number, string> = new Map([
  [404, "NOT_FOUND"],
  [405, "NOT_ALLOWED"],
  [413, "TOO_LONG"],
  [415, "UNSUPPORTED_TYPE"],
  [500, "INTERNAL"],
  [503, "BUSY"],
]);

/** How long a client that was told why may take to read it, milliseconds. */
const farewellMs = 1000;

/** Status and code of what Node's parser or its clock says, by the end of its name. */
const clientErrors: readonly (readonly [end: string, status: string, code: string])[] = [
  ["_HEADER_OVERFLOW", "431 Request Header Fields Too Large", "TOO_LONG"],
  ["_REQUEST_TIMEOUT", "408 Request Timeout", "TOO_SLOW"],
];

/** What is no HTTP, or never comes to its end, gets an answer too, if anybody is there to read it; then it is closed. */
function clientErrorHandler(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const known = clientErrors.find(([end]) => error.code?.endsWith(end));
  const [, status, code] = known ?? ["", "400 Bad Request", "BAD_REQUEST"];
  const body = JSON.stringify({ code, message: error.message });
  const fields = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}`;
  const close = (): void => void socket.destroy();
  setTimeout(close, farewellMs).unref();
  socket.end(`HTTP/1.1 ${status}\r\n${fields}\r\nConnection: close\r\n\r\n${body}`, close);
}

/** An HTTP server within our limits, without a route yet; `proxies`: whose word for where a client is counts. */
export function configureServer(proxies: readonly string[] = []): FastifyInstance {
  const server = Fastify({
    trustProxy: proxies.length > 0 && [...proxies],
    rewriteUrl: ({ url = "/" }) => normalTarget(url),
    clientErrorHandler,
    // What the framework refuses by itself looks as what we refuse.
    frameworkErrors: (error, _, reply) =>
      void refuse(reply, error.statusCode ?? 400, "BAD_REQUEST", error.message),
    bodyLimit: limits.requestBytesMax,
    forceCloseConnections: true,
    keepAliveTimeout: 5_000,
    connectionTimeout: 120_000,
    routerOptions: { maxParamLength: limits.pathBytesMax * 3, ignoreDuplicateSlashes: false },
    http: {
      maxHeaderSize: limits.httpHeaderBytesMax,
      headersTimeout: 10_000,
      requestTimeout: 3_600_000,
      connectionsCheckingInterval: 5_000,
    },
  });
  server.server.maxConnections = limits.httpConnectionsMax;
  server.server.maxRequestsPerSocket = 100_000;
  boundPipelines(server);
  // What is served is public, and verified by whoever reads it: pages of other origins may too.
  server.addHook("onRequest", async (request, reply) => {
    reply.header("access-control-allow-origin", "*").header("x-content-type-options", "nosniff");
    const hosts = request.raw.rawHeaders.filter((name, i) => i % 2 === 0 && /^host$/i.test(name));
    if (hosts.length > 1) return refuse(reply, 400, "BAD_REQUEST", "more than one Host field");
    return undefined;
  });
  // Streams are read by their handlers; small bodies arrive as buffers.
  server.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (_, body, done) =>
    done(null, body),
  );
  server.addContentTypeParser("application/vnd.smalti.stream", (_, __, done) => done(null));
  server.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => {
    const status = error.statusCode ?? 500;
    return refuse(reply, status, codes.get(status) ?? "BAD_REQUEST", error.message);
  });
  server.setNotFoundHandler((request, reply) =>
    refuse(reply, 404, "NOT_FOUND", `${request.method} ${request.url}: there is no such address`),
  );
  return server;
}

/** Listens; resolves with the port, which the system may have chosen. */
export async function listenOn(
  server: FastifyInstance,
  listen: { readonly host: string; readonly port: number },
): Promise<number> {
  await server.listen({ host: listen.host, port: listen.port });
  const address = server.server.address();
  return typeof address === "object" && address !== null ? address.port : listen.port;
}

/** The public HTTP service of a host: trees, proofs, content, and the writers' API. */
export async function openGateway(
  host: GatewayHost,
  listen: { readonly host: string; readonly port: number },
  proxies: readonly string[] = [],
): Promise<{ readonly server: FastifyInstance; readonly port: number }> {
  const server = configureServer(proxies);
  apiRoutes(server, host);
  logRoutes(server, host);
  mirrorPages(server, host);
  accountabilityRoutes(server, host);
  splitRoutes(server, host);
  publishRoutes(server, host.desk);
  treeRoutes(server, host, (exchange, answer) => signAnswer({ ...exchange, host }, answer));
  return { server, port: await listenOn(server, listen) };
}
