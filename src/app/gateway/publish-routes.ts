import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Digest, isDigest, limits } from "../../core/base/index.ts";
import { answer, refuseCode } from "./api-routes.ts";
import type { BlobBase, PublishDesk } from "./host-api.ts";

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>;
/** A handler that has a desk and an update's id. */
type DeskHandler = (
  at: { readonly desk: PublishDesk; readonly id: Digest; readonly digest: Digest },
  request: FastifyRequest,
  reply: FastifyReply,
) => Promise<FastifyReply>;

const base = "/.smalti/v1/updates";

/** What publishers need of a writer; hosts that are not writers answer NOT_A_WRITER. */
export function publishRoutes(server: FastifyInstance, desk: PublishDesk | undefined): void {
  const on = (handle: DeskHandler): Handler => withDesk(desk, handle);
  const records = { bodyLimit: limits.messageBytesMax };
  server.post(
    base,
    records,
    on(async (at, request, reply) => answer(reply, await at.desk.open(request.body as Buffer))),
  );
  server.post(
    "/.smalti/v1/policy",
    records,
    on(async (at, request, reply) => answer(reply, await at.desk.policy(request.body as Buffer))),
  );
  server.get(
    `${base}/:id/missing`,
    on(async ({ desk: d, id }, _, reply) => {
      const missing = await d.missing(id, limits.bulkDigestsMax);
      return missing.ok ? reply.send({ missing: missing.value }) : answer(reply, missing);
    }),
  );
  server.post(
    `${base}/:id/submit`,
    on(async ({ desk: d, id }, _, reply) => answer(reply, await d.submit(id))),
  );
  contentRoutes(server, on);
}

function contentRoutes(server: FastifyInstance, on: (handle: DeskHandler) => Handler): void {
  server.put(
    `${base}/:id/changes`,
    on(async ({ desk, id }, request, reply) =>
      answer(reply, await desk.putChanges(id, request.raw)),
    ),
  );
  server.post(
    `${base}/:id/blobs`,
    on(async ({ desk, id }, request, reply) => answer(reply, await desk.putBlobs(id, request.raw))),
  );
  server.get(
    `${base}/:id/blobs/:digest`,
    on(async ({ desk, id, digest }, _, reply) => {
      const offset = await desk.offset(id, digest);
      return offset.ok ? reply.send({ offset: offset.value }) : answer(reply, offset);
    }),
  );
  server.put(
    `${base}/:id/blobs/:digest`,
    on(async ({ desk, id, digest }, request, reply) => {
      const offset = Number((request.query as { offset?: string }).offset ?? 0);
      if (!Number.isSafeInteger(offset) || offset < 0) {
        return refuseCode(reply, "BAD_REQUEST", "offset is a number of bytes");
      }
      const base = baseOf(request.query as Record<string, string>);
      if (base === "bad")
        return refuseCode(
          reply,
          "BAD_REQUEST",
          "base is a digest, prefix and suffix are bytes of it",
        );
      const blob = { digest, offset, ...(base === undefined ? {} : { base }) };
      return answer(reply, await desk.putLarge(id, blob, request.raw));
    }),
  );
}

function baseOf({
  base,
  prefix,
  suffix,
}: Record<string, string | undefined>): BlobBase | "bad" | undefined {
  if (base === undefined) return undefined;
  const [first, last] = [Number(prefix), Number(suffix)];
  const isBytes = (count: number): boolean => Number.isSafeInteger(count) && count >= 0;
  return isDigest(base) && isBytes(first) && isBytes(last)
    ? { digest: base, prefix: first, suffix: last }
    : "bad";
}

function withDesk(desk: PublishDesk | undefined, handle: DeskHandler): Handler {
  return async (request, reply) => {
    if (desk === undefined) {
      return refuseCode(reply, "NOT_A_WRITER", "this host is a reader; publish to a writer");
    }
    const { id = "", digest = "" } = request.params as { id?: string; digest?: string };
    const isBad = (text: string): boolean => text !== "" && !isDigest(text);
    if (isBad(id) || isBad(digest)) {
      return refuseCode(reply, "BAD_REQUEST", "ids and digests are 64 hex digits");
    }
    return handle({ desk, id: id as Digest, digest: digest as Digest }, request, reply);
  };
}
