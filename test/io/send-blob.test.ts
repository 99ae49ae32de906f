import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Fastify, { type FastifyInstance } from "fastify";
import { sendBlob } from "../../src/app/gateway/send-blob.ts";
import type { TreeHost } from "../../src/app/gateway/tree-host.ts";
import { sha256 } from "../../src/core/crypto/index.ts";

const pieceBytes = 1 << 20;
const pieces = 24;
const digest = sha256(Buffer.from("stands for it"));

describe("sending what is lent", () => {
  let server: FastifyInstance;
  let client: Socket;
  /** Streams that were begun and not left. */
  let open: number;
  let begun: number;
  /** Until it is resolved no piece comes. */
  let gate: Promise<void>;

  /** One room for all pieces but the one before: whoever takes longer sends other bytes. */
  async function* lend(): AsyncGenerator<Uint8Array> {
    const rooms = [Buffer.alloc(pieceBytes), Buffer.alloc(pieceBytes)] as const;
    open++;
    begun++;
    try {
      for (let i = 0; i < pieces; i++) {
        await gate;
        yield (rooms[i % 2] ?? rooms[0]).fill(i + 1);
      }
    } finally {
      open--;
    }
  }

  const ask = (times = 1): void =>
    void client.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(times));
  const until = async (holds: () => boolean): Promise<void> => {
    for (const endsAt = Date.now() + 20_000; !holds(); await sleep(5))
      assert.ok(Date.now() < endsAt, "waited in vain");
  };

  beforeEach(async () => {
    [open, begun, gate] = [0, 0, Promise.resolve()];
    const blobs = { has: () => true, lend, stream: lend };
    const host = { blobs, liar: {}, wantBlob: () => undefined } as unknown as TreeHost;
    server = Fastify({ forceCloseConnections: true });
    server.get("/", (request, reply) =>
      sendBlob({ host, request, reply }, { digest, size: pieces * pieceBytes }),
    );
    await server.listen({ host: "127.0.0.1", port: 0 });
    const address = server.server.address();
    client = connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
    client.on("error", () => undefined);
    await once(client, "connect");
  });
  afterEach(async () => {
    client.destroy();
    await server.close();
  });

  test("a slow reader gets every piece as it was", async () => {
    ask();
    let count = 0;
    const received: Buffer[] = [];
    for await (const piece of client) {
      received.push(piece as Buffer);
      count += (piece as Buffer).length;
      if (received.length % 50 === 1) await sleep(20);
      if (count > pieces * pieceBytes) break;
    }
    const answer = Buffer.concat(received);
    const body = answer.subarray(answer.indexOf("\r\n\r\n") + 4);
    assert.equal(body.length, pieces * pieceBytes);
    for (let i = 0; i < pieces; i++) {
      const piece = body.subarray(i * pieceBytes, (i + 1) * pieceBytes);
      assert.ok(piece.equals(Buffer.alloc(pieceBytes, i + 1)), `piece ${i}`);
    }
    await until(() => open === 0);
  });

  test("whoever leaves before the first piece, or in the middle, is not waited for", async () => {
    let letGo = (): void => undefined;
    gate = new Promise((resolve) => {
      letGo = resolve;
    });
    ask(3);
    await until(() => begun === 3);
    client.destroy();
    // So that the server knows.
    await sleep(50);
    letGo();
    await until(() => open === 0);
  });

  test("nor whoever leaves while answers wait for the one before on the same connection", async () => {
    ask(3);
    await until(() => begun === 3);
    await once(client, "data");
    client.pause();
    await sleep(50);
    assert.equal(open, 3);
    client.destroy();
    await until(() => open === 0);
  });
});
