import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configureServer, listenOn } from "../../src/app/gateway/index.ts";
import { limits } from "../../src/core/base/index.ts";

test("of what one connection asks before it is answered, so much is worked on at once, and all of it in the end", async () => {
  const server = configureServer();
  const begun: (() => void)[] = [];
  let most = 0;
  let running = 0;
  server.get("/slow", async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((end) => begun.push(end));
    running--;
    return "done\n";
  });
  server.put("/body", async (request) => {
    let length = 0;
    for await (const piece of request.raw) length += (piece as Buffer).length;
    return `${length}\n`;
  });
  const port = await listenOn(server, { host: "127.0.0.1", port: 0 });
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    let told = "";
    socket.on("data", (piece: Buffer) => {
      told += piece.toString();
    });
    const answers = (): number => told.split("HTTP/1.1 200").length - 1;
    const asked = 500;
    socket.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n".repeat(asked));
    const body = "x".repeat(300_000);
    socket.write(`PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n`);
    socket.write(`Content-Type: application/vnd.smalti.stream\r\n\r\n${body}`);
    await sleep(300);
    assert.equal(begun.length, limits.httpPipelinedMax);
    for (let i = 0; i < 2000 && answers() < asked + 1; i++) {
      begun.shift()?.();
      await sleep(1);
    }
    assert.equal(answers(), asked + 1);
    assert.equal(most, limits.httpPipelinedMax);
    assert.match(told, /\n300000\n$/, "the body after them came whole");
  } finally {
    socket.destroy();
    await server.close();
  }
});
