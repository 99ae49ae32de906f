import type { FastifyInstance } from "fastify";
import { isDigest } from "../../core/base/index.ts";
import { answer, refuseCode } from "./api-routes.ts";
import type { GatewayHost } from "./host-api.ts";

/** What is known of splits; nothing of it need be trusted, founding documents verify by themselves. */
export function splitRoutes(server: FastifyInstance, { splits }: GatewayHost): void {
  server.get("/.smalti/splits.json", (_, reply) =>
    reply.header("cache-control", "no-store").send(splits.report()),
  );
  server.post("/.smalti/v1/origins", async (request, reply) =>
    answer(reply, splits.admit(request.body as Buffer)),
  );
  server.get("/.smalti/v1/origins/:group", (request, reply) => {
    const { group } = request.params as { group: string };
    if (!isDigest(group)) return refuseCode(reply, "BAD_REQUEST", "a group has 64 hex digits");
    return reply.header("cache-control", "no-store").send({ admitted: splits.isAdmitted(group) });
  });
}
