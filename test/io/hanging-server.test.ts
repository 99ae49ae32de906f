import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { answeringFirst } from "../../src/app/client/any-server.ts";

describe("servers of which one hangs", () => {
  const servers: Server[] = [];
  /** Connections to the one that hangs. */
  const held = new Set<Socket>();

  async function serve(isHung: boolean): Promise<string> {
    const server = createServer((request, response) => {
      if (!isHung) return void response.end("{}");
      held.add(request.socket);
      request.socket.once("close", () => held.delete(request.socket));
    });
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  beforeEach(() => {
    held.clear();
  });
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  for (const at of [0, 3])
    test(`writer ${at} of four: it is asked last, and a command that is done does not wait for it`, async () => {
      const urls = await Promise.all([0, 1, 2, 3].map((i) => serve(i === at)));
      const order = await answeringFirst(urls);
      assert.deepEqual(order, [...urls.filter((_, i) => i !== at), urls[at]]);
      for (let i = 0; i < 50 && held.size > 0; i++) await sleep(10);
      assert.equal(held.size, 0, "nothing is asked of it any more");
    });

  test("where all hang, all are tried in their order", async () => {
    const urls = await Promise.all([0, 1].map(() => serve(true)));
    assert.deepEqual(await answeringFirst(urls), urls);
  });
});
