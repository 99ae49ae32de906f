import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { describe, test } from "node:test";
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
  } as unknown as MirrorClient;
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
});
