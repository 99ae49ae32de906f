import assert from "node:assert/strict";
import { connect as connectTcp, type Socket } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { appendMessages } from "../../src/app/client/index.ts";
import { Author, Digest, Round } from "../../src/core/base/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import type { Ref } from "../../src/core/dag/index.ts";
import { messageKinds } from "../../src/core/mirror/index.ts";
import { until } from "../support/net.ts";
import { cpuMs, rssMiB } from "../support/raw-http.ts";
import { Siege } from "../support/siege-net.ts";

function invented(round: number, author: number, salt: number): Ref {
  const digest = Digest(salt.toString(16).padStart(64, "0"));
  return { round: Round(round), author: Author(author), digest };
}

/** Slowest answer of a host's status page while `work` goes on. */
async function slowestStatusMs(http: string, work: Promise<void>): Promise<number> {
  let isOver = false;
  let slowest = 0;
  const done = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const at = performance.now();
    await fetch(`${http}/.smalti/status.json`, { signal: AbortSignal.timeout(30_000) }).catch(
      () => undefined,
    );
    slowest = Math.max(slowest, performance.now() - at);
  }
  await done;
  return slowest;
}

describe("floods from a cheating writer: the others go on", () => {
  let siege: Siege;

  before(async () => {
    siege = await Siege.start();
  });
  afterEach(() => siege.relieve());
  after(() => siege.stop());

  test("cosignatures on sizes that nobody has", async () => {
    for (const link of await siege.greetAll()) {
      const early = { root: Buffer.alloc(32), timeS: 1, signature: Buffer.alloc(64) };
      for (let size = 1e6; size < 1e6 + 5000; size++)
        link.send({ type: "cosignature", size, ...early });
    }
    await siege.goesOn();
  });

  test("garbage: the link is closed, and the ban is for one offence, not for every frame in the queue", async () => {
    const link = await siege.rogue.greet("w3");
    const deep = Buffer.alloc(60_000, 0x81);
    for (let i = 0; i < 200; i++) link.frame(i % 2 === 0 ? deep : Buffer.from([0xff, i]));
    await until(() => link.isClosed, 5000, "the link is closed");
    await siege.goesOn();
    const bans = siege.net.host("w3").log.split("peer misbehaves").length - 1;
    assert.equal(bans, 1, "one burst is one ban");
  });

  test("fetches of blocks that nobody has", async () => {
    const refs = Array.from({ length: 64 }, (_, i) => invented(9, 1 + (i % 3), i));
    for (const link of await siege.greetAll())
      for (let i = 0; i < 500; i++) link.send({ type: "fetch", refs });
    await siege.goesOn();
  });

  test("block after block full of empty updates", async () => {
    await siege.greetAll();
    const junk = segmentOf(
      messageKinds.update,
      Array.from({ length: 130_000 }, () => new Uint8Array(0)),
    );
    let isOver = false;
    const flood = (async () => {
      while (!isOver) await siege.rogue.order([junk]);
    })().catch(() => undefined);
    try {
      await siege.goesOn({ waitMs: 8000 });
    } finally {
      isOver = true;
      await flood;
    }
  });

  test("requests for the whole order, many at once, within bounded memory", async () => {
    const message = Buffer.alloc(60_000, 7);
    const from = siege.net.host("w1").http;
    for (let i = 0; i < 8; i++) await appendMessages(from, [message, message, message, message]);
    const link = await siege.rogue.greet("w2");
    const { pid } = siege.net.host("w2");
    for (let i = 0; i < 5000; i++) link.send({ type: "sync", after: 0 });
    let most = 0;
    const isOver = async (): Promise<boolean> => {
      most = Math.max(
        most,
        siege.net.host("w2").isRunning ? await rssMiB(pid) : Number.POSITIVE_INFINITY,
      );
      return link.isClosed || most > 1500;
    };
    await until(isOver, 12_000, "the link is closed").catch(() => undefined);
    assert.ok(most < 400, `w2 took ${Math.round(most)} MiB to answer one peer`);
    await siege.goesOn();
  });

  test("one legal frame that is dear to decode does not stop a host", async () => {
    const link = await siege.rogue.greet("w2");
    const frame = Buffer.alloc(16 * 1024 * 1024, 0x80);
    frame[0] = 0x9a;
    frame.writeUInt32BE(frame.length - 5, 1);
    const sent = new Promise<void>((done) => {
      link.frame(frame);
      link.socket.once("drain", done);
      link.socket.once("close", done);
    });
    const settled = sent.then(() => siege.goesOn({ waitMs: 20_000, rssMaxMiB: 1500 }));
    const slowest = await slowestStatusMs(siege.net.host("w2").http, settled);
    assert.ok(slowest < 2000, `w2 was silent for ${Math.round(slowest)} ms over one frame`);
  });

  test("strangers who fill a link port do not keep a writer out that comes back", async () => {
    const w3 = siege.net.host("w3");
    await w3.end("SIGKILL");
    const [host = "", port = ""] = (siege.publisher.trust.network.writers[3]?.address ?? "").split(
      ":",
    );
    const sockets = new Set<Socket>();
    let isOver = false;
    const knock = (): void => {
      if (isOver) return;
      const socket = connectTcp({ host, port: Number(port) });
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        sockets.delete(socket);
        setTimeout(knock, 5);
      });
    };
    for (let i = 0; i < 150; i++) knock();
    try {
      await w3.start();
      const isBack = async (): Promise<boolean> => (await w3.status()).peers.length >= 2;
      await until(isBack, 8000, "w3 has its links");
    } finally {
      isOver = true;
      for (const socket of sockets) socket.destroy();
    }
    await siege.goesOn({ waitMs: 20_000 });
  });

  test("blocks with invented parents: small frames stay cheap, and an idle host comes to rest", async () => {
    const links = await siege.greetAll();
    const { ripe } = siege.rogue;
    const early = { root: Buffer.alloc(32), timeS: 1, signature: Buffer.alloc(64) };
    for (let i = 0; i < 400; i++) {
      const round = ripe + 5 + i;
      const parents = [0, 1, 2, 3].map((author) => invented(round - 1, author, i * 4 + author));
      const wire = siege.rogue.forge({ round, parents }).wire;
      for (const link of links) link.send({ type: "block", wire });
    }
    for (const link of links) {
      for (let i = 0; i < 3000; i++) link.send({ type: "cosignature", size: 2e6 + i, ...early });
    }
    await siege.goesOn({ waitMs: 8000 });
    siege.rogue.close();
    const { pid } = siege.net.host("w1");
    const before = await cpuMs(pid);
    await sleep(2000);
    const share = ((await cpuMs(pid)) - before) / 2000;
    assert.ok(share < 0.2, `w1 uses ${Math.round(share * 100)} % of a core with nothing to do`);
  });
});
