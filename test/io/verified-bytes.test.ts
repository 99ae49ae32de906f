import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { describe, test } from "node:test";
import { ContentClient } from "../../src/app/client/content-client.ts";
import { ChunkSums, type MirrorClient, NoHonestServerError } from "../../src/app/client/index.ts";
import { verifiedBytes } from "../../src/app/light/verified-bytes.ts";
import { type Digest, limits } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { chunksDigest } from "../../src/core/mirror/index.ts";

const chunk = limits.blobChunkBytes;

/** A client whose servers have these bytes, and say that they are the file. */
function clientWith(bytes: Buffer): MirrorClient {
  const sums = new ChunkSums();
  sums.update(bytes);
  const list = sums.list();
  return {
    chunkList: () => Promise.resolve(list),
    chunks: (_: unknown, __: unknown, { first, count }: { first: number; count: number }) =>
      Promise.resolve(new Uint8Array(bytes.subarray(first * chunk, (first + count) * chunk))),
    judgeChunks: () => undefined,
  } as unknown as MirrorClient;
}

/** A server of one blob that serves `served` for it. */
async function serverOf(content: Buffer, served: Buffer): Promise<{ url: string; server: Server }> {
  const sums = new ChunkSums();
  sums.update(content);
  const server = createServer((request, response) => {
    if (request.url?.endsWith("/chunks")) return void response.end(sums.list());
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
    const part = from === undefined ? served : served.subarray(Number(from), Number(to) + 1);
    response.writeHead(from === undefined ? 200 : 206).end(part);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

function fileOf(content: Buffer, chunksOf: Buffer) {
  const sums = new ChunkSums();
  sums.update(chunksOf);
  const digest: Digest = sha256(content);
  return {
    kind: "file",
    digest,
    size: content.length,
    executable: false,
    chunks: chunksDigest(sums.list()),
  } as const;
}

async function collect(
  client: MirrorClient,
  file: ReturnType<typeof fileOf>,
  start: number,
  end: number,
) {
  const got: Uint8Array[] = [];
  for await (const piece of verifiedBytes(client, { file, url: "/demo/f", start, end }, tmpdir()))
    got.push(piece);
  return Buffer.concat(got);
}

describe("large files through the proxy, chunk by chunk", () => {
  const right = randomBytes(9 * chunk + 17);

  test("any range, to the byte", async () => {
    const [client, file] = [clientWith(right), fileOf(right, right)];
    const ranges = [
      [0, right.length],
      [0, 1],
      [chunk - 1, chunk + 1],
      [3, 5 * chunk],
      [right.length - 1, right.length],
      [8 * chunk, right.length],
    ];
    for (const [start = 0, end = 0] of ranges)
      assert.deepEqual(
        await collect(client, file, start, end),
        right.subarray(start, end),
        `${start}-${end}`,
      );
  });

  test("a publisher and a server together cannot pass off other bytes as a file of that digest", async () => {
    const other = randomBytes(right.length);
    const got: Uint8Array[] = [];
    const passing = async (): Promise<void> => {
      const wanted = { file: fileOf(right, other), url: "/demo/f", start: 0, end: right.length };
      for await (const piece of verifiedBytes(clientWith(other), wanted, tmpdir())) got.push(piece);
    };
    await assert.rejects(passing(), NoHonestServerError);
    assert.ok(Buffer.concat(got).length < right.length, "never the whole");
  });

  test("who is right beside a publisher's wrong list of chunks is no liar; who is wrong beside a right one is", async () => {
    const wrong = Buffer.from(right);
    wrong[5 * chunk] = (wrong[5 * chunk] ?? 0) ^ 1;
    const servers = await Promise.all([serverOf(right, wrong), serverOf(right, right)]);
    const client = new ContentClient({ servers: servers.map(({ url }) => url) }) as MirrorClient;
    try {
      const misled = fileOf(right, randomBytes(right.length));
      await assert.rejects(client.chunkList(misled), NoHonestServerError);
      assert.deepEqual(client.lies, [], "all of them have another list than the publisher's");
      const file = fileOf(right, right);
      // A list that is the publisher's, from a friend: whose bytes differ from it may be right.
      const list = await client.chunkList(file);
      const bent = Buffer.from(list);
      bent.fill(0, 0, 32);
      await assert.rejects(
        client.chunks(misled, bent, { first: 0, count: 1 }),
        NoHonestServerError,
      );
      client.judgeChunks(misled.digest, false);
      assert.deepEqual(client.lies, []);
      assert.deepEqual(await collect(client, file, 0, right.length), right);
      assert.deepEqual(
        client.lies.map(({ server }) => server),
        [servers[0].url],
        "the whole is what its digest says: who sent other bytes lied",
      );
    } finally {
      for (const { server } of servers) server.close();
    }
  });
});
