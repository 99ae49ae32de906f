import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, utimes } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { scanDirectory } from "../../src/app/client/index.ts";
import { openSource, type Source } from "../../src/app/import/index.ts";
import { put } from "../support/ecosystem.ts";
import { Upstream } from "../support/upstream.ts";

describe("sources as they really are", () => {
  let work: string;
  let archive: string;
  let upstream: Upstream;
  let count = 0;

  before(async () => {
    work = await mkdtemp(join(tmpdir(), "smalti-sources-"));
    archive = join(work, "archive");
    await put(join(archive, "here"), "");
    upstream = await Upstream.open(archive);
  });
  after(async () => {
    await upstream?.close();
    await rm(work, { recursive: true, force: true });
  });

  async function brought(
    source: Source,
    staging = join(work, `staging-${count++}`),
  ): Promise<{ readonly tree: string; readonly paths: readonly string[] }> {
    const tree = await source.bring(staging, {});
    return { tree, paths: [...(await scanDirectory(tree)).keys()] };
  }

  test("http: names of any sort, changes of kind, and a file that goes back to what it was", async () => {
    const directory = join(archive, "odd");
    const source = await openSource({ kind: "http", url: `${upstream.url}/odd` });
    const staging = join(work, "odd-staging");
    const contents = async (): Promise<Record<string, string>> => {
      const { tree, paths } = await brought(source, staging);
      const texts = paths.map(async (path) => [path, await readFile(join(tree, path), "utf8")]);
      return Object.fromEntries(await Promise.all(texts)) as Record<string, string>;
    };
    const old = new Date(Date.now() - 1e8);
    for (const name of ["x", "x.part", "tree", "unfinished", "validators.json", ".part"])
      await put(join(directory, name), name);
    await put(join(directory, "kind"), "a file");
    await utimes(join(directory, "x"), old, old);
    const first = await contents();
    assert.equal(first["x"], "x");
    assert.equal(first["x.part"], "x.part");
    assert.equal(Object.keys(first).length, 7);
    await rm(join(directory, "kind"));
    await put(join(directory, "kind/inside"), "a directory");
    await put(join(directory, "x"), "y");
    assert.deepEqual(
      Object.entries(await contents()).filter(([path]) => /^(x|kind)/.test(path)),
      Object.entries({ "kind/inside": "a directory", x: "y", "x.part": "x.part" }),
    );
    await put(join(directory, "x"), "x");
    await utimes(join(directory, "x"), old, old);
    await rm(join(directory, "kind"), { recursive: true });
    await put(join(directory, "kind"), "a file");
    assert.deepEqual(await contents(), first, "of an older date than what is here");
  });

  test("http: what a run that was broken off left is not taken for what the server then said", async () => {
    const answers = new Map<string, { readonly text: string; readonly etag: string }>();
    const server = createServer((request, response) => {
      const name = request.url?.slice(1) ?? "";
      const found = answers.get(name);
      if (name === "")
        response
          .writeHead(200, { "content-type": "text/html" })
          .end([...answers.keys()].map((one) => `<a href="${one}">`).join(""));
      else if (found === undefined || found.text === "broken") response.socket?.destroy();
      else response.writeHead(200, { etag: found.etag }).end(found.text);
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const source = await openSource({ kind: "http", url });
      const staging = join(work, "broken-off");
      answers.set("a", { text: "one", etag: '"1"' });
      await brought(source, staging);
      answers.set("a", { text: "two", etag: '"2"' }).set("b", { text: "broken", etag: '"b"' });
      await assert.rejects(brought(source, staging));
      answers.set("a", { text: "one", etag: '"1"' }).delete("b");
      const { tree } = await brought(source, staging);
      assert.equal(await readFile(join(tree, "a"), "utf8"), "one");
    } finally {
      server.close();
    }
  });

  test("http: a listing that leads into itself ends where no path goes on", async () => {
    let pages = 0;
    const server = createServer((_, response) => {
      pages++;
      response.writeHead(200, { "content-type": "text/html" }).end('<a href="a/">a</a>');
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const omitted: string[] = [];
      const source = await openSource({ kind: "http", url });
      await source.bring(join(work, "deep"), { onOmitted: (path) => void omitted.push(path) });
      assert.ok(pages < 200, `${pages} pages`);
      assert.equal(omitted.length, 1);
    } finally {
      server.close();
    }
  });

  test("http: a directory that is listed and not there is an error; a file is named", async () => {
    const page = (links: readonly string[]): Buffer =>
      Buffer.from(links.map((link) => `<a href="${link}">${link}</a>`).join("\n"));
    const server = createServer((request, response) => {
      const pages: Readonly<Record<string, Buffer>> = {
        "/ok/": page(["../", "a", "gone", "%FF", "a%09b", "?C=N", "/elsewhere"]),
        "/bad/": page(["a", "sub/"]),
      };
      const found = pages[request.url ?? ""];
      if (found !== undefined) response.writeHead(200, { "content-type": "text/html" }).end(found);
      else if (request.url?.endsWith("/a") === true) response.writeHead(200).end("a");
      else response.writeHead(404).end();
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const bad = await openSource({ kind: "http", url: `${url}/bad` });
      await assert.rejects(bad.bring(join(work, "bad"), {}), /sub\/ is listed, and not there/);
      const omitted = new Map<string, string>();
      const ok = await openSource({ kind: "http", url: `${url}/ok` });
      const onOmitted = (path: string, why: string): void => void omitted.set(path, why);
      const tree = await ok.bring(join(work, "ok"), { onOmitted });
      assert.deepEqual([...(await scanDirectory(tree)).keys()], ["a"]);
      assert.deepEqual([...omitted].sort(), [
        ["/%FF", "the name is not UTF-8"],
        ["/a%09b", "a control character"],
        ["gone", "it is listed, and not there"],
      ]);
    } finally {
      server.close();
    }
  });

  test("apt: a flat archive, with and without a Release file; a name that leads out is refused", async () => {
    const directory = join(archive, "flat");
    await put(join(directory, "pool/p.deb"), "a package");
    const about = (path: string): string => {
      const sha256 = createHash("sha256").update("a package").digest("hex");
      return `Package: p\nFilename: ${path}\nSize: 9\nSHA256: ${sha256}\n`;
    };
    await put(join(directory, "Packages"), about("./pool/p.deb"));
    const url = `${upstream.url}/flat`;
    const source = await openSource({ kind: "apt", url }, { suites: ["./"] });
    assert.deepEqual((await brought(source)).paths, ["Packages", "pool/p.deb"]);
    const index = await readFile(join(directory, "Packages"));
    const sum = createHash("sha256").update(index).digest("hex");
    const release = (name: string): string =>
      `Origin: x\nSHA256:\n ${sum} ${index.length} ${name}\n`;
    await put(join(directory, "Release"), release("Packages"));
    assert.deepEqual((await brought(source)).paths, ["Packages", "Release", "pool/p.deb"]);
    const none = await openSource({ kind: "apt", url: `${upstream.url}/none` }, { suites: ["./"] });
    await assert.rejects(brought(none), /has no Packages or Sources/);
    await put(join(directory, "Release"), release("../../../out"));
    await assert.rejects(brought(source), /an index names the path/);
    await put(join(directory, "Release"), release("Packages"));
    await put(join(directory, "Packages"), about("../../out"));
    await rm(join(directory, "Release"));
    await assert.rejects(brought(source), /an index names the path/);
  });
});
