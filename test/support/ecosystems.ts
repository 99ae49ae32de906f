import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runTool } from "./tools.ts";

/** What a client ended up with. */
export type Got = "new" | "old" | "refused" | "wrong";

/** A client as people have it, unmodified: how its archive is made, and how it is asked for the newest. */
export interface Ecosystem {
  readonly name: string;
  readonly tools: readonly string[];
  /** What people type; `URL` stands for the mirror or for `smalti light`. */
  readonly lines: string;
  /** Writes the archive of a generation (1 or 2) below `tree`; what was there before may be kept. */
  make(tree: string, generation: 1 | 2): Promise<void>;
  /** Fetches the newest through `url` into an empty directory. */
  fetch(url: string, into: string): Promise<Got>;
}

const sha = (algorithm: string, bytes: Uint8Array, form: "hex" | "base64" = "hex"): string =>
  createHash(algorithm).update(bytes).digest(form);

/** Content that does not compress: its middle is its content. */
export function contentOf(name: string, generation: number, length = 400_000): Buffer {
  const pieces: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++)
    pieces.push(createHash("sha256").update(`${name} ${generation} ${i}`).digest());
  return Buffer.concat(pieces).subarray(0, length);
}

async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

async function must(
  tool: string,
  args: readonly string[],
  options: Parameters<typeof runTool>[2] = {},
): Promise<string> {
  const { code, stdout, stderr } = await runTool(tool, args, options);
  if (code !== 0)
    throw new Error(`${tool} ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** Compares what came with both generations. */
function told(bytes: Uint8Array | undefined, name: string, length?: number): Got {
  if (bytes === undefined) return "refused";
  const is = (generation: number): boolean =>
    Buffer.compare(bytes, contentOf(name, generation, length)) === 0;
  return is(2) ? "new" : is(1) ? "old" : "wrong";
}

const readIf = (path: string): Promise<Buffer | undefined> => readFile(path).catch(() => undefined);
/** Seconds a tool may wait for a mirror that does not come to an end. */
const patienceMs = 12_000;
const quick = { timeoutMs: patienceMs };

const downloader = (
  name: string,
  lines: string,
  args: (url: string, out: string) => readonly string[],
): Ecosystem => ({
  name,
  tools: [name],
  lines,
  make: (tree, generation) => put(join(tree, "file.bin"), contentOf(name, generation)),
  fetch: async (url, into) => {
    const out = join(into, "file.bin");
    const { code } = await runTool(name, args(`${url}/file.bin`, out), quick);
    return code === 0 ? told(await readIf(out), name) : "refused";
  },
});

const git: Ecosystem = {
  name: "git",
  tools: ["git"],
  lines: "git clone URL/git/repo.git",
  make: async (tree, generation) => {
    const [bare, work] = [join(tree, "repo.git"), join(tree, "..", `git-work-${generation}`)];
    const as = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"];
    if (generation === 1) await must("git", ["init", "-q", "--bare", "-b", "main", bare]);
    await must("git", ["clone", "-q", bare, work]);
    await put(join(work, "file.bin"), contentOf("git", generation));
    await must("git", ["add", "."], { cwd: work });
    await must("git", [...as, "commit", "-q", "-m", `generation ${generation}`], { cwd: work });
    await must("git", ["push", "-q", "origin", "HEAD:main"], { cwd: work });
    await must("git", ["update-server-info"], { cwd: bare });
  },
  fetch: async (url, into) => {
    const env = { ...process.env, GIT_TERMINAL_PROMPT: "0" };
    const args = ["clone", "-q", `${url}/repo.git`, join(into, "clone")];
    const { code } = await runTool("git", args, { ...quick, env });
    return code === 0 ? told(await readIf(join(into, "clone", "file.bin")), "git") : "refused";
  },
};

/** A package manager of Debian, with all its state in one directory. */
const apt: Ecosystem = {
  name: "apt",
  tools: ["apt-ftparchive", "gpg", "dpkg-deb"],
  lines: "deb [signed-by=/etc/apt/keyrings/demo.gpg] URL/debian stable main",
  make: async (tree, generation) => {
    const build = join(tree, "..", `deb-${generation}`);
    const control = `Package: demo\nVersion: ${generation}.0\nArchitecture: all\nMaintainer: t <t@example.invalid>\nDescription: demo\n`;
    await put(join(build, "DEBIAN", "control"), control);
    await put(join(build, "usr", "share", "demo", "file.bin"), contentOf("apt", generation));
    await chmod(join(build, "DEBIAN"), 0o755);
    const pool = join(tree, "pool", "main");
    await mkdir(pool, { recursive: true });
    await must("dpkg-deb", [
      "--build",
      "--root-owner-group",
      build,
      join(pool, `demo_${generation}.0_all.deb`),
    ]);
    const dist = join(tree, "dists", "stable");
    const packages = await must("apt-ftparchive", ["packages", "pool"], { cwd: tree });
    const index = join(dist, "main", "binary-all");
    await put(join(index, "Packages"), packages);
    for (const algorithm of ["sha256", "sha512"])
      await put(
        join(index, "by-hash", algorithm.toUpperCase(), sha(algorithm, Buffer.from(packages))),
        packages,
      );
    const settings = {
      Suite: "stable",
      Codename: "stable",
      Components: "main",
      Architectures: "all amd64",
      "Acquire-By-Hash": "yes",
    };
    const flags = Object.entries(settings).flatMap(([key, value]) => [
      "-o",
      `APT::FTPArchive::Release::${key}=${value}`,
    ]);
    await writeFile(join(dist, "Release"), "");
    await put(
      join(dist, "Release"),
      await must("apt-ftparchive", [...flags, "release", "dists/stable"], { cwd: tree }),
    );
    const home = join(tree, "..", "gnupg");
    await mkdir(home, { recursive: true, mode: 0o700 });
    const gpg = ["--homedir", home, "--batch", "--yes"];
    if (generation === 1) {
      await must("gpg", [
        ...gpg,
        "--passphrase",
        "",
        "--quick-gen-key",
        "t@example.invalid",
        "ed25519",
        "sign",
        "never",
      ]);
      await must("gpg", [...gpg, "--output", join(tree, "key.gpg"), "--export"]);
    }
    await must("gpg", [
      ...gpg,
      "--clearsign",
      "--output",
      join(dist, "InRelease"),
      join(dist, "Release"),
    ]);
    await must("gpgconf", ["--homedir", home, "--kill", "all"]).catch(() => undefined);
  },
  fetch: async (url, into) => {
    for (const directory of [
      "state/lists/partial",
      "cache/archives/partial",
      "etc/apt.conf.d",
      "etc/preferences.d",
      "out",
    ])
      await mkdir(join(into, directory), { recursive: true });
    // The key came by another way, as keys do.
    const key = join(into, "..", "..", "apt", "key.gpg");
    await put(join(into, "sources.list"), `deb [signed-by=${key}] ${url} stable main\n`);
    await put(join(into, "status"), "");
    const settings = {
      "Dir::Etc": join(into, "etc"),
      "Dir::Etc::sourcelist": join(into, "sources.list"),
      "Dir::Etc::sourceparts": "/dev/null",
      "Dir::State": join(into, "state"),
      "Dir::State::status": join(into, "status"),
      "Dir::Cache": join(into, "cache"),
      "APT::Sandbox::User": "root",
      "Acquire::Retries": "0",
      "Acquire::http::Timeout": "8",
      "Acquire::http::Proxy": "DIRECT",
      "Acquire::Languages": "none",
      "APT::Update::Error-Mode": "any",
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const updated = await runTool("apt-get", [...flags, "update"], quick);
    if (updated.code !== 0) return "refused";
    const got = await runTool("apt-get", [...flags, "download", "demo"], {
      ...quick,
      cwd: join(into, "out"),
    });
    if (got.code !== 0) return "refused";
    for (const generation of [2, 1]) {
      const deb = join(into, "out", `demo_${generation}.0_all.deb`);
      if ((await readIf(deb)) === undefined) continue;
      await must("dpkg-deb", ["-x", deb, join(into, "tree")]);
      return told(await readIf(join(into, "tree/usr/share/demo/file.bin")), "apt");
    }
    return "wrong";
  },
};

const npm: Ecosystem = {
  name: "npm",
  tools: ["npm"],
  lines: "npm install @demo/thing --registry URL/npm/",
  make: async (tree, generation) => {
    const source = join(tree, "..", `npm-${generation}`);
    const manifest = { name: "@demo/thing", version: `${generation}.0.0` };
    await put(join(source, "package.json"), JSON.stringify(manifest));
    await put(join(source, "file.bin"), contentOf("npm", generation));
    const place = join(tree, "@demo", "thing");
    await mkdir(join(place, "-"), { recursive: true });
    await must("npm", ["pack", "--silent", "--pack-destination", join(place, "-")], {
      cwd: source,
    });
    const versions: Record<string, object> = {};
    for (let version = 1; version <= generation; version++) {
      const file = `thing-${version}.0.0.tgz`;
      const from = join(place, "-", `demo-thing-${version}.0.0.tgz`);
      const bytes = await readFile(from);
      await put(join(place, "-", file), bytes);
      const integrity = `sha512-${sha("sha512", bytes, "base64")}`;
      const tarball = `http://registry.invalid/@demo/thing/-/${file}`;
      versions[`${version}.0.0`] = {
        ...manifest,
        version: `${version}.0.0`,
        dist: { integrity, tarball },
      };
    }
    const latest = `${generation}.0.0`;
    await put(
      join(place, "index.json"),
      JSON.stringify({ name: manifest.name, "dist-tags": { latest }, versions }),
    );
  },
  fetch: async (url, into) => {
    const args = [
      "install",
      "@demo/thing",
      "--registry",
      `${url}/`,
      "--replace-registry-host",
      "always",
      "--prefix",
      into,
    ];
    const calm = [
      "--no-audit",
      "--no-fund",
      "--ignore-scripts",
      "--fetch-retries",
      "0",
      "--fetch-timeout",
      "8000",
    ];
    const { code } = await runTool("npm", [...args, ...calm, "--cache", join(into, "cache")], {
      ...quick,
      cwd: into,
    });
    return code === 0
      ? told(await readIf(join(into, "node_modules/@demo/thing/file.bin")), "npm")
      : "refused";
  },
};

