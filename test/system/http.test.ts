import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Net, startNet, until } from "../support/net.ts";
import { type Publisher, publisherOf } from "../support/publisher.ts";
import { type Answer, curl, fetchRaw, talk } from "../support/raw-http.ts";

const odd = [
  "a b.txt",
  "h#sh.txt",
  "what?.txt",
  "100%.txt",
  "ünï漢.txt",
  "<script>.txt",
  "q\"uo'te&.txt",
  "a:b.txt",
  "+plus.txt",
];
const sizes = [0, 1, 131_072, 131_073, 5 * 1024 * 1024];
const links: Readonly<Record<string, string>> = {
  good: "sub/inner.txt",
  up: "sub/../a b.txt",
  outside: "../../etc/passwd",
  absolute: "/etc/passwd",
  loop: "loop",
  dangling: "nowhere",
  current: "sub",
};

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function urlOf(name: string): string {
  return `/demo/${name.split("/").map(encodeURIComponent).join("/")}`;
}

describe("unmodified clients of the gateway", () => {
  let net: Net;
  let work: string;
  let source: string;
  let publisher: Publisher;
  const blobs = new Map<number, Buffer>();
  const at = (): string => net.host("w0").http;
  const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    fetchRaw(at(), path, { headers });
  const publish = async (): Promise<number> => {
    const height = await publisher.publish(source, "demo");
    await net.agree(height);
    return height;
  };

  before(async () => {
    net = await startNet({ writers: 4, readers: 1, logLevel: "warn" });
    publisher = await publisherOf(net);
    work = await mkdtemp(join(tmpdir(), "smalti-http-"));
    source = join(work, "src");
    for (const name of ["sub", "docs", "npm/@scope"]) {
      await mkdir(join(source, name), { recursive: true });
    }
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  test("before anything is published every path says so, and proofs are 404", async () => {
    for (const path of ["/", "/demo/", "/demo/x", "/@1/demo/x", "/.smalti/checkpoint"]) {
      const { status, headers } = await get(path);
      assert.equal(status, 404, path);
      assert.equal(headers["cache-control"], "no-store", path);
    }
    assert.equal((await get("/.smalti/head?height=1")).status, 404);
  });

  test("a tree with odd names, links and all sizes is published", async () => {
    for (const name of odd) await writeFile(join(source, name), `${name}\n`);
    for (const size of sizes) {
      const bytes = randomBytes(size);
      blobs.set(size, bytes);
      await writeFile(join(source, `size-${size}`), bytes);
    }
    await writeFile(join(source, "sub", "inner.txt"), "inner\n");
    await writeFile(join(source, "docs", "index.html"), "<h1>index</h1>");
    await writeFile(join(source, "npm", "@scope", "name"), "package\n");
    for (const [name, target] of Object.entries(links)) await symlink(target, join(source, name));
    assert.equal(await publish(), 1);
  });

  test("odd names: each is listed safely, and the link in the list leads to it", async () => {
    const { status, headers, body } = await get("/demo/");
    assert.equal(status, 200);
    assert.match(String(headers["content-type"]), /^text\/html; charset=utf-8/);
    const page = body.toString();
    assert.ok(!page.includes("<script>"), "a name is no markup");
    const hrefs = [...page.matchAll(/<a href="([^"]+)"/g)].map(([, href = ""]) => href);
    const base = `${at()}/demo/`;
    for (const name of odd) {
      const href = hrefs.find((item) => decodeURIComponent(item) === name) ?? "";
      const { pathname } = new URL(href, base);
      const file = await get(pathname);
      assert.deepEqual([file.status, file.body.toString()], [200, `${name}\n`], name);
    }
  });

  test("a name with a backslash keeps it: on Linux it is no separator", async () => {
    await writeFile(join(source, "back\\slash.txt"), "backslash\n");
    await publish();
    await unlink(join(source, "back\\slash.txt"));
    const file = await get("/demo/back%5Cslash.txt");
    assert.deepEqual([file.status, file.body.toString()], [200, "backslash\n"]);
  });

  test("directories: 301 to the slash, also of a height; a slash after a file is 404", async () => {
    for (const path of ["/demo", "/demo/sub", "/@1/demo/sub"]) {
      const { status, headers } = await get(path);
      assert.deepEqual([status, headers.location], [301, `${path}/`], path);
    }
    assert.equal((await get("/demo/sub/inner.txt/")).status, 404);
    assert.equal((await get("/demo//sub/")).status, 200, "slashes in a row are one");
    assert.equal((await get("/demo/docs/")).body.toString(), "<h1>index</h1>");
    assert.equal((await get("/demo/npm/@scope%2fname")).body.toString(), "package\n");
  });

  test("the page of a height: /@1 redirects to /@1/, else its relative links lead to the newest", async () => {
    const { status, headers } = await get("/@1");
    assert.deepEqual([status, headers.location], [301, "/@1/"]);
  });

  test("headers: digest, validators, caching; HEAD says the same without a body", async () => {
    for (const [size, bytes] of blobs) {
      const path = `/demo/size-${size}`;
      const whole = await get(path);
      assert.ok(whole.body.equals(bytes), path);
      const { headers } = whole;
      assert.equal(headers.etag, `"${sha256(bytes)}"`);
      const digest = createHash("sha256").update(bytes).digest("base64");
      assert.equal(headers["repr-digest"], `sha-256=:${digest}:`);
      assert.equal(headers["content-length"], String(size));
      assert.equal(headers["accept-ranges"], "bytes");
      assert.equal(headers["cache-control"], "no-cache");
      assert.ok(headers["last-modified"] !== undefined);
      const head = await fetchRaw(at(), path, { method: "HEAD" });
      assert.deepEqual([head.status, head.body.length], [200, 0]);
      for (const name of [
        "etag",
        "content-length",
        "repr-digest",
        "last-modified",
        "accept-ranges",
      ]) {
        assert.equal(head.headers[name], headers[name], name);
      }
    }
  });

  test("pinned heights are immutable; unknown ones are 404 and never cached", async () => {
    const pinned = await get("/@1/demo/size-1");
    assert.equal(pinned.headers["cache-control"], "public, max-age=31536000, immutable");
    for (const path of [
      "/@999/demo/size-1",
      "/@999999999999999/",
      "/@0/",
      "/@x/demo",
      "/@-1/demo/",
    ]) {
      const { status, headers } = await get(path);
      assert.ok(status === 404 || status === 400, `${path}: ${status}`);
      assert.equal(headers["cache-control"], "no-store", path);
    }
  });

  test("conditional requests", async () => {
    const { headers } = await get("/demo/size-131073");
    const [etag = "", modified = ""] = [headers.etag, headers["last-modified"]];
    for (const value of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const same = await get("/demo/size-131073", { "if-none-match": value });
      assert.equal(same.status, 304, value);
      assert.equal(same.body.length, 0);
      for (const name of ["etag", "last-modified", "cache-control", "repr-digest"]) {
        assert.equal(same.headers[name], headers[name], name);
      }
      assert.ok(
        [undefined, "131073"].includes(same.headers["content-length"]),
        "no false length on 304",
      );
    }
    assert.equal((await get("/demo/size-131073", { "if-none-match": '"x"' })).status, 200);
    assert.equal((await get("/demo/size-131073", { "if-modified-since": modified })).status, 304);
    const old = new Date(Date.parse(modified) - 1000).toUTCString();
    assert.equal((await get("/demo/size-131073", { "if-modified-since": old })).status, 200);
    const both = { "if-none-match": '"x"', "if-modified-since": modified };
    assert.equal((await get("/demo/size-131073", both)).status, 200);
    assert.equal((await get("/demo/size-131073", { "if-modified-since": "nonsense" })).status, 200);
  });

  test("ranges: first, middle, last N, one beyond, several, other units", async () => {
    for (const size of [131_072, 5 * 1024 * 1024]) {
      const bytes = blobs.get(size) ?? Buffer.alloc(0);
      const cases: readonly (readonly [string, number, number])[] = [
        ["bytes=0-0", 0, 1],
        ["bytes=5-9", 5, 10],
        [`bytes=${size - 3}-`, size - 3, size],
        ["bytes=-7", size - 7, size],
        [`bytes=100-${size * 2}`, 100, size],
      ];
      for (const [range, start, end] of cases) {
        const part = await get(`/demo/size-${size}`, { range });
        assert.equal(part.status, 206, range);
        assert.equal(part.headers["content-range"], `bytes ${start}-${end - 1}/${size}`, range);
        assert.ok(part.body.equals(bytes.subarray(start, end)), range);
        assert.equal(part.headers.etag, `"${sha256(bytes)}"`);
      }
      for (const range of ["bytes=0-1,5-6", "lines=1-2", "bytes=x", "bytes=9-5"]) {
        const { status } = await get(`/demo/size-${size}`, { range });
        assert.ok(status === 200 || status === 416, `${range}: ${status}`);
      }
    }
  });

  test("a range beyond the end: 416, the true length, and no digest of another representation", async () => {
    for (const range of ["bytes=1-", "bytes=1-5", "bytes=-0"]) {
      const { status, headers } = await get("/demo/size-1", { range });
      assert.deepEqual([status, headers["content-range"]], [416, "bytes */1"], range);
      assert.equal(
        headers["repr-digest"],
        undefined,
        "the body of a 416 is not the file (RFC 9530)",
      );
    }
    assert.equal(
      (await get("/demo/size-0", { range: "bytes=0-" })).headers["content-range"],
      "bytes */0",
    );
  });

  test("the last N bytes of a file with fewer are all of it (RFC 9110 §14.1.2)", async () => {
    const { status, headers } = await get("/demo/size-131072", { range: "bytes=-999999" });
    assert.deepEqual([status, headers["content-range"]], [206, "bytes 0-131071/131072"]);
  });

  test("If-Range: only the same strong validator gives a part", async () => {
    const { headers } = await get("/demo/size-131073");
    const [etag = "", modified = ""] = [headers.etag, headers["last-modified"]];
    const ask = (condition: string): Promise<Answer> =>
      get("/demo/size-131073", { range: "bytes=0-9", "if-range": condition });
    assert.equal((await ask(etag)).status, 206);
    assert.equal((await ask(modified)).status, 206);
    for (const other of [`W/${etag}`, '"x"', new Date(0).toUTCString()]) {
      assert.equal((await ask(other)).status, 200, other);
    }
  });

  test("symbolic links inside the tree are followed, also to and through directories", async () => {
    assert.equal((await get("/demo/good")).body.toString(), "inner\n");
    assert.equal((await get("/demo/up")).body.toString(), "a b.txt\n");
    assert.equal((await get("/demo/current")).headers.location, "/demo/current/");
    assert.match((await get("/demo/current/")).body.toString(), /inner\.txt/);
    assert.equal((await get("/demo/current/inner.txt")).body.toString(), "inner\n");
  });

  test("symbolic links that lead out, nowhere or round in circles give nothing", async () => {
    for (const name of ["outside", "absolute", "loop", "dangling"]) {
      const { status, body } = await get(`/demo/${name}`);
      assert.ok(status === 403 || status === 404, `${name}: ${status}`);
      assert.ok(!body.toString().includes("root:"));
    }
  });

  test("Last-Modified is the same on all hosts and never goes back, links included", async () => {
    const stamps = async (path: string): Promise<number[]> => {
      const answers = await Promise.all(
        [...net.hosts.values()].map(({ http }) => fetchRaw(http, path)),
      );
      return answers.map(({ headers }) => Date.parse(String(headers["last-modified"])));
    };
    const waitASecond = async (since: number): Promise<void> => {
      while (Math.floor(Date.now() / 1000) <= since / 1000 + 1)
        await fetchRaw(at(), "/.smalti/status.json");
    };
    await writeFile(join(source, "v1"), "1\n");
    await publish();
    await waitASecond(Date.now());
    await writeFile(join(source, "v2"), "2\n");
    await symlink("v2", join(source, "latest"));
    await publish();
    const [first = 0, ...others] = await stamps("/demo/latest");
    assert.ok(others.every((stamp) => stamp === first));
    await waitASecond(first);
    await unlink(join(source, "latest"));
    await symlink("v1", join(source, "latest"));
    await publish();
    const [second = 0] = await stamps("/demo/latest");
    assert.ok(second > first, "the link changed after it was first served");
    const asked = await get("/demo/latest", { "if-modified-since": new Date(first).toUTCString() });
    assert.deepEqual([asked.status, asked.body.toString()], [200, "1\n"]);
  });

  test("a change within the same second is not hidden from If-Modified-Since", async () => {
    const path = "/demo/fast";
    let hidden = 0;
    for (let i = 0; i < 3; i++) {
      await writeFile(join(source, "fast"), `a${i}\n`);
      await publish();
      const { headers } = await get(path);
      await writeFile(join(source, "fast"), `b${i}\n`);
      await publish();
      const again = await get(path, { "if-modified-since": String(headers["last-modified"]) });
      if (again.status !== 200) hidden++;
    }
    assert.equal(hidden, 0);
  });

  test("other methods are refused with 405 and what is allowed", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const { status, headers } = await fetchRaw(at(), "/demo/size-1", { method, body: "x" });
      assert.deepEqual([status, headers["allow"]], [405, "GET, HEAD"], method);
    }
  });

  test("curl: download, resume after a cut, HEAD, time condition", async () => {
    const size = 5 * 1024 * 1024;
    const bytes = blobs.get(size) ?? Buffer.alloc(0);
    const file = join(work, "resumed");
    await writeFile(file, bytes.subarray(0, 1_234_567));
    const url = `${at()}/demo/size-${size}`;
    assert.equal((await curl("-C", "-", "-o", file, url)).code, 0);
    assert.ok((await readFile(file)).equals(bytes));
    assert.match((await curl("-I", url)).stdout, /200 OK[\s\S]*content-length: 5242880/i);
    const { stdout } = await curl("-z", "2099-01-01", "-o", "/dev/null", "-w", "%{http_code}", url);
    assert.ok(["200", "304"].includes(stdout), stdout);
    assert.equal((await curl("--compressed", `${at()}${urlOf("a b.txt")}`)).stdout, "a b.txt\n");
  });

  test("large files: whole to many at once, slow ones too; whoever leaves leaves no open file behind", async () => {
    const big = join(work, "big");
    await mkdir(big);
    // More than the buffers of a connection take.
    const bytes = randomBytes(40 * 1024 * 1024);
    await writeFile(join(big, "file"), bytes);
    await net.agree(await publisher.publish(big, "big"));
    const wanted = sha256(bytes);
    const port = Number(new URL(at()).port);
    const slowly = async (): Promise<string> => {
      const socket = connect(port, "127.0.0.1");
      socket.write("GET /big/file HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
      const pieces: Buffer[] = [];
      for await (const piece of socket) {
        if (pieces.length % 100 === 0) await sleep(50);
        pieces.push(piece as Buffer);
      }
      return sha256(Buffer.concat(pieces).subarray(-bytes.length));
    };
    const whole = async (): Promise<string> => sha256((await get("/big/file")).body);
    for (const sum of await Promise.all([slowly(), whole(), slowly(), whole()]))
      assert.equal(sum, wanted);
    const openFiles = async (): Promise<number> => {
      const fds = `/proc/${net.host("w0").pid}/fd`;
      const links = (await readdir(fds)).map((fd) => readlink(join(fds, fd)).catch(() => ""));
      return (await Promise.all(links)).filter((target) => target.includes("/large/")).length;
    };
    const leave = async (i: number): Promise<void> => {
      const socket = connect(port, "127.0.0.1");
      // Three in a row: the last ones wait for the first.
      socket.write("GET /big/file HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3));
      if (i % 2 === 0) await once(socket, "data");
      else await sleep(i);
      socket.destroy();
    };
    for (let i = 0; i < 20; i++) await leave(i);
    await until(async () => (await openFiles()) === 0, 20_000, "no file is open");
    assert.equal(await whole(), wanted);
  });

  test("raw requests: keep-alive pipelines, HTTP/1.0, junk", async () => {
    const line = "GET /demo/size-0 HTTP/1.1\r\nhost: x\r\n";
    const two = await talk(at(), `${line}\r\n${line}connection: close\r\n\r\n`);
    assert.equal(two.split("HTTP/1.1 200").length, 3);
    assert.match(
      await talk(at(), "GET /demo/sub/inner.txt HTTP/1.0\r\n\r\n"),
      /200 OK[\s\S]*inner\n$/,
    );
    assert.match(await talk(at(), "HELO there\r\n\r\n"), /^HTTP\/1\.1 400/);
    assert.match(
      await talk(at(), "GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
      / 400 /,
    );
  });
});
