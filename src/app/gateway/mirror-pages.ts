import type { FastifyInstance } from "fastify";
import { leaseOf } from "../../core/crypto/index.ts";
import type { MirrorRow } from "./accountability-report.ts";
import { refuseCode } from "./api-routes.ts";
import type { GatewayHost } from "./host-api.ts";
import { escapeHtml, htmlPage } from "./listing.ts";

/** What people and their scripts look at: a mirror's status, and a trace file as Debian's mirrors have them. */
export function mirrorPages(server: FastifyInstance, host: GatewayHost): void {
  server.get("/.smalti/status.html", (_, reply) =>
    reply
      .header("cache-control", "max-age=30")
      .type("text/html; charset=utf-8")
      .send(statusPage(host)),
  );
  server.get("/.smalti/trace/:host", (request, reply) => {
    const { moniker } = host.status();
    if ((request.params as { host: string }).host !== moniker)
      return refuseCode(reply, "NOT_FOUND", `this host's trace is /.smalti/trace/${moniker}`);
    return reply
      .header("cache-control", "max-age=60")
      .type("text/plain; charset=utf-8")
      .send(traceOf(host));
  });
}

function servedAt(host: GatewayHost): Date | undefined {
  const record = host.archive.height(host.servedHeight);
  return record === undefined ? undefined : new Date(record.tsMs);
}

/** Generated from the log: what it says can be checked against the height that it names. */
export function traceOf(host: GatewayHost): string {
  const at = servedAt(host);
  const { moniker, version, upstream } = host.status();
  return [
    at === undefined ? "nothing is published yet" : at.toUTCString(),
    `Archive serial: ${host.servedHeight}`,
    `Creator: smalti ${version}`,
    `Running on host: ${moniker}`,
    ...(upstream === undefined ? [] : [`Upstream-mirror: ${upstream}`]),
    `Log: ${host.head?.due.size ?? 0} leaves of ${host.network.origin}`,
    "",
  ].join("\n");
}

function statusPage(host: GatewayHost): string {
  const { moniker, role, note, upstream } = host.status();
  const at = servedAt(host);
  const leaseS = host.head === undefined ? 0 : leaseOf(host.head.note, host.network.quorum);
  const facts: readonly (readonly [string, string])[] = [
    ["role", role],
    ["height", String(host.servedHeight)],
    ["published", at?.toISOString() ?? "nothing yet"],
    ["vouched for by a quorum", leaseS === 0 ? "not yet" : new Date(leaseS * 1000).toISOString()],
    ...(upstream === undefined ? [] : ([["follows", upstream]] as const)),
    ...(note === undefined ? [] : ([["note", note]] as const)),
  ];
  const own = facts.map(([name, fact]) => `<tr><th>${name}</th><td>${escapeHtml(fact)}</td></tr>`);
  const rows = host.mirrors.rows().map((row) => mirrorRow(row, host.servedHeight));
  return htmlPage(
    escapeHtml(moniker),
    `<table>${own.join("\n")}</table><h2>Mirrors</h2>
<table><tr><th>mirror</th><th>role</th><th>height</th><th>behind</th><th>what is to be said</th></tr>${rows.join("\n")}</table>
<footer><a href="/.smalti/mirrors.json">mirrors.json</a> · <a href="/.smalti/opinions.json">opinions</a> · <a href="/.smalti/checkpoint">checkpoint</a></footer>`,
  );
}

function mirrorRow({ url, role, height, problem }: MirrorRow, served: number): string {
  const behind = height === undefined ? "" : String(Math.max(0, served - height));
  const link = `<a href="${escapeHtml(url)}/">${escapeHtml(url)}</a>`;
  const cells = [link, role, String(height ?? ""), behind, escapeHtml(problem ?? "nothing")];
  return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
}