const pip = (hasHashes: boolean): Ecosystem => ({
  name: hasHashes ? "pip" : "pip, index without hashes",
  tools: ["pip", "python3"],
  lines: "pip download demo --index-url URL/simple/",
  make: async (tree, generation) => {
    const file = `demo-${generation}.0-py3-none-any.whl`;
    const source = join(tree, "..", `wheel-${hasHashes}-${generation}`);
    await put(join(source, "demo/file.bin"), contentOf("pip", generation));
    await put(
      join(source, `demo-${generation}.0.dist-info/METADATA`),
      `Metadata-Version: 2.1\nName: demo\nVersion: ${generation}.0\n`,
    );
    await put(
      join(source, `demo-${generation}.0.dist-info/WHEEL`),
      "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    await put(join(source, `demo-${generation}.0.dist-info/RECORD`), "");
    await mkdir(join(tree, "packages"), { recursive: true });
    // Stored, not deflated: a wheel whose bytes were changed can still be unpacked.
    const zip =
      "import sys,zipfile,os\nz=zipfile.ZipFile(sys.argv[1],'w')\nfor d,_,fs in os.walk(sys.argv[2]):\n  for f in sorted(fs):\n    p=os.path.join(d,f); z.write(p,os.path.relpath(p,sys.argv[2]))\nz.close()";
    await must("python3", ["-c", zip, join(tree, "packages", file), source]);
    const links: string[] = [];
    for (let version = 1; version <= generation; version++) {
      const name = `demo-${version}.0-py3-none-any.whl`;
      const digest = sha("sha256", await readFile(join(tree, "packages", name)));
      links.push(
        `<a href="../../packages/${name}${hasHashes ? `#sha256=${digest}` : ""}">${name}</a>`,
      );
    }
    await put(
      join(tree, "simple/demo/index.html"),
      `<!DOCTYPE html><html><body>\n${links.join("\n")}\n</body></html>\n`,
    );
  },
  fetch: async (url, into) => {
    const args = [
      "download",
      "demo",
      "--no-deps",
      "--no-cache-dir",
      "--disable-pip-version-check",
      "--retries",
      "0",
      "--timeout",
      "8",
    ];
    const { code } = await runTool(
      "pip",
      [...args, "--index-url", `${url}/simple/`, "-d", into],
      quick,
    );
    if (code !== 0) return "refused";
    for (const generation of [2, 1]) {
      const wheel = await readIf(join(into, `demo-${generation}.0-py3-none-any.whl`));
      if (wheel === undefined) continue;
      const isRight = wheel.includes(contentOf("pip", generation));
      return isRight ? (generation === 2 ? "new" : "old") : "wrong";
    }
    return "wrong";
  },
});

const go: Ecosystem = {
  name: "go",
  tools: ["go", "python3"],
  lines: "GOPROXY=URL/go go get example.com/demo@latest",
  make: async (tree, generation) => {
    const at = join(tree, "example.com/demo/@v");
    const version = `v1.${generation}.0`;
    const source = join(tree, "..", `go-${generation}`);
    const root = `example.com/demo@${version}`;
    await put(join(source, root, "go.mod"), "module example.com/demo\n");
    await put(join(source, root, "file.bin"), contentOf("go", generation));
    await put(join(at, `${version}.mod`), "module example.com/demo\n");
    await put(
      join(at, `${version}.info`),
      JSON.stringify({ Version: version, Time: "2026-01-01T00:00:00Z" }),
    );
    const zip =
      "import sys,zipfile,os\nz=zipfile.ZipFile(sys.argv[1],'w')\nfor d,_,fs in os.walk(sys.argv[2]):\n  for f in sorted(fs):\n    p=os.path.join(d,f); z.write(p,os.path.relpath(p,sys.argv[2]))\nz.close()";
    await must("python3", ["-c", zip, join(at, `${version}.zip`), source]);
    await put(join(at, "list"), generation === 2 ? "v1.1.0\nv1.2.0\n" : "v1.1.0\n");
  },
  fetch: async (url, into) => {
    const env = {
      ...process.env,
      GOPROXY: url,
      GOSUMDB: "off",
      GOFLAGS: "-mod=mod -modcacherw",
      GOMODCACHE: join(into, "cache"),
      GOCACHE: join(into, "build"),
      GO111MODULE: "on",
      GONOPROXY: "none",
    };
    await put(join(into, "m", "go.mod"), "module example.com/m\n");
    const { code } = await runTool("go", ["get", "example.com/demo@latest"], {
      ...quick,
      env,
      cwd: join(into, "m"),
    });
    if (code !== 0) return "refused";
    for (const generation of [2, 1]) {
      const bytes = await readIf(join(into, `cache/example.com/demo@v1.${generation}.0/file.bin`));
      if (bytes !== undefined) return told(bytes, "go");
    }
    return "wrong";
  },
};

const zsync: Ecosystem = {
  name: "zsync",
  tools: ["zsync", "zsyncmake"],
  lines: "zsync -i OLD URL/files/file.bin.zsync",
  make: async (tree, generation) => {
    await put(join(tree, "file.bin"), contentOf("zsync", generation));
    await must("zsyncmake", ["-u", "file.bin", "-o", "file.bin.zsync", "file.bin"], { cwd: tree });
  },
  fetch: async (url, into) => {
    await put(join(into, "old"), contentOf("zsync", 1).subarray(0, 100_000));
    const env = { ...process.env, http_proxy: "" };
    const args = ["-q", "-i", "old", "-o", "file.bin", `${url}/file.bin.zsync`];
    const { code } = await runTool("zsync", args, { ...quick, cwd: into, env });
    return code === 0 ? told(await readIf(join(into, "file.bin")), "zsync") : "refused";
  },
};

const ostree: Ecosystem = {
  name: "ostree",
  tools: ["ostree"],
  lines: "ostree remote add demo URL/ostree && ostree pull demo main",
  make: async (tree, generation) => {
    const source = join(tree, "..", `ostree-${generation}`);
    await put(join(source, "file.bin"), contentOf("ostree", generation));
    if (generation === 1) await must("ostree", [`--repo=${tree}`, "init", "--mode=archive"]);
    await must("ostree", [`--repo=${tree}`, "commit", "-b", "main", `--tree=dir=${source}`]);
  },
  fetch: async (url, into) => {
    const repo = `--repo=${join(into, "repo")}`;
    await must("ostree", [repo, "init", "--mode=bare-user"]);
    await must("ostree", [repo, "remote", "add", "--no-gpg-verify", "demo", url]);
    const { code } = await runTool("ostree", [repo, "pull", "demo", "main"], quick);
    if (code !== 0) return "refused";
    await must("ostree", [repo, "checkout", "-U", "demo:main", join(into, "tree")]);
    return told(await readIf(join(into, "tree", "file.bin")), "ostree");
  },
};

const skopeo: Ecosystem = {
  name: "skopeo",
  tools: ["skopeo"],
  lines: "skopeo copy docker://HOST:PORT/demo:latest dir:OUT",
  make: async (tree, generation) => {
    const layer = contentOf("skopeo", generation);
    const layerDigest = `sha256:${sha("sha256", layer)}`;
    const config = Buffer.from(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        config: {},
        rootfs: { type: "layers", diff_ids: [layerDigest] },
      }),
    );
    const configDigest = `sha256:${sha("sha256", config)}`;
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: {
          mediaType: "application/vnd.oci.image.config.v1+json",
          digest: configDigest,
          size: config.length,
        },
        layers: [
          {
            mediaType: "application/vnd.oci.image.layer.v1.tar",
            digest: layerDigest,
            size: layer.length,
          },
        ],
      }),
    );
    await put(join(tree, "demo/blobs", layerDigest), layer);
    await put(join(tree, "demo/blobs", configDigest), config);
    await put(join(tree, "demo/manifests", `sha256:${sha("sha256", manifest)}`), manifest);
    await put(join(tree, "demo/manifests/latest"), manifest);
  },
  fetch: async (url, into) => {
    const { host } = new URL(url);
    const out = join(into, "image");
    const args = [
      "copy",
      "--insecure-policy",
      "--src-tls-verify=false",
      `docker://${host}/demo:latest`,
      `dir:${out}`,
    ];
    const { code } = await runTool("skopeo", args, quick);
    if (code !== 0) return "refused";
    for (const generation of [2, 1]) {
      const bytes = await readIf(join(out, sha("sha256", contentOf("skopeo", generation))));
      if (bytes !== undefined) return told(bytes, "skopeo");
    }
    return "wrong";
  },
};

/** The tree that each stands in; OCI clients ask at the root of a host. */
export const ecosystems: ReadonlyMap<string, Ecosystem> = new Map([
  [
    "curl",
    downloader("curl", "curl -fLO URL/files/file.bin", (url, out) => [
      "-fsS",
      "-m",
      "10",
      "-o",
      out,
      url,
    ]),
  ],
  [
    "wget",
    downloader("wget", "wget URL/files/file.bin", (url, out) => [
      "-q",
      "-t",
      "1",
      "-T",
      "8",
      "-O",
      out,
      url,
    ]),
  ],
  ["git", git],
  ["apt", apt],
  ["npm", npm],
  ["pip", pip(true)],
  ["pip-plain", pip(false)],
  ["go", go],
  ["v2", skopeo],
  ["zsync", zsync],
  ["ostree", ostree],
]);
