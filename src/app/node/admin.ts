import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { fail, fromBase64, isDigest, limits, type Result } from "../../core/base/index.ts";
import { opinions } from "../../core/opinion/index.ts";
import { splitEndpoint, version } from "../config/index.ts";
import type { GatewayHost } from "../gateway/index.ts";
import type { AccountabilityDesk } from "./accountability-desk.ts";
import type { GarbageCollector } from "./garbage-collector.ts";
import type { Engine, Parts } from "./parts.ts";
import type { SplitDesk } from "./split-desk.ts";

/** What answers the operator. */
interface Desks {
  readonly host: GatewayHost;
  readonly accountability: AccountabilityDesk;
  readonly splits: SplitDesk;
  readonly collector: GarbageCollector;
}

function tell(reply: FastifyReply, result: Result<unknown>): FastifyReply {
  if (result.ok) return reply.send({ ok: true, ...(result.value as object | undefined) });
  if (reply.statusCode < 400) reply.code(400);
  return reply.send({ code: result.error.code, message: result.error.detail });
}

/** Health, readiness and metrics; never public. */
export async function openAdmin(
  parts: Parts,
  engine: Engine,
  { host, accountability, splits, collector }: Desks,
): Promise<{ readonly server: FastifyInstance; readonly port: number }> {
  const { config, metrics } = parts;
  const { host: address, port } = splitEndpoint(config.admin.listen);
  const server = Fastify({ bodyLimit: limits.requestBytesMax, forceCloseConnections: true });
  server.addHook("onRequest", async (request, reply) => {
    const why = foreign(request.headers, [...config.admin.hosts, address]);
    return why === undefined ? undefined : tell(reply.code(403), fail("FOREIGN_PAGE", why));
  });
  server.get("/healthz", (_, reply) => reply.send({ ok: true }));
  server.get("/livez", (_, reply) => reply.send({ ok: true }));
  server.get("/readyz", (_, reply) => {
    const why = notReady(parts, engine);
    return reply
      .code(why === undefined ? 200 : 503)
      .send(why === undefined ? { ok: true } : { ok: false, why });
  });
  server.get("/version", (_, reply) => reply.send({ version }));
  server.get("/status.json", (_, reply) => reply.send(host.status()));
  server.get("/metrics", async (_, reply) => {
    observe(parts, engine);
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  server.post("/opinion", (request, reply) => {
    const { about, opinion } = (request.body ?? {}) as { about?: unknown; opinion?: unknown };
    const known = opinions.find((one) => one === opinion);
    if (typeof about !== "string" || (known === undefined && opinion !== "auto"))
      return reply.code(400).send({
        code: "BAD_REQUEST",
        message: `about: a writer; opinion: ${opinions.join(", ")} or auto`,
      });
    return tell(reply, accountability.say(about, known));
  });
  server.post("/gc", (request) =>
    collector.run({ isDry: (request.body as { dry?: unknown } | null)?.dry === true }),
  );
  server.post("/split/propose", async (_, reply) => tell(reply, await splits.propose()));
  server.post("/split/join", (request, reply) => {
    const { plan, wire } = (request.body ?? {}) as { plan?: unknown; wire?: unknown };
    const bytes = typeof wire === "string" ? fromBase64(wire) : undefined;
    if (bytes !== undefined) return tell(reply, splits.join(bytes));
    if (isDigest(plan)) return tell(reply, splits.join(plan));
    return tell(reply, fail("BAD_REQUEST", "plan: an id, or wire: a plan in base64"));
  });
  await server.listen({ host: address, port });
  const bound = server.server.address();
  return { server, port: typeof bound === "object" && bound !== null ? bound.port : port };
}

/**
 * Why a request is not the operator's, if it is not: a page of the web in a browser on this machine can reach this port too.
 * Browsers say where a page is from (`Origin`, `Sec-Fetch-Site`), and a name that was made to point here stands in `Host`.
 */
export function foreign(
  { host, origin, "sec-fetch-site": site }: IncomingHttpHeaders,
  names: readonly string[],
): string | undefined {
  if (origin !== undefined || (site !== undefined && site !== "none" && site !== "same-origin"))
    return "pages of the web may not use the admin port";
  // Every browser names the host; a probe of HTTP/1.0 need not.
  if (host === undefined) return undefined;
  const name = host.replace(/:\d*$/, "").toLowerCase();
  const isAddress = isIP(name.replace(/^\[(.*)\]$/, "$1")) > 0;
  if (isAddress || name === "localhost" || names.some((one) => one.toLowerCase() === name))
    return undefined;
  return `the admin port answers to addresses, localhost, and names in [admin] hosts, not to ${JSON.stringify(name)}`;
}

/** Ready is more than running: a writer signs and has its quorum, a reader follows somebody. */
function notReady({ core, network }: Parts, { writer, reader }: Engine): string | undefined {
  if (reader !== undefined)
    return reader.upstream === undefined
      ? (reader.problem ?? "no source has answered yet")
      : undefined;
  const { whyNot } = writer ?? {};
  if (whyNot !== undefined) return whyNot.detail;
  const links = writer?.vitals.peers.length ?? 0;
  if (links < network.quorum - 1)
    return `links with ${links} of the ${network.quorum - 1} writers needed`;
  return core.role.state.commit.index < (writer?.vitals.quorumCommit ?? 0) - limits.commitLagMax
    ? "catching up"
    : undefined;
}

function observe({ metrics, core }: Parts, { writer }: Engine): void {
  const { state } = core.role;
  metrics.height.set(core.servedHeight);
  metrics.commit.set(state.commit.index);
  metrics.messages.set(state.messages);
  metrics.pendingUpdates.set(state.pending.size);
  metrics.logSize.set(core.head?.due.size ?? 0);
  const vitals = writer?.vitals;
  if (vitals === undefined) return;
  metrics.round.set(vitals.round);
  metrics.quorumCommit.set(vitals.quorumCommit);
  metrics.signing.set({ role: "writer" }, vitals.isSigning ? 1 : 0);
  metrics.peers.set(vitals.peers.length);
  metrics.pendingBytes.set(vitals.pendingBytes);
  metrics.waitingBlocks.set(vitals.own["waitingBlocks"] ?? 0);
  metrics.graphBlocks.set(vitals.own["graphBlocks"] ?? 0);
  metrics.backlog.set(vitals.backlog);
  metrics.linkBytes.set(writer?.sentBytes ?? 0);
}
