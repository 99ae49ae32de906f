import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Author, Digest } from "../../src/core/base/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import { genesisRef } from "../../src/core/dag/block.ts";
import { type Change, messageKinds } from "../../src/core/mirror/index.ts";
import { until } from "../support/net.ts";
import { fetchRaw } from "../support/raw-http.ts";
import { honest, Siege } from "../support/siege-net.ts";

const binary = { "content-type": "application/octet-stream" };
const stream = { "content-type": "application/vnd.smalti.stream" };

describe("a cheating writer and strangers on the writers' links", () => {
  let siege: Siege;
  const api = (path: string, method: string, body?: Uint8Array): ReturnType<typeof fetchRaw> => {
    const headers = method === "PUT" ? stream : binary;
    const sent = body === undefined ? {} : { body, headers };
    return fetchRaw(siege.net.host("w1").http, `/.smalti/v1/updates${path}`, { method, ...sent });
  };
  /** A block that names too few parents, with a good signature. */
  const invalid = (round: number): Uint8Array =>
    siege.rogue.forge({ round, parents: [genesisRef(siege.rogue.config, Author(0))] }).wire;

  before(async () => {
    siege = await Siege.start();
  });
  after(() => siege.stop());

  // Before any equivocation: later the others order nothing of the rogue that they need not.
  test("an update whose bytes a cheating writer keeps to himself can be brought through another", async () => {
    await siege.greetAll();
    const leaf = {
      kind: "file" as const,
      digest: Digest("ab".repeat(32)),
      size: 3,
      executable: false,
    };
    const changes: Change[] = [{ path: "withheld", leaf, expect: "anything" }];
    const { update } = siege.publisher.sign({ tree: "other", baseHeight: 0, changes });
    await siege.rogue.order([segmentOf(messageKinds.update, [update.wire])]);
    const isPending = async (): Promise<boolean> =>
      (await siege.net.host("w1").status()).pendingUpdates > 0;
    await until(isPending, 10_000, "the update is accepted");
    const opened = await api("", "POST", update.wire);
    const { state } = JSON.parse(opened.body.toString()) as { state: string };
    assert.equal(state, "needs-changes");
  });

  test("an update that names a change list by a wrong length does not make the others fetch for ever", async () => {
    const changes: Change[] = [
      { path: "link", leaf: { kind: "link", target: "x" }, expect: "anything" },
    ];
    const { update, bytes } = siege.publisher.sign({ tree: "third", baseHeight: 0, changes });
    await api("", "POST", update.wire);
    await api(`/${update.id}/changes`, "PUT", bytes);
    assert.equal((await api(`/${update.id}/submit`, "POST")).status, 200);
    await siege.goesOn();
    const { digest } = update.record.changes;
    const bent = siege.publisher.signBytes("third", bytes, {
      changes: { digest, bytes: bytes.length + 1 },
    });
    await siege.greetAll();
    await siege.rogue.order([segmentOf(messageKinds.update, [bent.wire])]);
    const isPending = async (): Promise<boolean> =>
      (await siege.net.host("w1").status()).pendingUpdates > 1;
    await until(isPending, 10_000, "the bent update is accepted").catch(() => undefined);
    const fetched = async (): Promise<number> => {
      const text = await (await fetch(`${siege.net.host("w1").host.admin}/metrics`)).text();
      const rows = text.split("\n").filter((row) => row.startsWith("smalti_sync_bytes_total{"));
      return rows.reduce((sum, row) => sum + Number(row.split(" ").at(-1)), 0);
    };
    const first = await fetched();
    await sleep(1000);
    const times = Math.round(((await fetched()) - first) / bytes.length);
    assert.ok(times < 20, `the same ${bytes.length} bytes were fetched ${times} times in a second`);
  });

  test("strangers: TCP garbage, no certificate, silence after the handshake", async () => {
    const address = siege.publisher.trust.network.writers[1]?.address ?? "";
    const [host = "", port = ""] = address.split(":");
    const sockets = Array.from({ length: 20 }, (_, i) => {
      const socket = connectTcp({ host, port: Number(port) });
      socket.on("error", () => undefined);
      socket.write(i % 2 === 0 ? "GET / HTTP/1.1\r\n\r\n" : Buffer.alloc(100_000, i));
      return socket;
    });
    const nameless = await siege.rogue.connect("w1", { key: "", cert: "" });
    await until(
      () => nameless === undefined || nameless.isClosed,
      5000,
      "a link without a certificate is closed",
    );
    const silent = await siege.rogue.connect("w1");
    await siege.goesOn();
    assert.ok((await siege.net.host("w1").metric("smalti_links_refused_total")) > 0);
    silent?.close();
    for (const socket of sockets) socket.destroy();
  });

  test("a frame that is too long closes the link at once", async () => {
    const link = await siege.rogue.greet("w2");
    link.raw(Buffer.from([0xff, 0xff, 0xff, 0xff, 0]));
    await until(() => link.isClosed, 3000, "the link is closed");
    await siege.goesOn();
  });

  test("equivocation leaves evidence at those who saw it; the order goes on", async () => {
    const { rogue } = siege;
    const links = await siege.greetAll();
    const [one, two] = ["one", "two"].map((text) =>
      rogue.forge({ segments: [segmentOf(messageKinds.application, [Buffer.from(text)])] }),
    );
    assert.ok(one !== undefined && two !== undefined);
    rogue.release(one);
    for (const link of links) link.send({ type: "block", wire: two.wire });
    for (const name of honest) {
      const isKept = async (): Promise<boolean> =>
        (await siege.evidenceAt(name)).includes("equivocation w0");
      await until(isKept, 5000, `${name} keeps the evidence`);
    }
    await siege.goesOn();
  });

  test("a signed block that is invalid leaves evidence", async () => {
    const link = await siege.rogue.greet("w2");
    link.send({ type: "block", wire: invalid(9) });
    const isKept = async (): Promise<boolean> =>
      (await siege.evidenceAt("w2")).includes("invalid-block w0");
    await until(isKept, 5000, "w2 keeps the evidence");
    await siege.goesOn();
  });
});
