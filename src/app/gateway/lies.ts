import type { FastifyRequest } from "fastify";
import { Height } from "../../core/base/index.ts";
import type { PinnedTrees } from "./archive.ts";

/** For exercises: how a host lies over HTTP, so that operators can see their clients notice. */
export type LieKind = "no" | "corrupt" | "stale" | "equivocate" | "withhold";

/** A host's lies about trees; an honest host has none of this. */
export class Liar {
  readonly kind: LieKind;

  constructor(kind: LieKind) {
    this.kind = kind;
  }

  /** The height that this client is shown as the newest. */
  heightFor(request: FastifyRequest, served: number): number {
    if (this.kind !== "stale" && this.kind !== "equivocate") return served;
    // It tells clients apart by their ports: to some it shows the newest state, to others an old one.
    const isFooled = this.kind === "stale" || (request.socket.remotePort ?? 0) % 2 === 1;
    return isFooled ? Math.max(Math.min(1, served), served - 1) : served;
  }

  /** What it takes for the state at a height: an old one, under the name of the newest. */
  recordFor(
    archive: { height(height: number): PinnedTrees | undefined },
    request: FastifyRequest,
    served: number,
  ): PinnedTrees | undefined {
    const record = archive.height(this.heightFor(request, served));
    return record === undefined ? undefined : { ...record, height: Height(served) };
  }

  /** Half of all files are not there, it says. */
  hides(path: string): boolean {
    return (
      this.kind === "withhold" && [...path].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 2 === 1
    );
  }

  get flipsBits(): boolean {
    return this.kind === "corrupt";
  }
}

/** What a corrupt mirror sends: one bit in the middle of the first piece is wrong. */
export async function* flipped(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const piece of pieces) {
    const copy = Buffer.from(piece);
    if (isFirst && copy.length > 0)
      copy.writeUInt8(copy.readUInt8(copy.length >> 1) ^ 1, copy.length >> 1);
    isFirst = false;
    yield copy;
  }
}
