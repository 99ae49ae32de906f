import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { scanDirectory } from "../../src/app/client/index.ts";
import { type Claim, openSource, type Source, SourceError } from "../../src/app/import/index.ts";
import { freePorts } from "../../src/app/setup/index.ts";
import type { Digest } from "../../src/core/base/index.ts";
import { endsWithUs } from "../support/children.ts";
import { contentOf, must, put } from "../support/ecosystem.ts";
import { ecosystems } from "../support/ecosystems.ts";
import { until } from "../support/net.ts";
import { needTools } from "../support/tools.ts";
import { Upstream } from "../support/upstream.ts";

/** What an import brings, and what somebody else sees when he looks for himself. */
describe("archives that are elsewhere", () => {
  let work: string;
  let upstream: Upstream;
  let archive: string;

  before(async () => {
    needTools("git", "rsync", "gpgv", "apt-ftparchive", "gpg", "dpkg-deb", "npm", "python3");
    work = await mkdtemp(join(tmpdir(), "smalti-import-"));
    archive = join(work, "archive");
    for (const name of ["apt", "npm", "pip", "git"]) {
      await mkdir(join(archive, name), { recursive: true });
      await ecosystems.get(name)?.make(join(archive, name), 1);
    }
    upstream = await Upstream.open(archive);
  });
  after(async () => {
    await upstream?.close();
    await rm(work, { recursive: true, force: true });
  });

  interface Brought {
    readonly directory: string;
    readonly claims: readonly Claim[];
    look(source: Source, claims?: readonly Claim[]): Promise<readonly string[]>;
  }

  let count = 0;
  async function brought(
    source: Source,
    staging = join(work, `staging-${count++}`),
  ): Promise<Brought> {
    const directory = await source.bring(staging, {});
    const local = await scanDirectory(directory);
    const claims = [...local].map(([path, { leaf }]): Claim => ({ path, leaf }));
    const at = join(work, `work-${count++}`);
    const look = async (by: Source, about = claims): Promise<readonly string[]> => {
      await mkdir(at, { recursive: true });
      const doubts = await by.witness(about, {
        work: at,
        bytes: (path) => readFile(join(directory, path)),
        file: async (path) => join(directory, path),
      });
      return doubts.map(({ path }) => path).sort();
    };
    return { directory, claims, look };
  }

  const other = "00".repeat(32) as Digest;
  /** The claim with one byte's difference in content. */
  const bent = (claims: readonly Claim[], path: string): Claim[] =>
    claims.map((claim) =>
      claim.path === path && claim.leaf.kind === "file"
        ? { path, leaf: { ...claim.leaf, digest: other } }
        : claim,
    );
  const foreign = (path: string): Claim => ({
    path,
    leaf: { kind: "file", digest: other, size: 3, executable: false },
  });
  const paths = ({ claims }: Brought): string[] => claims.map(({ path }) => path);

  test("a directory: files, links, the executable bit; nothing by way of a link", async () => {
    const directory = join(work, "plain");
    await put(join(directory, "a/file"), "one");
    await put(join(directory, "run"), "two");
    await chmod(join(directory, "run"), 0o755);
    await symlink("a/file", join(directory, "link"));
    await symlink("a", join(directory, "alias"));
    const source = await openSource({ kind: "dir", url: directory });
    const now = await brought(source);
    assert.deepEqual(paths(now), ["a/file", "alias", "link", "run"]);
    assert.deepEqual(await now.look(source), []);
    assert.deepEqual(await now.look(source, bent(now.claims, "a/file")), ["a/file"]);
    const file = now.claims.find(({ path }) => path === "a/file");
    assert.ok(file?.leaf.kind === "file");
    assert.deepEqual(await now.look(source, [{ path: "alias/file", leaf: file.leaf }]), [
      "alias/file",
    ]);
    assert.deepEqual(
      await now.look(source, [{ path: "a/file", leaf: { ...file.leaf, executable: true } }]),
      ["a/file"],
    );
    assert.deepEqual(
      await now.look(source, [{ path: "link", leaf: { kind: "link", target: "run" } }]),
      ["link"],
    );
    await assert.rejects(async () => openSource({ kind: "dir", url: "relative" }), SourceError);
  });

  test("rsync: as its daemon has it, and what is gone goes", async () => {
    const [port = 0] = await freePorts(1);
    const module = join(work, "module");
    await put(join(module, "x/file"), "one");
    await put(join(module, "old"), "two");
    await symlink("x/file", join(module, "link"));
    const config = join(work, "rsyncd.conf");
    const owner = `uid = ${process.getuid?.() ?? 0}\ngid = ${process.getgid?.() ?? 0}\n`;
    await writeFile(
      config,
      `port = ${port}\naddress = 127.0.0.1\nuse chroot = no\n[m]\npath = ${module}\n${owner}`,
    );
    const daemon = endsWithUs(
      spawn("rsync", ["--daemon", "--no-detach", `--config=${config}`], { stdio: "ignore" }),
    );
    try {
      const source = await openSource({ kind: "rsync", url: `rsync://127.0.0.1:${port}/m` });
      const staging = join(work, "rsync-staging");
      await until(
        () =>
          source.bring(staging, {}).then(
            () => true,
            () => false,
          ),
        10_000,
        "rsync answers",
      );
      const now = await brought(source, staging);
      assert.deepEqual(paths(now), ["link", "old", "x/file"]);
      assert.deepEqual(await now.look(source), []);
      assert.deepEqual(await now.look(source, bent(now.claims, "x/file")), ["x/file"]);
      assert.deepEqual(await now.look(source, [foreign("no/such")]), ["no/such"]);
      await rm(join(module, "old"));
      assert.deepEqual(paths(await brought(source, staging)), ["link", "x/file"]);
      assert.deepEqual(await now.look(source), ["old"]);
    } finally {
      daemon.kill("SIGKILL");
    }
    await assert.rejects(async () => openSource({ kind: "rsync", url: "--rsh=evil" }), SourceError);
  });

  test("http: the listings of a server, again and again; only what changed is fetched", async () => {
    const directory = join(archive, "files");
    await put(join(directory, "c++/a b.txt"), "one");
    await put(join(directory, "äöü %41#?.bin"), contentOf("http", 1, 200_000));
    const source = await openSource({ kind: "http", url: `${upstream.url}/files` });
    const staging = join(work, "http-staging");
    const now = await brought(source, staging);
    assert.deepEqual(paths(now), ["c++/a b.txt", "äöü %41#?.bin"]);
    assert.deepEqual(await now.look(source), []);
    const later = new Date(Date.now() + 5000);
    await put(join(directory, "c++/a b.txt"), "two");
    await (await import("node:fs/promises")).utimes(join(directory, "c++/a b.txt"), later, later);
    await rm(join(directory, "äöü %41#?.bin"));
    const then = await brought(source, staging);
    assert.deepEqual(paths(then), ["c++/a b.txt"]);
    assert.equal(await readFile(join(then.directory, "c++/a b.txt"), "utf8"), "two");
    assert.deepEqual(await now.look(source), ["c++/a b.txt", "äöü %41#?.bin"]);
    await assert.rejects(
      async () =>
        (await openSource({ kind: "http", url: `${upstream.url}/none` })).bring(staging, {}),
      /nothing is there/,
    );
    await assert.rejects(async () => openSource({ kind: "http", url: "file:///etc" }), SourceError);
  });

  test("apt: what the signed suite names, by-hash too; a changed package is refused", async () => {
    const url = `${upstream.url}/apt`;
    const keyring = join(archive, "apt/key.gpg");
    const source = await openSource({ kind: "apt", url }, { suites: ["stable"], keyring });
    const now = await brought(source);
    const got = paths(now);
    for (const path of [
      "dists/stable/InRelease",
      "dists/stable/main/binary-all/Packages",
      "pool/main/demo_1.0_all.deb",
    ])
      assert.ok(got.includes(path), `${path} in ${got.join(" ")}`);
    assert.ok(
      got.some((path) => /by-hash\/SHA512\/[0-9a-f]{128}$/.test(path)),
      got.join(" "),
    );
    assert.deepEqual(await now.look(source), []);
    assert.deepEqual(await now.look(source, bent(now.claims, "pool/main/demo_1.0_all.deb")), [
      "pool/main/demo_1.0_all.deb",
    ]);
    upstream.lies.set("/apt/pool/main/demo_1.0_all.deb", Buffer.from("not a package"));
    await assert.rejects(
      source.bring(join(work, "apt-lie"), {}),
      /demo_1\.0_all\.deb has 13 bytes/,
    );
    const whole = await readFile(join(archive, "apt/pool/main/demo_1.0_all.deb"));
    upstream.lies.set("/apt/pool/main/demo_1.0_all.deb", Buffer.alloc(whole.length));
    await assert.rejects(source.bring(join(work, "apt-lie"), {}), /is not what its index says/);
    upstream.lies.clear();
    const release = await readFile(join(archive, "apt/dists/stable/InRelease"), "utf8");
    upstream.lies.set(
      "/apt/dists/stable/InRelease",
      Buffer.from(release.replace("Suite: stable", "Suite: faible")),
    );
    await assert.rejects(source.bring(join(work, "apt-lie"), {}), /gpgv/);
    upstream.lies.clear();
    const none = await openSource({ kind: "apt", url }, { suites: ["none"] });
    await assert.rejects(none.bring(join(work, "apt-none"), {}), /has no suite none/);
  });

  test("npm: chosen packages, their tarballs checked; a packument says nothing that the registry does not", async () => {
    const url = `${upstream.url}/npm`;
    // The registry's own documents name itself.
    const file = join(archive, "npm/@demo/thing/index.json");
    await put(
      file,
      (await readFile(file, "utf8")).replace("registry.invalid/", "registry.invalid/npm/"),
    );
    const source = await openSource({ kind: "npm", url }, { packages: ["@demo/thing"] });
    const now = await brought(source);
    assert.deepEqual(paths(now), ["@demo/thing/-/thing-1.0.0.tgz", "@demo/thing/index.json"]);
    const anybody = await openSource({ kind: "npm", url });
    assert.deepEqual(await now.look(anybody), []);
    assert.deepEqual(await now.look(anybody, bent(now.claims, "@demo/thing/-/thing-1.0.0.tgz")), [
      "@demo/thing/-/thing-1.0.0.tgz",
    ]);
    const packument = join(now.directory, "@demo/thing/index.json");
    const honest = await readFile(packument, "utf8");
    for (const lie of [
      honest.replace(/"integrity":"[^"]+"/, '"integrity":"sha512-AAAA"'),
      honest.replace('"latest":"1.0.0"', '"latest":"2.0.0"'),
      honest.replace('"name":', '"access":"evil","name":'),
      honest.replace('"versions":', '"versions":{},"versions":'),
      honest.replace(
        '"versions":{',
        '"versions":{"9.0.0":{"dist":{"tarball":"http://evil.invalid/x.tgz"}},',
      ),
    ]) {
      assert.notEqual(lie, honest);
      await writeFile(packument, lie);
      assert.deepEqual(await now.look(anybody), ["@demo/thing/index.json"]);
    }
    await writeFile(packument, honest);
    assert.deepEqual(await now.look(anybody, [foreign("evil.html")]), ["evil.html"]);
    upstream.lies.set("/npm/@demo/thing/-/thing-1.0.0.tgz", Buffer.from("evil"));
    await assert.rejects(source.bring(join(work, "npm-lie"), {}), /integrity/);
    upstream.lies.clear();
    const lock = join(work, "package-lock.json");
    await put(
      lock,
      JSON.stringify({
        lockfileVersion: 3,
        packages: { "": { name: "x" }, "node_modules/@demo/thing": { version: "1.0.0" } },
      }),
    );
    const locked = await brought(await openSource({ kind: "npm", url }, { lock }));
    assert.deepEqual(paths(locked), paths(now));
    const absent = await openSource({ kind: "npm", url }, { packages: ["@demo/thing@7.0.0"] });
    await assert.rejects(
      absent.bring(join(work, "npm-none"), {}),
      /there is no @demo\/thing@7\.0\.0/,
    );
  });

  test("pypi: from JSON and from HTML, the same pages for everybody", async () => {
    const url = `${upstream.url}/pip/simple`;
    const source = await openSource({ kind: "pypi", url }, { packages: ["Demo==1.0"] });
    const now = await brought(source);
    const all = [
      "files/demo/demo-1.0-py3-none-any.whl",
      "simple/demo/index.html",
      "simple/demo/index.json",
    ];
    assert.deepEqual(paths(now), all);
    const anybody = await openSource({ kind: "pypi", url });
    assert.deepEqual(await now.look(anybody), []);
    assert.deepEqual(await now.look(anybody, bent(now.claims, all[0] ?? "")), [all[0]]);
    for (const [name, from, to] of [
      ["index.html", /sha256=[0-9a-f]{8}/, "sha256=00000000"],
      ["index.html", "../../files", "http://evil.invalid/files"],
      ["index.json", /"sha256": "[0-9a-f]{8}/, '"sha256": "00000000'],
    ] as const) {
      const page = join(now.directory, "simple/demo", name);
      const honest = await readFile(page, "utf8");
      await writeFile(page, honest.replace(from, to));
      assert.notEqual(await readFile(page, "utf8"), honest);
      assert.deepEqual(await now.look(anybody), [`simple/demo/${name}`]);
      await writeFile(page, honest);
    }
    // The same index with JSON (PEP 691), and metadata of its own for a wheel (PEP 658).
    const [wheel, metadata] = [
      "demo-1.0-py3-none-any.whl",
      "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
    ];
    await put(join(archive, "pip/packages", `${wheel}.metadata`), metadata);
    const files = [
      {
        filename: wheel,
        url: `../../packages/${wheel}`,
        hashes: {},
        "requires-python": ">=3.8",
        "core-metadata": true,
        "upload-time": "now",
      },
    ];
    await put(
      join(archive, "pip/simple/demo/index.json"),
      JSON.stringify({ meta: { "api-version": "1.1", "_last-serial": 7 }, name: "demo", files }),
    );
    const json = await brought(source);
    assert.ok(paths(json).includes(`files/demo/${wheel}.metadata`));
    assert.deepEqual(await json.look(anybody), []);
    const page = JSON.parse(
      await readFile(join(json.directory, "simple/demo/index.json"), "utf8"),
    ) as { files: { url: string }[] };
    assert.equal(page.files[0]?.url, `../../files/demo/${wheel}`);
    assert.deepEqual(await json.look(anybody, bent(json.claims, `files/demo/${wheel}.metadata`)), [
      `files/demo/${wheel}.metadata`,
    ]);
    await assert.rejects(
      (await openSource({ kind: "pypi", url }, { packages: ["nothing"] })).bring(
        join(work, "pypi-none"),
        {},
      ),
      /has no project nothing/,
    );
  });

  test("git: references and objects, however they are packed; nothing else of a repository", async () => {
    const url = join(archive, "git/repo.git");
    const source = await openSource({ kind: "git", url });
    const now = await brought(source);
    const got = paths(now);
    assert.ok(got.includes("info/refs") && got.includes("HEAD"), got.join(" "));
    assert.ok(
      got.every((path) => !/config|hooks/.test(path)),
      got.join(" "),
    );
    assert.deepEqual(await now.look(source), []);
    const clone = join(work, "cloned");
    await must("git", ["clone", "-q", now.directory, clone]).catch(() => undefined);
    assert.deepEqual(await now.look(source, [foreign("hooks/post-checkout"), foreign("config")]), [
      "config",
      "hooks/post-checkout",
    ]);
    // A commit that the repository does not have, well packed.
    const evil = join(work, "evil.git");
    await must("git", ["clone", "-q", "--mirror", url, evil]);
    const tree = (await must("git", ["rev-parse", "main^{tree}"], { cwd: evil })).trim();
    const as = ["-c", "user.name=e", "-c", "user.email=e@example.invalid"];
    const commit = (
      await must("git", [...as, "commit-tree", tree, "-p", "main", "-m", "evil"], { cwd: evil })
    ).trim();
    await must("git", ["update-ref", "refs/heads/main", commit], { cwd: evil });
    const stolen = await brought(await openSource({ kind: "git", url: evil }));
    const doubts = await stolen.look(source);
    assert.ok(doubts.includes("info/refs") && doubts.includes("packed-refs"), doubts.join(" "));
    assert.ok(
      doubts.some((path) => path.startsWith("objects/")),
      doubts.join(" "),
    );
    // The repository goes on; what was is no more what is.
    await ecosystems.get("git")?.make(join(archive, "git"), 2);
    assert.ok((await now.look(source)).includes("info/refs"));
    const again = await brought(source);
    assert.deepEqual(await again.look(source), []);
    await assert.rejects(
      async () => openSource({ kind: "git", url: "--upload-pack=evil" }),
      SourceError,
    );
    await assert.rejects(
      (await openSource({ kind: "git", url: "ext::sh -c evil" })).bring(join(work, "ext"), {}),
      /git/,
    );
  });
});
