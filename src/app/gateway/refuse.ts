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

/** Why there is nothing to be sent. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Nothing stands there, and no link was on the way. */
  readonly isAbsent?: boolean;
}
