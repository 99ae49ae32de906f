import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { type ClientRequest, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bulkHead } from "../../src/app/client/index.ts";
import { Digest } from "../../src/core/base/index.ts";
import { encode } from "../../src/core/codec/index.ts";
import { segmentOf, segmentValue } from "../../src/core/consensus/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { type Change, type ChangeList, signPolicy } from "../../src/core/mirror/index.ts";
import { loadKeyFile } from "../../src/io/files/index.ts";
import { HttpFuzzer } from "../support/http-fuzz.ts";
import { seedOf } from "../support/load.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { type Publisher, publisherOf } from "../support/publisher.ts";
import { type Answer, type Exchange, fetchRaw, rssMiB, talk } from "../support/raw-http.ts";

const binary = { "content-type": "application/octet-stream" };
const stream = { "content-type": "application/vnd.smalti.stream" };
const id = "ab".repeat(32);
const updates = "/.smalti/v1/updates";
const routes: readonly (readonly [string, string])[] = [
  ["POST", updates],
  ["POST", "/.smalti/v1/policy"],
  ["POST", "/.smalti/v1/log"],
  ["POST", "/.smalti/v1/blobs"],
  ["POST", "/.smalti/v1/nodes"],
  ["PUT", `${updates}/${id}/changes`],
  ["POST", `${updates}/${id}/blobs`],
  ["PUT", `${updates}/${id}/blobs/${id}`],
  ["POST", `${updates}/${id}/submit`],
];
const paths = [
  "/../../../../etc/passwd",
  "/demo/../../../../etc/passwd",
  "/demo/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
  "/demo/..%2f..%2f..%2fetc%2fpasswd",
  "/demo/%252e%252e%252fetc",
  "/demo/..%5c..%5cetc",
  "/demo/..\\..\\etc",
  "/demo/%00",
  "/demo/a%00.txt",
  "/demo/%c0%ae%c0%ae/etc/passwd",
  "/demo/%e0%80%ae%e0%80%ae/",
  "/demo/%ff%fe",
  "/demo/%u002e%u002e/",
  "/demo/....//....//etc/passwd",
  "//etc/passwd",
  "/@1/../../config/keys/node.json",
  "/@1%2f..%2f..%2fconfig",
  "/.smalti/blob/sha256/..%2f..%2fguard",
  "/.smalti/blob/sha256/%2e%2e",
  `/.smalti/v1/updates/..%2f${id}`,
  `/demo/${"a/".repeat(300)}`,
  `/demo/${"a".repeat(6000)}`,
  `/demo/${"%2e".repeat(2000)}`,
];

