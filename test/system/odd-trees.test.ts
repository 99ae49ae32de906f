import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Prng } from "../../src/core/base/index.ts";
import { HostileServer } from "../support/hostile-server.ts";
import { LightProcess } from "../support/light.ts";
import { seedOf } from "../support/load.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { type OddTree, OddTrees, readTree, writeTree } from "../support/odd-tree.ts";
import { publishText } from "../support/publishing.ts";
import { fetchRaw, talk } from "../support/raw-http.ts";

describe("trees as they really are, and clients as they ask", () => {
  let net: Net;
  let light: LightProcess;
  let servers: readonly string[];
  const at = (...names: string[]): string => join(net.directory, ...names);

  before(async () => {
    net = await startNet({ writers: 4, readers: 1, logLevel: "warn" });
    servers = [...net.hosts.values()].map(({ http }) => http);
    await net.agree(await publishText(net, { tree: "first", name: "x", text: "1" }));
    light = await LightProcess.start(net, servers);
  });
  after(async () => {
    await light?.end();
    await net?.stop();
  });

  async function publish(directory: string, tree: string, ...flags: string[]): Promise<number> {
    const said = await net.must("publish", directory, tree, "-o", "json", ...flags);
    const { height } = JSON.parse(said) as { height: number };
    await net.agree(height);
    const shown = async (): Promise<number> =>
      Number((await fetchRaw(light.url, "/first/x")).headers["smalti-height"]);
    await until(async () => (await shown()) >= height, 20_000, `light shows height ${height}`);
    return height;
  }

  /** Whether a path leads through a link, or is one. */
  function isBehindLink(path: string, tree: OddTree): boolean {
    const names = path.split("/");
    return names.some((_, i) => tree.get(names.slice(0, i + 1).join("/"))?.kind === "link");
  }

  test("two equal directories: got, verified, compared, audited, published over and read through light", async () => {
    const tree: OddTree = new Map([
      ["a/x", { kind: "file", bytes: "s\n", executable: false }],
      ["b/x", { kind: "file", bytes: "s\n", executable: false }],
      ["c/a/x", { kind: "file", bytes: "s\n", executable: false }],
    ]);
    await writeTree(at("equal"), tree);
    const first = await publish(at("equal"), "equal");
    for (const server of servers) {
      await rm(at("copy"), { recursive: true, force: true });
      await net.must("get", "equal", at("copy"), "--from", server);
      assert.deepEqual(await readTree(at("copy")), tree);
    }
    await net.must("verify", at("copy"), "equal");
    tree.set("d/x", { kind: "file", bytes: "s\n", executable: false });
    await writeTree(at("equal"), tree);
    const second = await publish(at("equal"), "equal");
    const said = await net.must("diff", "equal", String(first), String(second));
    assert.match(said, /d\/x/);
    await net.must("audit", net.host("r0").http, "--full");
    for (const path of ["a/x", "b/x", "c/a/x", "d/x"])
      assert.equal((await fetchRaw(light.url, `/equal/${path}`)).body.toString(), "s\n");
    await net.must("import", "dir", at("copy"), "equal-again", "-o", "json");
  });

  test("random trees of all odd kinds, against a file system the dumb way", async () => {
    const seed = seedOf("odd-trees");
    const random = new Prng(seed);
    const trees = new OddTrees(random);
    const past: { height: number; tree: OddTree }[] = [];
    let tree: OddTree = new Map();
    for (let round = 0; round < 8; round++) {
      const before = tree;
      tree = trees.next(before);
      const isSame = JSON.stringify([...before].sort()) === JSON.stringify([...tree].sort());
      if (isSame || tree.size === 0) continue;
      await writeTree(at("odd"), tree);
      const height = await publish(at("odd"), "odd", "--delete", "--max-delete", "100%");
      past.push({ height, tree });
      const server = servers[random.below(servers.length)] ?? "";
      await rm(at("got"), { recursive: true, force: true });
      await net.must("get", "odd", at("got"), "--from", server);
      assert.deepEqual(await readTree(at("got")), tree, `seed ${seed}, round ${round}`);
      await net.must("verify", at("odd"), "odd", "--from", server);
      const [old] = past.slice(random.below(past.length));
      assert.ok(old);
      await rm(at("old"), { recursive: true, force: true });
      await net.must("get", "odd", at("old"), "--height", String(old.height), "--from", server);
      assert.deepEqual(await readTree(at("old")), old.tree, `height ${old.height}`);
      const [path, thing] = [...tree].find(([, { kind }]) => kind === "file") ?? [];
      if (path === undefined || thing?.kind !== "file") continue;
      const url = `/odd/${path.split("/").map(encodeURIComponent).join("/")}`;
      for (const base of [server, light.url]) {
        const answer = await fetchRaw(base, url);
        assert.equal(answer.status, 200, `${base}${url}`);
        assert.ok(answer.body.equals(Buffer.from(thing.bytes)), url);
      }
    }
    assert.ok(past.length >= 5);
    await net.must("audit", net.host("r0").http, "--full");
    // HTTP tells no links and no modes: what stands in the tree as a file arrives as it is, and a link as what it leads to.
    const last = past.at(-1);
    assert.ok(last !== undefined);
    for (const [i, base] of [net.host("w1").http, net.host("r0").http, light.url].entries()) {
      await net.must("import", "http", `${base}/odd/`, `odd-again-${i}`, "--no-strict");
      await rm(at("again"), { recursive: true, force: true });
      await net.must("get", `odd-again-${i}`, at("again"));
      const again = await readTree(at("again"));
      for (const [path, thing] of last.tree) {
        if (thing.kind !== "file") continue;
        const there = again.get(path);
        assert.ok(there?.kind === "file", `${path} was imported from ${base}`);
        assert.equal(there.bytes, thing.bytes, path);
      }
      for (const [path, there] of again)
        assert.ok(
          there.kind === "file" && (last.tree.has(path) || isBehindLink(path, last.tree)),
          path,
        );
    }
  });

  test("a directory becomes a file and a file a directory: with --delete; without it is said why not", async () => {
    const one: OddTree = new Map([["kind/x", { kind: "file", bytes: "1", executable: false }]]);
    const two: OddTree = new Map([["kind", { kind: "file", bytes: "2", executable: false }]]);
    await writeTree(at("kinds"), one);
    await publish(at("kinds"), "kinds");
    for (const next of [two, one]) {
      await writeTree(at("kinds"), next);
      const refused = await net.run("publish", at("kinds"), "kinds");
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /"kind" is a (directory|file or a link) in the tree.*--delete/);
      await publish(at("kinds"), "kinds", "--delete");
      await rm(at("kinds-got"), { recursive: true, force: true });
      await net.must("get", "kinds", at("kinds-got"));
      assert.deepEqual(await readTree(at("kinds-got")), next);
    }
  });

  test("an empty directory deletes no tree; what cannot be in a tree is named", async () => {
    mkdirSync(at("many"));
    for (let i = 0; i < 20; i++) writeFileSync(at("many", `f${i}`), `${i}`);
    await publish(at("many"), "many");
    await mkdir(at("none"));
    const emptied = await net.run("publish", at("none"), "many", "--delete");
    assert.equal(emptied.code, 1);
    assert.match(emptied.stderr, /20 of 20 files of "many" would be deleted.*--max-delete 100%/);
    const imported = await net.run("import", "dir", at("none"), "many");
    assert.match(imported.stderr, /would be deleted/);
    const raw = Buffer.concat([Buffer.from(`${at("many")}/`), Buffer.from("odd-\xff", "latin1")]);
    await writeFile(raw, "x");
    symlinkSync("f1", at("many", "link"));
    const said = JSON.parse(await net.must("publish", at("many"), "many", "-o", "json")) as {
      omitted: { path: string; why: string }[];
    };
    assert.deepEqual(
      said.omitted.map(({ why }) => why),
      ["the name is not UTF-8"],
    );
    const strict = await net.run("publish", at("many"), "many", "--strict");
    assert.equal(strict.code, 1);
    assert.match(strict.stderr, /1 of what .* cannot be in a tree; nothing was published/);
    const lenient = await net.run("import", "dir", at("many"), "many");
    assert.equal(lenient.code, 1, "an import is strict by itself");
    await net.must("import", "dir", at("many"), "many", "--no-strict");
  });

  describe("what clients ask", () => {
    const hosts = (): readonly string[] => [net.host("w0").http, net.host("r0").http, light.url];
    const everywhere = async (check: (base: string) => Promise<void>): Promise<void> => {
      for (const base of hosts()) await check(base);
    };

    before(async () => {
      const files = {
        "flat/Packages": "Package: x\n",
        "odd/three.txt": "abc",
        "read.txt": "text",
      };
      for (const [path, text] of Object.entries(files)) {
        await mkdir(at("asked", path, ".."), { recursive: true });
        await writeFile(at("asked", path), text);
      }
      await publish(at("asked"), "asked");
      const manifest = { schemaVersion: 2, config: {}, layers: [] };
      const index = { schemaVersion: 2, manifests: [] };
      for (const [name, value] of Object.entries({ latest: manifest, all: index })) {
        await mkdir(at("oci", "app", "manifests"), { recursive: true });
        await writeFile(at("oci", "app", "manifests", name), JSON.stringify(value));
      }
      await mkdir(at("oci", "app", "tags"), { recursive: true });
      await writeFile(at("oci", "app", "tags", "list"), '{"name":"app","tags":["latest"]}');
      await publish(at("oci"), "v2");
    });

    test("targets that other servers normalise are served as what they mean", () =>
      everywhere(async (base) => {
        const { host } = new URL(base);
        const same = {
          "/asked/flat/./Packages": "Package: x\n",
          "/asked//flat///Packages": "Package: x\n",
          "/asked/none/../flat/Packages": "Package: x\n",
          "/asked/flat/%2e/Packages": "Package: x\n",
          "/asked/flat/%2E%2e/read.txt": "text",
          [`http://${host}/asked/read.txt`]: "text",
        };
        for (const [target, text] of Object.entries(same)) {
          const request = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
          const said = await talk(base, request);
          assert.match(said, /^HTTP\/1.1 200 /, `${base} ${target}: ${said.slice(0, 300)}`);
          assert.equal(said.split("\r\n\r\n")[1], text, target);
        }
        for (const target of ["/../etc/passwd", "/asked/../../x", "/%2e%2e/x"]) {
          const request = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
          assert.match(await talk(base, request), /^HTTP\/1.1 400 /, target);
        }
      }));

    test("two Host fields are refused, and what the framework refuses looks like all refusals", () =>
      everywhere(async (base) => {
        const two = await talk(
          base,
          "GET /asked/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        );
        assert.match(two, /^HTTP\/1.1 400 [\s\S]*"code":"BAD_REQUEST"/);
        const long = await fetchRaw(base, "/.smalti/nothing/here");
        assert.equal(long.status, 404);
        assert.deepEqual(Object.keys(JSON.parse(long.body.toString()) as object), [
          "code",
          "message",
        ]);
      }));

    test("conditions that a client sets are kept", () =>
      everywhere(async (base) => {
        const is = await fetchRaw(base, "/asked/read.txt");
        const etag = String(is.headers.etag);
        const ask = async (headers: Record<string, string>): Promise<number> =>
          (await fetchRaw(base, "/asked/read.txt", { headers })).status;
        assert.equal(await ask({ "if-match": `"x", ${etag}` }), 200);
        assert.equal(await ask({ "if-match": "*" }), 200);
        assert.equal(await ask({ "if-match": '"x"' }), 412);
        assert.equal(await ask({ "if-unmodified-since": "Mon, 01 Jan 2001 00:00:00 GMT" }), 412);
        assert.equal(
          await ask({ "if-unmodified-since": String(is.headers["last-modified"]) }),
          200,
        );
        assert.equal(
          await ask({ "if-unmodified-since": "2001" }),
          200,
          "what is no date is ignored",
        );
        assert.equal(is.headers["content-type"], "text/plain; charset=utf-8");
        const later = Date.parse(String(is.headers["last-modified"]));
        assert.ok(
          later <= Date.parse(String(is.headers.date)),
          "never of a later time than its own",
        );
      }));

    test("a memento says so each time, where its original is, and that the newest can be asked for a time", () =>
      everywhere(async (base) => {
        const height = (await net.host("w0").status()).height;
        for (let i = 0; i < 3; i++) {
          const { headers } = await fetchRaw(base, `/@${height}/asked/read.txt`);
          assert.ok(
            !Number.isNaN(Date.parse(String(headers["memento-datetime"]))),
            `${base}, ${i}`,
          );
          assert.match(String(headers["link"]), /<\/asked\/read.txt>; rel=original/);
          const newest = await fetchRaw(base, "/asked/read.txt");
          assert.match(String(newest.headers.vary), /accept-datetime/);
        }
        const bad = await fetchRaw(base, "/asked/read.txt", {
          headers: { "accept-datetime": "2026" },
        });
        assert.equal(bad.status, 400);
        assert.match(bad.body.toString(), /BAD_TIME/);
      }));

    test("an OCI client meets no field that it could misread, types as registries deduce them, and their errors", () =>
      everywhere(async (base) => {
        const tags = await fetchRaw(base, "/v2/app/tags/list");
        assert.equal(tags.headers["link"], undefined);
        assert.equal(tags.headers.vary, undefined);
        const types = {
          latest: "application/vnd.oci.image.manifest.v1+json",
          all: "application/vnd.oci.image.index.v1+json",
        };
        for (const [name, type] of Object.entries(types)) {
          const { headers } = await fetchRaw(base, `/v2/app/manifests/${name}`);
          assert.equal(headers["content-type"], type);
          assert.equal(headers["link"], undefined);
        }
        const none = await fetchRaw(base, "/v2/app/manifests/none");
        assert.equal(none.status, 404);
        const { errors } = JSON.parse(none.body.toString()) as { errors: { code: string }[] };
        assert.equal(errors[0]?.code, "MANIFEST_UNKNOWN");
      }));

    test("a whole tile has no width", async () => {
      const base = net.host("r0").http;
      for (const width of ["0", "256", "999"])
        assert.equal((await fetchRaw(base, `/.smalti/tile/0/000.p/${width}`)).status, 400, width);
      assert.equal((await fetchRaw(base, "/.smalti/tile/0/000.p/1")).status, 200);
    });
  });

  test("a file that changes while it is published is named, and nobody else", async () => {
    await mkdir(at("moving"));
    for (let i = 0; i < 40; i++) await writeFile(at("moving", `f${i}`), "x".repeat(200_000) + i);
    const writer = await HostileServer.open(net.host("w0").http);
    try {
      // The directory is read when the update arrives, and none of its content is sent yet.
      writer.trick = async ({ method }) => {
        if (method !== "GET") await writeFile(at("moving", "f39"), "another");
        return false;
      };
      const ran = await net.run("publish", at("moving"), "moving", "--from", writer.url);
      assert.notEqual(ran.code, 0);
      assert.match(ran.stderr, /f39 changed while it was published; run again/);
      assert.doesNotMatch(ran.stderr, /does not keep|liar/);
    } finally {
      await writer.close();
    }
  });
});
