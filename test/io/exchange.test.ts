import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, askBytes, drop, ServerError } from "../../src/app/client/index.ts";

const patienceMs = 500;

async function collected(body: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

describe("one HTTP exchange", () => {
  let server: Server;
  let answer: (request: IncomingMessage, response: ServerResponse) => unknown;
  let connections: number;
  const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

  beforeEach(async () => {
    connections = 0;
    server = createServer((request, response) => void answer(request, response));
    server.on("connection", () => connections++);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });

  test("bytes, texts and streams arrive whole, and connections are kept", async () => {
    answer = async (request, response) => response.end(await collected(request));
    async function* parts(): AsyncGenerator<Uint8Array> {
      for (const part of ["a", "stream"]) yield Buffer.from(part);
    }
    for (const body of ["a text", Buffer.from("bytes"), parts()]) {
      const wanted = typeof body === "string" || Buffer.isBuffer(body) ? String(body) : "astream";
      const { statusCode, body: said } = await ask(url(), { method: "POST", body });
      assert.deepEqual([statusCode, await collected(said)], [200, wanted]);
    }
    const { body } = await ask(url());
    drop(body);
    await once(body, "end");
    await collected((await ask(url())).body);
    assert.equal(connections, 1);
  });

  test("a refusal is an error with the server's own words", async () => {
    answer = (_, response) => {
      response.statusCode = 409;
      response.end(JSON.stringify({ code: "TAKEN", message: "somebody was first" }));
    };
    const isSaid = (error: unknown): boolean =>
      error instanceof ServerError &&
      error.status === 409 &&
      error.code === "TAKEN" &&
      /somebody was first/.test(error.message);
    await assert.rejects(ask(url()), isSaid);
  });

  test("a kept connection that the server has closed meanwhile is no failure", async () => {
    answer = (_, response) => response.end("here");
    await collected((await ask(url())).body);
    // It is cut when the next question comes: as if it had been closed while that was on its way.
    let isCut = false;
    answer = (request, response) => {
      if (isCut) return response.end("here");
      isCut = true;
      return request.socket.destroy();
    };
    assert.equal(await collected((await ask(url())).body), "here");
    assert.equal(connections, 2);
  });

  test("but what might be done twice is asked once", async () => {
    answer = (_, response) => response.end("here");
    await collected((await ask(url())).body);
    let asked = 0;
    answer = (request) => {
      asked++;
      return request.socket.destroy();
    };
    await assert.rejects(ask(url(), { method: "POST", body: "done" }), { code: "ECONNRESET" });
    assert.equal(asked, 1);
  });

  test("one that is cut again and again is given up", async () => {
    answer = (_, response) => response.end("here");
    await collected((await ask(url())).body);
    let asked = 0;
    answer = (request) => {
      asked++;
      return request.socket.destroy();
    };
    await assert.rejects(ask(url()), { code: "ECONNRESET" });
    assert.equal(asked, 2);
  });

  test("a server that says nothing, stops inside the head, or inside the body, is given up", async () => {
    const silences: ((request: IncomingMessage, response: ServerResponse) => void)[] = [
      () => undefined,
      ({ socket }) => void socket.write("HTTP/1.1 200 OK\r\ncontent-le"),
      (_, response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write("some");
      },
    ];
    for (const [i, silence] of silences.entries()) {
      answer = silence;
      const asked = ask(url(), { patienceMs }).then(({ body }) => collected(body));
      await assert.rejects(asked, /within 500 ms|aborted/, `silence ${i}`);
    }
  });

  test("a head that drips is given up as well: it must have come in time", async () => {
    answer = async ({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\nx: ");
      while (!socket.destroyed) {
        socket.write("x");
        await sleep(patienceMs / 5);
      }
    };
    await assert.rejects(ask(url(), { patienceMs }), /no answer within 500 ms/);
  });

  test("without patience to lose, one waits", async () => {
    answer = async (_, response) => {
      await sleep(100);
      response.write("late");
      await sleep(100);
      response.end("r");
    };
    const { body } = await ask(url(), { patienceMs: 0 });
    assert.equal(await collected(body), "later");
  });

  test("whoever reads slowly himself is not told that the server is slow", async () => {
    const whole = Buffer.alloc(4 * 1024 * 1024, "x");
    answer = (_, response) => response.end(whole);
    const { body } = await ask(url(), { patienceMs });
    let length = 0;
    for await (const piece of body) {
      if (length === 0) await sleep(3 * patienceMs);
      length += (piece as Buffer).length;
    }
    assert.equal(length, whole.length);
  });

  test("a signal ends it, before the answer and in the middle of it", async () => {
    answer = () => undefined;
    await assert.rejects(ask(url(), { signal: AbortSignal.timeout(50) }), {
      name: /Timeout|Abort/,
    });
    answer = (_, response) => {
      response.writeHead(200);
      response.write("begun");
    };
    await assert.rejects(askBytes(url(), 100, { deadlineMs: 100 }));
  });

  test("an answer in another protocol is none, and keeps nobody", async () => {
    answer = ({ socket }) => {
      socket.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    };
    await assert.rejects(ask(url()), /without an answer/);
    await assert.rejects(ask(url(), { method: "POST", body: "x" }), /without an answer/);
  });

  test("a server that answers before it has the whole is not sent the rest", async () => {
    let isLeft = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(65_536);
      } finally {
        isLeft = true;
      }
    }
    for (const status of [200, 409]) {
      answer = (_, response) => {
        response.statusCode = status;
        response.end("{}");
      };
      isLeft = false;
      const asked = ask(url(), { method: "PUT", body: endless() });
      if (status === 409) await assert.rejects(asked, ServerError);
      else drop((await asked).body);
      for (let i = 0; !isLeft; i++) {
        assert.ok(i < 1000, `${status}: it is still sent`);
        await sleep(10);
      }
    }
  });

  test("a server that stalls after its reader was slow is given up as well", async () => {
    answer = (_, response) => {
      response.writeHead(200, { "content-length": String(8 * 1024 * 1024) });
      response.write(Buffer.alloc(4 * 1024 * 1024));
    };
    const { body } = await ask(url(), { patienceMs });
    await sleep(3 * patienceMs);
    await assert.rejects(collected(body), /no byte within 500 ms/);
  });

  test("an answer without end is not waited for by whoever needs none", async () => {
    const cut = new Promise<void>((resolve) => {
      answer = (_, response) => {
        const more = setInterval(() => response.write(Buffer.alloc(65_536)), 1);
        response.on("close", () => {
          clearInterval(more);
          resolve();
        });
      };
    });
    drop((await ask(url())).body);
    await cut;
  });

  test("a stream that breaks is its own error, and the server does not get the whole", async () => {
    const ended = new Promise<boolean>((resolve) => {
      answer = (request) => {
        request.on("error", () => undefined).on("close", () => resolve(request.complete));
        request.resume();
      };
    });
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(100_000);
      throw new Error("the disk is gone");
    }
    await assert.rejects(ask(url(), { method: "PUT", body: broken() }), /the disk is gone/);
    assert.equal(await ended, false);
  });
});
