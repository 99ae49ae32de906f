import assert from "node:assert/strict";
import {
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { bulkHead, exportTree, MirrorClient } from "../../src/app/client/index.ts";
import { Digest } from "../../src/core/base/index.ts";
import { Ed25519Verifier, sha256 } from "../../src/core/crypto/index.ts";
import { exportCollisions, type Leaf } from "../../src/core/mirror/index.ts";

/** Content by digest over HTTP, as every host serves it. */
function contentServer(blobs: ReadonlyMap<string, Buffer>): Server {
  return createServer((request, response) => {
    const digest = request.url?.split("/").at(-1) ?? "";
    const whole = blobs.get(digest);
    if (whole !== undefined) {
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      return void response.writeHead(start > 0 ? 206 : 200).end(whole.subarray(start));
    }
    let asked = "";
    request.on("data", (piece: Buffer) => {
      asked += piece.toString();
    });
    request.once("end", () => {
      const { digests } = JSON.parse(asked) as { digests: string[] };
      for (const name of digests) {
        const bytes = blobs.get(name) ?? Buffer.alloc(0);
        response.write(Buffer.concat([bulkHead(Digest(name), bytes.length), bytes]));
      }
      response.end();
    });
  });
}

describe("writing a tree to a directory touches nothing outside of it", () => {
  const blobs = new Map<string, Buffer>();
  const server = contentServer(blobs);
  let client: MirrorClient;
  let work: string;
  let out: string;
  let outside: string;
  const file = (bytes: string | Buffer): Leaf => {
    const buffer = Buffer.from(bytes);
    const digest = sha256(buffer);
    blobs.set(digest, buffer);
    return { kind: "file", digest, size: buffer.length, executable: false };
  };
  const big = (letter: string): Buffer => Buffer.alloc(200_000, letter);

  before(async () => {
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const trust = { network: {} as never, verifier: new Ed25519Verifier() };
    client = new MirrorClient({ trust, servers: [`http://127.0.0.1:${port}`] });
  });
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), "smalti-export-"));
    [out, outside] = [join(work, "out"), join(work, "outside")];
    await mkdir(out);
    await mkdir(outside);
    await writeFile(join(outside, "precious"), "precious\n");
  });
  afterEach(async () => {
    assert.deepEqual(await readdir(outside), ["precious"]);
    assert.equal(await readFile(join(outside, "precious"), "utf8"), "precious\n");
    await rm(work, { recursive: true, force: true });
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  test("a symbolic link where a directory belongs is not followed", async () => {
    await symlink(outside, join(out, "sub"));
    await assert.rejects(
      exportTree(client, new Map([["sub/new", file("x")]]), { directory: out }),
      {
        code: "UNSAFE_TARGET",
      },
    );
  });

  test("a symbolic link where a file belongs is replaced, for small and large files and their parts", async () => {
    for (const [name, leaf] of [
      ["s", file("small")],
      ["l", file(big("a"))],
    ] as const) {
      await symlink(join(outside, "precious"), join(out, name));
      await exportTree(client, new Map([[name, leaf]]), { directory: out });
      assert.ok((await lstat(join(out, name))).isFile());
      await symlink(join(outside, "precious"), join(out, `p${name}.smalti-part`));
      await exportTree(client, new Map([[`p${name}`, leaf]]), { directory: out }).catch(
        () => undefined,
      );
    }
  });

  test("a hard link to something outside in the place of a part is not written through", async () => {
    await link(join(outside, "precious"), join(out, "l.smalti-part"));
    await exportTree(client, new Map([["l", file(big("b"))]]), { directory: out }).catch(
      () => undefined,
    );
  });

  test("links of the tree are made as they are, and nothing is written through them", async () => {
    const leaves = new Map<string, Leaf>([
      ["a", { kind: "link", target: "../outside" }],
      ["b", file("b")],
    ]);
    await exportTree(client, leaves, { directory: out });
    await assert.rejects(
      exportTree(client, new Map([["a/precious", file("x")]]), { directory: out }),
      {
        code: "UNSAFE_TARGET",
      },
    );
  });

  test("a directory in the way of a file, a file in the way of a directory", async () => {
    await mkdir(join(out, "d"));
    await writeFile(join(out, "f"), "f");
    await assert.rejects(exportTree(client, new Map([["d", file("x")]]), { directory: out }), {
      code: "UNSAFE_TARGET",
    });
    await assert.rejects(exportTree(client, new Map([["f/x", file("x")]]), { directory: out }), {
      code: "UNSAFE_TARGET",
    });
  });

  test("a tree may hold names like those of unfinished downloads", async () => {
    const pairs = [
      [file("one"), file("two")],
      [file(big("c")), file("three")],
      [file("four"), file(big("d"))],
    ] as const;
    for (const [i, [leaf, part]] of pairs.entries()) {
      const leaves = new Map<string, Leaf>([
        [`x${i}.smalti-part`, part],
        [`x${i}`, leaf],
      ]);
      await exportTree(client, leaves, { directory: out });
      for (const [name, wanted] of leaves) {
        const bytes = await readFile(join(out, name));
        assert.equal(sha256(bytes), wanted.kind === "file" ? wanted.digest : "", name);
      }
    }
  });

  test("a tree may hold a directory with the name of an unfinished download", async () => {
    const leaves = new Map<string, Leaf>([
      ["y.smalti-part/z", file("z")],
      ["y", file("y")],
    ]);
    await exportTree(client, leaves, { directory: out });
    assert.equal(await readFile(join(out, "y"), "utf8"), "y");
  });

  test("names that are one after folding of case or Unicode are found", () => {
    const pairs = [
      ["README", "readme"],
      ["a/B/c", "A/b/c"],
      ["é", "e\u0301"],
      ["\u212a", "k"],
      ["straße", "STRASSE"],
      ["ΟΔΟΣ", "οδοσ"],
      ["ſ", "s"],
      ["ﬁ", "fi"],
      ["a\u200db", "ab"],
    ];
    const missed = pairs.filter((pair) => exportCollisions(pair).length === 0);
    assert.deepEqual(missed, []);
  });

  test("where the disk keeps such names apart, both are written", async () => {
    const leaves = new Map(["README", "readme", "é", "e\u0301"].map((name) => [name, file(name)]));
    await exportTree(client, leaves, { directory: out });
    for (const name of leaves.keys()) assert.equal(await readFile(join(out, name), "utf8"), name);
    assert.deepEqual((await readdir(out)).sort(), [...leaves.keys()].sort());
  });

  test("many files of one content are written in time that rises with their number", async (t) => {
    const leaf = file("");
    const timeOf = async (count: number): Promise<number> => {
      const names = Array.from({ length: count }, (_, i) => `same${count}/${i}`);
      const at = performance.now();
      await exportTree(client, new Map(names.map((name) => [name, leaf] as const)), {
        directory: out,
      });
      return performance.now() - at;
    };
    await timeOf(200);
    const [few, many] = [await timeOf(750), await timeOf(6000)];
    t.diagnostic(`750 files: ${few.toFixed(0)} ms, 6 000: ${many.toFixed(0)} ms`);
    // Eight times as many: 64 times as long if it were quadratic.
    assert.ok(many < 32 * few, `${(many / few).toFixed(1)} times as long`);
  });
});
