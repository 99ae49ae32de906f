import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { limits } from "../../core/base/index.ts";

/** What one connection asked and has no answer yet. */
interface Pipeline {
  begun: number;
  readonly waiting: (() => void)[];
}

/**
 * Of what a client asks before it has the answers, so much is worked on at once. What was read with it waits, and the
 * connection is not read until there is room again.
 */
export function boundPipelines(server: FastifyInstance): void {
  const pipelines = new WeakMap<Socket, Pipeline>();
  server.addHook("onRequest", async ({ raw: { socket } }, reply) => {
    const pipeline = pipelines.get(socket) ?? { begun: 0, waiting: [] };
    pipelines.set(socket, pipeline);
    reply.raw.once("close", () => ended(pipeline, socket));
    if (pipeline.begun < limits.httpPipelinedMax) pipeline.begun++;
    else {
      socket.pause();
      await new Promise<void>((go) => pipeline.waiting.push(go));
    }
  });
}

/** Who waited longest takes over the place; where the client has left, nobody does. */
function ended(pipeline: Pipeline, socket: Socket): void {
  if (socket.destroyed) pipeline.waiting.length = 0;
  const next = pipeline.waiting.shift();
  if (next !== undefined) return next();
  // Whoever else paused it has a reason of his own.
  if (pipeline.begun-- === limits.httpPipelinedMax) socket.resume();
}
