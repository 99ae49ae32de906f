import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { isDigest, limits } from "../../core/base/index.ts";
import { answer, refuse } from "./api-routes.ts";
import type { PublishDesk } from "./host-api.ts";

/** What publishers need of a writer; hosts that are not writers answer NOT_A_WRITER. */
export function publishRoutes(server: FastifyInstance, desk: PublishDesk | undefined): void {
  const withDesk =
    (handle: (desk: PublishDesk, request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      if (desk === undefined) return refuse(reply, "NOT_A_WRITER", "this host is a reader; publish to a writer");
      const { id = "", digest = "" } = request.params as { id?: string; digest?: string };
      const isBad = (text: string): boolean => text !== "" && !isDigest(text);
      if (isBad(id) || isBad(digest)) return refuse(reply, "BAD_REQUEST", "ids and digests are 64 hex digits");
      return handle(desk, request, reply);
    };
  const base = "/.smalti/v1/updates";
  const records = { bodyLimit: limits.messageBytesMax };
  server.post(base, records, withDesk(async (d, request, reply) => answer(reply, await d.open(request.body as Buffer))));
  server.post("/.smalti/v1/policy", records, withDesk(async (d, request, reply) =>
    answer(reply, await d.policy(request.body as Buffer)),
  ));
  server.put(`${base}/:id/changes`, withDesk(async (d, request, reply) =>
    answer(reply, await d.putChanges(idOf(request), request.raw)),
  ));
  server.get(`${base}/:id/missing`, withDesk(async (d, request, reply) => {
    const missing = await d.missing(idOf(request), limits.bulkDigestsMax);
    return missing.ok ? reply.send({ missing: missing.value }) : answer(reply, missing);
  }));
  server.post(`${base}/:id/blobs`, withDesk(async (d, request, reply) =>
    answer(reply, await d.putBlobs(idOf(request), request.raw)),
  ));
  server.get(`${base}/:id/blobs/:digest`, withDesk(async (d, request, reply) => {
    const offset = await d.offset(idOf(request), digestOf(request));
    return offset.ok ? reply.send({ offset: offset.value }) : answer(reply, offset);
  }));
  server.put(`${base}/:id/blobs/:digest`, withDesk(async (d, request, reply) => {
    const offset = Number((request.query as { offset?: string }).offset ?? 0);
    if (!Number.isSafeInteger(offset) || offset < 0) return refuse(reply, "BAD_REQUEST", "offset is a number of bytes");
    return answer(reply, await d.putLarge(idOf(request), { digest: digestOf(request), offset }, request.raw));
  }));
  server.post(`${base}/:id/submit`, withDesk(async (d, request, reply) => answer(reply, await d.submit(idOf(request)))));
}

function idOf(request: FastifyRequest): Parameters<PublishDesk["submit"]>[0] {
  return (request.params as { id: Parameters<PublishDesk["submit"]>[0] }).id;
}

function digestOf(request: FastifyRequest): Parameters<PublishDesk["submit"]>[0] {
  return (request.params as { digest: Parameters<PublishDesk["submit"]>[0] }).digest;
}
