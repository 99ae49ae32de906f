import type { FastifyReply } from "fastify";

/** An answer that is a refusal, with a stable code. */
// biome-ignore lint/complexity/useMaxParams: an answer has these three facts
export function refuse(
  reply: FastifyReply,
  status: number,
  code: string,
  message: string,
): FastifyReply {
  return reply
    .code(status)
    .header("cache-control", "no-store")
    .type("application/json")
    .send({ code, message });
}