describe("hostile clients of a host", () => {
  let net: Net;
  let publisher: Publisher;
  let work: string;
  const at = (): string => net.host("w0").http;
  const ask = (method: string, path: string, exchange: Exchange = {}): Promise<Answer> =>
    fetchRaw(at(), path, { method, ...exchange });
  const put = (path: string, body: Uint8Array): Promise<Answer> =>
    ask("PUT", path, { headers: stream, body });
  const open = (wire: Uint8Array): Promise<Answer> =>
    ask("POST", updates, { headers: binary, body: wire });
  const linkTo = (target: string): Change[] => [
    { path: "link", leaf: { kind: "link", target }, expect: "anything" },
  ];
  const listOf = (changes: readonly Change[]): ChangeList => ({
    tree: "evil",
    baseHeight: 0,
    changes,
  });
  const refused = (answer: Answer, what: string): void =>
    assert.ok(
      answer.status >= 400 && answer.status < 500,
      `${what}: ${answer.status} ${answer.body.toString().slice(0, 200)}`,
    );
  /** An open update whose change list is here. */
  const opened = async (changes: readonly Change[]): Promise<string> => {
    const { update, bytes } = publisher.sign(listOf(changes));
    assert.equal((await open(update.wire)).status, 200);
    assert.equal((await put(`${updates}/${update.id}/changes`, bytes)).status, 200);
    return `${updates}/${update.id}`;
  };
  const fileOf = (bytes: Uint8Array, size = bytes.length): Change => {
    const leaf = { kind: "file" as const, digest: sha256(bytes), size, executable: false };
    return { path: `f${size}`, leaf, expect: "anything" };
  };

  before(async () => {
    net = await startNet({ writers: 4, readers: 0, logLevel: "warn" });
    publisher = await publisherOf(net);
    work = await mkdtemp(join(tmpdir(), "smalti-hostile-"));
    await writeFile(join(work, "file"), "content\n");
    await net.agree(await publisher.publish(work, "demo"));
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  test("no path leads out", async () => {
    for (const path of paths) refused(await ask("GET", path), path);
    const raw = await talk(
      at(),
      "GET /demo/\u0000/../x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    assert.match(raw, /^HTTP\/1\.1 4\d\d/);
  });

  test("headers without end are cut off", async () => {
    const long = `GET / HTTP/1.1\r\nhost: x\r\nx: ${"a".repeat(10 * 1024 * 1024)}`;
    assert.match(await talk(at(), long), /^(HTTP\/1\.1 431|$)/);
    const many = `GET / HTTP/1.1\r\nhost: x\r\n${"x: y\r\n".repeat(100_000)}\r\n`;
    assert.match(await talk(at(), many), /^(HTTP\/1\.1 431|$)/);
  });

  test("junk to every route is the sender's fault: an answer in time, and never 5xx", async () => {
    const bodies = [
      Buffer.alloc(0),
      randomBytes(1000),
      Buffer.alloc(60_000, 0x81),
      Buffer.from("{}"),
      Buffer.from("null"),
    ];
    for (const [method, path] of routes) {
      for (const body of bodies) {
        for (const type of [
          "application/octet-stream",
          "application/json",
          "application/vnd.smalti.stream",
          "text/plain",
        ]) {
          const answer = await ask(method, path, {
            body,
            headers: { "content-type": type },
            waitMs: 4000,
          });
          const what = `${method} ${path} ${type} ${body.length}`;
          if (answer.status !== 200) refused(answer, what);
        }
      }
    }
  });

  test("drawn requests to all routes: an answer in time, and no error of ours", async () => {
    const known = { paths: ["/demo/file", "/demo", "/none/x"], digests: [id] };
    const fuzzer = new HttpFuzzer(seedOf("http"), known);
    for (let i = 0; i < 400; i++) {
      const fault = await fuzzer.once(at());
      assert.equal(fault, undefined, `request ${i}: ${fault?.why} ${fault?.request}`);
    }
  });

  test("bodies that are too long, with and without a length", async () => {
    const body = Buffer.alloc(2 * 1024 * 1024);
    for (const [method, path] of routes) {
      for (const headers of [
        binary,
        { ...binary, "transfer-encoding": "chunked", "content-length": "" },
      ]) {
        const { "content-length": _, ...sent } = headers as Record<string, string>;
        const answer = await ask(method, path, { body, headers: sent, waitMs: 4000 }).catch(
          (error: unknown) => String(error),
        );
        if (typeof answer !== "string") refused(answer, `${method} ${path}`);
        else assert.match(answer, /ECONNRESET|EPIPE|socket hang up/, `${method} ${path}`);
      }
    }
  });

  test("what the update does not say is refused, as the sender's fault", async () => {
    const content = randomBytes(1000);
    const url = await opened([fileOf(content)]);
    const bulk = (bytes: Uint8Array, digest = sha256(bytes)): Buffer =>
      Buffer.concat([bulkHead(Digest(digest), bytes.length), bytes]);
    const post = (body: Uint8Array): Promise<Answer> =>
      ask("POST", `${url}/blobs`, { headers: stream, body });
    refused(await post(bulk(randomBytes(10))), "a blob that is not named");
    refused(await post(bulk(randomBytes(1000), sha256(content))), "other bytes");
    refused(await post(bulk(content.subarray(1), sha256(content))), "another size");
    refused(await post(bulk(content).subarray(0, 500)), "cut short");
    refused(
      await post(Buffer.concat([bulkHead(sha256(content), 0xffff_ffff), content])),
      "an item without end",
    );
    refused(
      await put(`${url}/blobs/${sha256(content)}?offset=5`, content),
      "an offset beyond what is there",
    );
    refused(await put(`${url}/blobs/${sha256(content)}?offset=-1`, content), "a negative offset");
    refused(
      await put(`${url}/blobs/${sha256(content)}`, randomBytes(1000)),
      "other bytes, as a large blob",
    );
    refused(await put(`${url}/blobs/${sha256(content)}`, Buffer.alloc(1001)), "too many bytes");
    refused(await put(`${url}/changes`, Buffer.alloc(5000)), "a change list that is too long");
    refused(await ask("POST", `${url}/submit`), "an update that is not complete");
  });

  test("records: unknown publisher, another network, a false size, one blob of two sizes", async () => {
    const { update } = publisher.sign(listOf(linkTo("x")), { group: Digest("cd".repeat(32)) });
    refused(await open(update.wire), "another network");
    const stranger = await loadKeyFile(net.testnet.administratorKey, "administrator");
    refused(
      await open(
        publisher.sign(listOf(linkTo("x")), { publisher: stranger.publicKey }).update.wire,
      ),
      "a false key",
    );
    const content = randomBytes(100);
    const two = [fileOf(content, 1), fileOf(content, 100)].map((change, i) => ({
      ...change,
      path: `p${i}`,
    }));
    const bent = publisher.sign(listOf(two));
    assert.equal((await open(bent.update.wire)).status, 200);
    const taken = await put(`${updates}/${bent.update.id}/changes`, bent.bytes);
    refused(taken, "one digest with two sizes");
  });

  test("a record that names a change list of another length cannot be submitted", async () => {
    const { update, bytes } = publisher.sign(listOf(linkTo("y")));
    await open(update.wire);
    await put(`${updates}/${update.id}/changes`, bytes);
    const changes = { digest: update.record.changes.digest, bytes: bytes.length + 1 };
    const bent = publisher.signBytes("evil", bytes, { changes });
    const answer = await open(bent.wire);
    if (answer.status === 200)
      refused(await ask("POST", `${updates}/${bent.id}/submit`), "the submit");
  });

  test("what is settled already is not ordered again, whoever replays it", async () => {
    const administrator = await loadKeyFile(net.testnet.administratorKey, "administrator");
    const { publicKey, signer } = administrator;
    const grant = { publisher: publisher.key.publicKey, name: "p", trees: ["*"] };
    const record = {
      group: publisher.trust.network.group,
      administrator: publicKey,
      version: 0,
      ...grant,
    };
    const { wire, id: change } = signPolicy(record, signer);
    const post = (): Promise<Answer> =>
      ask("POST", "/.smalti/v1/policy", { headers: binary, body: wire });
    assert.equal((await post()).status, 200);
    const isSettled = async (): Promise<boolean> =>
      (await ask("GET", `${updates}/${change}?wait=5`)).body.toString().includes('"settled"');
    await until(isSettled, 10_000, "the policy is settled");
    for (let i = 0; i < 20; i++) await post();
    const { messages } = await net.host("w0").status();
    assert.equal(messages, 0);
    await publisher.publish(work, "again");
    const ignored = await net.host("w0").metric('smalti_dropped_total{code="DUPLICATE_UPDATE"}');
    assert.equal(ignored, 0, "replays were ordered");
  });

  test("appends over the limits", async () => {
    const append = (kind: number, messages: readonly Uint8Array[]): Promise<Answer> =>
      ask("POST", "/.smalti/v1/log", {
        headers: binary,
        body: encode(segmentValue(segmentOf(kind, messages))),
      });
    refused(
      await append(
        0,
        Array.from({ length: 5 }, () => Buffer.alloc(60_000)),
      ),
      "262144 bytes and more",
    );
    refused(await append(1, [Buffer.from("x")]), "an update as a message");
    refused(await append(0, []), "no message");
    const lengths = Buffer.alloc(4);
    lengths.writeUInt32LE(65_537);
    const long = encode([0, lengths, Buffer.alloc(65_537)]);
    refused(
      await ask("POST", "/.smalti/v1/log", { headers: binary, body: long }),
      "a message that is too long",
    );
  });

  const waitAt = (
    path: string,
    count: number,
    { codes, onEnd }: { readonly codes: Map<number, number>; readonly onEnd?: (i: number) => void },
  ): ClientRequest[] => {
    const { hostname, port } = new URL(at());
    return Array.from({ length: count }, (_, i) => {
      const sent = request({ hostname, port, path, agent: false }, (answer) => {
        codes.set(answer.statusCode ?? 0, (codes.get(answer.statusCode ?? 0) ?? 0) + 1);
        answer.resume();
        answer.on("error", () => undefined);
        answer.on("end", () => onEnd?.(i));
      });
      sent.on("error", () => undefined);
      sent.end();
      return sent;
    });
  };

  test("long polls beyond the limit are answered early, the oldest first; nobody else waits for them", async () => {
    const codes = new Map<number, number>();
    const waiting = waitAt("/.smalti/v1/commits?after=999999999&size=999999999&wait=25", 1100, {
      codes,
    });
    await until(() => (codes.get(200) ?? 0) >= 76, 10_000, "the surplus is answered");
    assert.ok((codes.get(200) ?? 0) < 1000, "and not all of them");
    for (const path of [
      "/.smalti/status.json",
      "/demo/file",
      "/.smalti/head",
      "/.smalti/v1/commits?after=0",
    ]) {
      const { status } = await ask("GET", path);
      if (status !== 200) for (const one of waiting) one.destroy();
      assert.equal(status, 200, path);
    }
    for (const one of waiting) one.destroy();
  });

  test("of tail streams beyond limits.httpWaitersMax the oldest end", async () => {
    const codes = new Map<number, number>();
    const ended = new Set<number>();
    const onEnd = (i: number): unknown => ended.add(i);
    const tails = waitAt("/.smalti/v1/log?from=0", 1100, { codes, onEnd });
    await until(() => ended.size >= 76, 10_000, "the surplus ends");
    const open = tails.length - ended.size;
    for (const one of tails) one.destroy();
    assert.ok(open > 900, `${open} streams are open`);
  });

  test("hundreds that ask for a large file and do not read it: others are served, and memory is bounded", async (t) => {
    await writeFile(join(work, "large"), Buffer.alloc(64 << 20, "large"));
    await net.agree(await publisher.publish(work, "demo"));
    const { hostname, port } = new URL(at());
    const host = net.host("w0");
    const before = await rssMiB(host.pid);
    const greedy = Array.from({ length: 1500 }, () => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.on("error", () => undefined);
      socket.once("connect", () => {
        socket.pause();
        socket.write("GET /demo/large HTTP/1.1\r\nhost: x\r\n\r\n");
      });
      return socket;
    });
    const waits: number[] = [];
    let most = before;
    for (let i = 0; i < 40; i++) {
      const startedMs = performance.now();
      assert.equal((await ask("GET", "/demo/file")).status, 200);
      waits.push(performance.now() - startedMs);
      most = Math.max(most, await rssMiB(host.pid));
      await sleep(100);
    }
    for (const socket of greedy) socket.destroy();
    await rm(join(work, "large"));
    const longest = Math.round(Math.max(...waits));
    t.diagnostic(
      `${before} MiB before, ${most} at most; the longest wait of another ${longest} ms`,
    );
    assert.ok(most < before + 600, `${most} MiB`);
  });

  test("afterwards: all hosts run, stay small, keep nothing that is not theirs, and publish", async () => {
    await writeFile(join(work, "file"), "content, newer\n");
    await net.agree(await publisher.publish(work, "demo"));
    for (const host of net.hosts.values()) {
      assert.ok(host.isRunning, `${host.host.name}:\n${host.log.slice(-1000)}`);
      assert.ok((await rssMiB(host.pid)) < 500, host.host.name);
      assert.deepEqual((await readdir(host.host.home)).sort(), ["config", "data"]);
    }
  });
});
