import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { aptBelow } from "./apt.ts";
import { contentOf, type Ecosystem, must, put, quick, readIf, sha, told } from "./ecosystem.ts";
import { cargo, go, npm, pip, pnpm } from "./ecosystem-packages.ts";
import { runTool } from "./tools.ts";

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
    // The key came by another way, as keys do.
    const key = join(into, "..", "apt", "key.gpg");
    const flags = await aptBelow(into, `deb [signed-by=${key}] ${url} stable main`, {
      "Acquire::Retries": "0",
      "Acquire::http::Timeout": "8",
      "APT::Update::Error-Mode": "any",
    });
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
    const args = ["-q", "-i", "old", "-o", "file.bin", `${url}/file.bin.zsync`];
    const { code } = await runTool("zsync", args, { ...quick, cwd: into });
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

const nixDo = ["--extra-experimental-features", "nix-command"];
/** Nix keeps nothing outside of a directory of its own. */
const nixAt = (home: string): NodeJS.ProcessEnv => ({ ...process.env, HOME: home, NIX_REMOTE: "" });

const nix: Ecosystem = {
  name: "nix",
  tools: ["nix"],
  lines: "nix copy --from URL/nix /nix/store/HASH-NAME",
  make: async (tree, generation) => {
    const around = join(tree, "..");
    const env = nixAt(join(around, "home"));
    await put(join(around, "file.bin"), contentOf("nix", generation));
    const root = join(around, "root");
    const added = ["--store", root, "store", "add-path", "file.bin"];
    const path = (await must("nix", [...nixDo, ...added], { cwd: around, env })).trim();
    await must("nix", [...nixDo, "--store", root, "copy", "--to", `file://${tree}`, path], { env });
    // The path names its content; it came by another way, as a lock file does.
    await put(join(around, "path"), path);
  },
  fetch: async (url, into) => {
    const path = (await readFile(join(into, "..", "path"))).toString();
    const args = ["--store", join(into, "root"), "copy", "--no-check-sigs", "--from", url, path];
    const { code } = await runTool("nix", [...nixDo, ...args], { ...quick, env: nixAt(into) });
    return code === 0 ? told(await readIf(join(into, "root", path)), "nix") : "refused";
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
  ["pnpm", pnpm],
  ["pip", pip(true)],
  ["pip-plain", pip(false)],
  ["go", go],
  ["cargo", cargo],
  ["v2", skopeo],
  ["zsync", zsync],
  ["ostree", ostree],
  ["nix", nix],
]);
