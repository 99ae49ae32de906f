import type { FastifyInstance } from "fastify";
import { isDigest, limits } from "../../core/base/index.ts";
import { answer, refuseCode } from "./api-routes.ts";
import type { GatewayHost } from "./host-api.ts";

/** Opinions and proofs over HTTP: nothing of it need be trusted, the proofs verify by themselves. */
export function accountabilityRoutes(server: FastifyInstance, host: GatewayHost): void {
  const { accountability } = host;
  server.get("/.smalti/opinions.json", async (_, reply) =>
    reply.header("cache-control", "no-store").send(await accountability.report()),
  );
  server.get("/.smalti/mirrors.json", (_, reply) =>
    reply.header("cache-control", "max-age=30").send({ mirrors: host.mirrors.rows() }),
  );
  // One a line, as apt and others read lists of mirrors: those against which nothing is to be said.
  server.get("/.smalti/mirrors.txt", (_, reply) => {
    const good = host.mirrors.rows().filter(({ problem }) => problem === undefined);
    return reply
      .header("cache-control", "max-age=30")
      .type("text/plain; charset=utf-8")
      .send(good.map(({ url }) => `${url}/\n`).join(""));
  });
  server.get("/.smalti/evidence", (_, reply) =>
    reply.header("cache-control", "no-store").send({ evidence: accountability.evidence() }),
  );
  server.get("/.smalti/evidence/:id", (request, reply) => {
    const { id } = request.params as { id: string };
    const wire = isDigest(id) ? accountability.proof(id) : undefined;
    if (wire === undefined) return refuseCode(reply, "NOT_FOUND", "no such evidence here");
    return reply
      .header("cache-control", "public, max-age=31536000, immutable")
      .type("application/cbor")
      .send(Buffer.from(wire));
  });
  server.post(
    "/.smalti/v1/evidence",
    { bodyLimit: limits.evidenceBytesMax },
    async (request, reply) => answer(reply, accountability.submit(request.body as Buffer)),
  );
  server.post("/.smalti/v1/pardons", async (request, reply) =>
    answer(reply, accountability.pardon(request.body as Buffer)),
  );
  server.get("/.smalti/v1/possession/:digest", async (request, reply) => {
    const { digest } = request.params as { digest: string };
    const { nonce } = request.query as { nonce?: string };
    if (!isDigest(digest) || !isDigest(nonce))
      return refuseCode(reply, "BAD_REQUEST", "a digest and a nonce of 64 hex digits");
    return answer(reply, await accountability.possession(digest, nonce));
  });
}
