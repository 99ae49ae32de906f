import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request as plainRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { sha256 } from "../../src/core/crypto/index.ts";
import { put } from "../support/ecosystem.ts";
import { type Net, startNet } from "../support/net.ts";

const install = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";
const packument = {
  name: "@a/b",
  versions: {
    "1.0.0": { dist: { tarball: "https://registry.npmjs.org/@a/b/-/b-1.0.0.tgz" } },
    "2.0.0": { dist: { tarball: "https://registry.npmjs.org/@a/b/-/b-2.0.0.tgz" } },
  },
};

describe("views for clients that need the address of the server", () => {
  let net: Net;
  let work: string;
  let base: string;

  before(async () => {
    net = await startNet({ writers: 1, readers: 1 });
    base = net.host("r0").http;
    work = await mkdtemp(join(tmpdir(), "smalti-derived-"));
    await put(join(work, "@a/b/index.json"), JSON.stringify(packument));
    await put(join(work, "@a/b/-/b-2.0.0.tgz"), "a tarball");
    await put(join(work, "config.json"), '{"dl":"./crates/{crate}-{version}.crate","api":"x"}');
    await put(join(work, "other/config.json"), '{"path":"./x"}');
    await net.must("publish", work, "reg");
    await net.agree(1);
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  type Versions = { versions: Record<string, { dist: { tarball: string } }> };
  const tarballs = async (path: string, host = base): Promise<string[]> => {
    const answer = await fetch(`${host}${path}`, { headers: { accept: install } });
    assert.equal(answer.status, 200);
    const { versions } = (await answer.json()) as Versions;
    return Object.values(versions).map(({ dist }) => dist.tarball);
  };

  test("a packument names tarballs that are here by this server's address, others as they are", async () => {
    const away = "https://registry.npmjs.org/@a/b/-/b-1.0.0.tgz";
    assert.deepEqual(await tarballs("/reg/@a%2fb"), [away, `${base}/reg/@a/b/-/b-2.0.0.tgz`]);
    assert.equal(await (await fetch(`${base}/reg/@a/b/-/b-2.0.0.tgz`)).text(), "a tarball");
    assert.deepEqual(await tarballs("/@1/reg/@a/b"), [away, `${base}/@1/reg/@a/b/-/b-2.0.0.tgz`]);
    // Whoever asks for the file itself gets the file, bit by bit.
    for (const headers of [{}, { accept: "application/json" }, { accept: install }]) {
      const plain = await fetch(`${base}/reg/@a/b/index.json`, { headers });
      assert.equal(await plain.text(), JSON.stringify(packument));
    }
  });

  test("it has its own validator and digest, and no cache shares it", async () => {
    const headers = { accept: install };
    const answer = await fetch(`${base}/reg/@a%2fb`, { headers });
    const digest = sha256(Buffer.from(await answer.text()));
    assert.equal(answer.headers.get("etag"), `"${digest}"`);
    assert.equal(
      answer.headers.get("repr-digest"),
      `sha-256=:${Buffer.from(digest, "hex").toString("base64")}:`,
    );
    assert.match(answer.headers.get("cache-control") ?? "", /private/);
    assert.match(answer.headers.get("vary") ?? "", /accept, host/);
    const again = await fetch(`${base}/reg/@a%2fb`, {
      headers: { ...headers, "cache-control": "max-age=0", "if-none-match": `"${digest}"` },
    });
    assert.equal(again.status, 304);
    const stored = sha256(Buffer.from(JSON.stringify(packument)));
    const other = await fetch(`${base}/reg/@a%2fb`, {
      headers: { ...headers, "cache-control": "max-age=0", "if-none-match": `"${stored}"` },
    });
    assert.equal(other.status, 200);
    const head = await fetch(`${base}/reg/@a%2fb`, { method: "HEAD", headers });
    assert.equal(head.headers.get("etag"), `"${digest}"`);
    const part = await fetch(`${base}/reg/@a%2fb`, { headers: { ...headers, range: "bytes=0-3" } });
    assert.equal(part.status, 200);
    assert.equal(sha256(Buffer.from(await part.text())), digest);
  });

  test("Cargo is told where its registry is; nobody else is, nor of other files of that name", async () => {
    const config = async (path: string, agent: string): Promise<unknown> =>
      (await fetch(`${base}${path}`, { headers: { "user-agent": agent } })).json();
    assert.deepEqual(await config("/reg/config.json", "cargo 1.95.0"), {
      dl: `${base}/reg/crates/{crate}-{version}.crate`,
      api: "x",
    });
    assert.deepEqual(await config("/reg/config.json", "curl/8"), {
      dl: "./crates/{crate}-{version}.crate",
      api: "x",
    });
    assert.deepEqual(await config("/reg/other/config.json", "cargo 1.95.0"), { path: "./x" });
  });

  test("a Host that is no address changes nothing", async () => {
    for (const host of ["evil.example/path?", 'a"b', "a b", "user@host"]) {
      const text = await new Promise<string>((resolve, reject) => {
        const { hostname, port } = new URL(base);
        const options = { hostname, port, path: "/reg/@a%2fb", headers: { host, accept: install } };
        plainRequest(options, (answer) => {
          let said = "";
          answer.on("data", (piece: Buffer) => {
            said += piece.toString();
          });
          answer.on("end", () => resolve(said));
        })
          .on("error", reject)
          .end();
      });
      assert.ok(text.startsWith("{"), text);
      if (text.includes("versions")) assert.equal(text, JSON.stringify(packument), host);
    }
  });

  test("no signature is under what does not stand at the path: an honest host cannot convict itself", async () => {
    const headers = { "accept-signature": `sig1=();nonce="${"ab".repeat(16)}"` };
    const direct = await fetch(`${base}/reg/@a/b/-/b-2.0.0.tgz`, { headers });
    assert.ok(direct.headers.get("signature"), "a file at its path is signed");
    for (const accept of [install, "application/json"]) {
      for (const path of ["/reg/@a/b", "/reg/@a%2fb", "/reg/@a/b/"]) {
        const answer = await fetch(`${base}${path}`, { headers: { ...headers, accept } });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get("signature"), null, `${path} for ${accept}`);
      }
    }
    const cargo = await fetch(`${base}/reg/config.json`, {
      headers: { ...headers, "user-agent": "cargo 1" },
    });
    assert.equal(cargo.headers.get("signature"), null);
  });

  test("behind a proxy, the address that the operator gives", async () => {
    const reader = net.host("r0");
    await reader.end();
    const file = join(reader.host.home, "config", "config.toml");
    await put(
      file,
      (await readFile(file, "utf8")).replace(
        "[http]",
        '[http]\nexternal = "https://mirror.example/"',
      ),
    );
    await reader.start();
    assert.deepEqual(
      (await tarballs("/reg/@a%2fb"))[1],
      "https://mirror.example/reg/@a/b/-/b-2.0.0.tgz",
    );
  });
});
