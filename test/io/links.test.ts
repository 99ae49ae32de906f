import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Scheduler, SimNetwork } from "../../sim/index.ts";
import { freePorts } from "../../src/app/setup/index.ts";
import { Author, Prng, type PublicKey } from "../../src/core/base/index.ts";
import { openLinks } from "../../src/io/transport/index.ts";

/** What one end hears. */
type Heard = string[];

/** Two writers with a link between them. */
interface Pair {
  readonly heard: readonly [Heard, Heard];
  send(from: 0 | 1, frame: Uint8Array): void;
  /** What was meant for the link before. */
  sendOld(from: 0 | 1, frame: Uint8Array): void;
  /** Writer 0 closes the link and avoids the other for a moment. */
  ban(ms: number): void;
  /** Lets time pass until it holds. */
  until(isSo: () => boolean): Promise<void>;
  close(): Promise<void>;
}

const told = (frame: Uint8Array): string =>
  frame.length < 100 ? Buffer.from(frame).toString() : `${frame.length} bytes`;

function identityOf(): { readonly publicKey: PublicKey; readonly seed: Uint8Array } {
  const { x = "", d = "" } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
  const publicKey = Buffer.from(x, "base64url").toString("hex") as PublicKey;
  return { publicKey, seed: Buffer.from(d, "base64url") };
}

async function realPair(): Promise<Pair> {
  const heard: [Heard, Heard] = [[], []];
  const sessions: [number, number] = [0, 0];
  const identities = [identityOf(), identityOf()] as const;
  const [first = 0, second = 0] = await freePorts(2);
  const ports = [first, second] as const;
  const open = (self: 0 | 1): ReturnType<typeof openLinks> => {
    const other = self === 0 ? 1 : 0;
    return openLinks({
      identity: identities[self],
      self: Author(self),
      listen: { host: "127.0.0.1", port: ports[self] },
      peers: [
        {
          author: Author(other),
          nodeKey: identities[other].publicKey,
          address: `127.0.0.1:${ports[other]}`,
        },
      ],
      events: {
        up: (_, session) => {
          sessions[self] = session;
          heard[self].push("up");
        },
        down: () => void heard[self].push("down"),
        frame: (_, frame) => {
          heard[self].push(told(frame));
          return 0;
        },
        refused: () => void heard[self].push("refused"),
      },
    });
  };
  const links = [await open(0), await open(1)] as const;
  return {
    heard,
    send: (from, frame) =>
      links[from].send({ peer: Author(from === 0 ? 1 : 0), session: sessions[from] }, frame),
    sendOld: (from, frame) =>
      links[from].send({ peer: Author(from === 0 ? 1 : 0), session: sessions[from] - 1 }, frame),
    ban: (ms) => links[0].ban(Author(1), ms, "a test"),
    until: async (isSo) => {
      for (let i = 0; i < 400 && !isSo(); i++) await sleep(25);
      assert.ok(isSo(), JSON.stringify(heard));
    },
    close: async () => {
      for (const each of links) await each.close();
    },
  };
}

async function simulatedPair(): Promise<Pair> {
  const heard: [Heard, Heard] = [[], []];
  const sessions: [number, number] = [0, 0];
  const scheduler = new Scheduler();
  const network = new SimNetwork(scheduler, new Prng(5));
  for (const self of [0, 1] as const)
    network.attach({
      id: `w${self}`,
      author: Author(self),
      up: (_, session) => {
        sessions[self] = session;
        heard[self].push("up");
      },
      down: () => void heard[self].push("down"),
      frame: (_, frame) => void heard[self].push(told(frame)),
    });
  const carry = (from: 0 | 1, frame: Uint8Array, session: number): void =>
    network.send(`w${from}`, Author(from === 0 ? 1 : 0), {
      frame,
      isFromTwin: false,
      extraMs: 0,
      session,
    });
  return {
    heard,
    send: (from, frame) => carry(from, frame, sessions[from]),
    sendOld: (from, frame) => carry(from, frame, sessions[from] - 1),
    ban: (ms) => network.ban("w0", Author(1), ms),
    until: async (isSo) => {
      await scheduler.run(scheduler.nowMs + 10_000, () => !isSo());
      assert.ok(isSo(), JSON.stringify(heard));
    },
    close: async () => undefined,
  };
}

for (const [kind, make] of Object.entries({ real: realPair, simulated: simulatedPair })) {
  describe(`${kind} links`, () => {
    test("both ends are told, frames are whole and in order, both ways, small and large", async () => {
      const pair = await make();
      try {
        const [one, two] = pair.heard;
        await pair.until(() => one.length > 0 && two.length > 0);
        for (let i = 0; i < 50; i++) {
          pair.send(0, Buffer.from(`to two ${i}`));
          pair.send(1, Buffer.from(`to one ${i}`));
        }
        pair.send(0, Buffer.alloc(3_000_000));
        pair.send(0, Buffer.from("last"));
        await pair.until(() => two.includes("last") && one.length === 51);
        const numbers = Array.from({ length: 50 }, (_, i) => i);
        assert.deepEqual(one, ["up", ...numbers.map((i) => `to one ${i}`)]);
        const large = ["3000000 bytes", "last"];
        assert.deepEqual(two, ["up", ...numbers.map((i) => `to two ${i}`), ...large]);
      } finally {
        await pair.close();
      }
    });

    test("a broken link is told to both, nothing of before comes after, and it comes back", async () => {
      const pair = await make();
      try {
        const [one, two] = pair.heard;
        await pair.until(() => one.length > 0 && two.length > 0);
        pair.send(1, Buffer.from("before"));
        pair.ban(300);
        pair.send(0, Buffer.from("nobody listens"));
        const isBack = (heard: Heard): boolean => heard.lastIndexOf("up") > heard.indexOf("down");
        await pair.until(() => one.includes("down") && isBack(one) && isBack(two));
        pair.sendOld(0, Buffer.from("meant for the link before"));
        pair.send(0, Buffer.from("after"));
        await pair.until(() => two.includes("after"));
        for (const heard of pair.heard)
          assert.deepEqual(
            heard.filter((what) => what === "up" || what === "down"),
            ["up", "down", "up"],
          );
        assert.deepEqual(two.slice(two.lastIndexOf("up")), ["up", "after"]);
        assert.ok(!one.slice(one.lastIndexOf("up")).includes("before"));
        assert.ok(!two.includes("nobody listens"));
      } finally {
        await pair.close();
      }
    });
  });
}

test("a peer that comes back again and again is let in at a bounded rate, and still is", async () => {
  const pair = await realPair();
  const { heard } = pair;
  const [, two] = heard;
  const ups = (): number => two.filter((what) => what === "up").length;
  try {
    const startedMs = performance.now();
    for (let last = 0; !two.includes("refused") && ups() < 40; last = ups()) {
      await pair.until(() => ups() > last || two.includes("refused"));
      pair.ban(1);
    }
    const seconds = (performance.now() - startedMs) / 1000;
    assert.ok(ups() <= 8 + seconds, `${ups()} links in ${seconds} s`);
    const before = ups();
    await pair.until(() => ups() > before);
  } finally {
    await pair.close();
  }
});
