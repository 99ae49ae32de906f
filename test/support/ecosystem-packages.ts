import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { contentOf, type Ecosystem, must, put, quick, readIf, sha, told } from "./ecosystem.ts";
import { type GoModule, goModule, putSumdb, sumdbKey } from "./go-sumdb.ts";
import { runTool } from "./tools.ts";

/** Stored, not deflated: what was changed on the way can still be unpacked. */
const zipOf =
  "import sys,zipfile,os\nz=zipfile.ZipFile(sys.argv[1],'w')\nfor d,_,fs in os.walk(sys.argv[2]):\n  for f in sorted(fs):\n    p=os.path.join(d,f); z.write(p,os.path.relpath(p,sys.argv[2]))\nz.close()";

export const npm: Ecosystem = {
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
    const args = ["install", "@demo/thing", "--registry", `${url}/`, "--prefix", into];
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

export const pip = (hasHashes: boolean): Ecosystem => ({
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
    await must("python3", ["-c", zipOf, join(tree, "packages", file), source]);
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

export const go: Ecosystem = {
  name: "go",
  tools: ["go", "python3"],
  lines: "GOPROXY=URL/go GOSUMDB=KEY go get example.com/demo@latest",
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
    await must("python3", ["-c", zipOf, join(at, `${version}.zip`), source]);
    await put(join(at, "list"), generation === 2 ? "v1.1.0\nv1.2.0\n" : "v1.1.0\n");
    const modules: GoModule[] = [];
    for (let i = 1; i <= generation; i++)
      modules.push(await goModule("example.com/demo", `v1.${i}.0`, join(tree, "..", `go-${i}`)));
    await putSumdb(tree, modules);
  },
  fetch: async (url, into) => {
    const env = {
      ...process.env,
      GOPROXY: url,
      GOSUMDB: sumdbKey,
      GOPATH: join(into, "path"),
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

const pnpmBin = fileURLToPath(new URL("../../../node_modules/.bin/pnpm", import.meta.url));

/** Takes tarballs from where a packument says, not from its registry. */
export const pnpm: Ecosystem = {
  ...npm,
  name: "pnpm",
  lines: "pnpm add @demo/thing --registry URL/pnpm/",
  fetch: async (url, into) => {
    await put(join(into, "package.json"), "{}");
    const places = ["--store-dir", join(into, "store")];
    const calm = ["--fetch-retries", "0", "--fetch-timeout", "8000", "--ignore-scripts"];
    const args = ["add", "@demo/thing", "--registry", `${url}/`, ...places, ...calm];
    const env = { ...process.env, XDG_STATE_HOME: into, XDG_CACHE_HOME: into, CI: "true" };
    const { code } = await runTool(pnpmBin, args, { ...quick, cwd: into, env });
    return code === 0
      ? told(await readIf(join(into, "node_modules/@demo/thing/file.bin")), "npm")
      : "refused";
  },
};

/** A sparse registry whose configuration knows no host. */
export const cargo: Ecosystem = {
  name: "cargo",
  tools: ["cargo"],
  lines: 'cargo fetch, with [registries.demo] index = "sparse+URL/cargo/"',
  make: async (tree, generation) => {
    const version = `${generation}.0.0`;
    const source = join(tree, "..", `crate-${generation}`);
    await put(
      join(source, "Cargo.toml"),
      `[package]\nname = "demo"\nversion = "${version}"\nedition = "2021"\n`,
    );
    await put(join(source, "src/lib.rs"), "");
    await put(join(source, "file.bin"), contentOf("cargo", generation));
    await must("cargo", ["package", "--no-verify", "--allow-dirty", "--offline", "-q"], {
      cwd: source,
    });
    const crate = await readFile(join(source, `target/package/demo-${version}.crate`));
    await put(join(tree, `crates/demo-${version}.crate`), crate);
    const index = join(tree, "de/mo/demo");
    const line = {
      name: "demo",
      vers: version,
      deps: [],
      cksum: sha("sha256", crate),
      features: {},
      yanked: false,
    };
    const before = (await readIf(index))?.toString() ?? "";
    await put(index, `${before}${JSON.stringify(line)}\n`);
    await put(join(tree, "config.json"), '{"dl":"./crates/{crate}-{version}.crate"}');
  },
  fetch: async (url, into) => {
    await put(
      join(into, "Cargo.toml"),
      '[package]\nname = "t"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ndemo = { version = "*", registry = "demo" }\n',
    );
    await put(join(into, "src/lib.rs"), "");
    await put(
      join(into, ".cargo/config.toml"),
      `[registries.demo]\nindex = "sparse+${url}/"\n[net]\nretry = 0\n[http]\ntimeout = 8\n`,
    );
    const home = join(into, "home");
    const env = { ...process.env, CARGO_HOME: home };
    const { code } = await runTool("cargo", ["fetch", "-q"], { ...quick, cwd: into, env });
    if (code !== 0) return "refused";
    const [registry = ""] = await readdir(join(home, "registry/src")).catch(() => []);
    for (const generation of [2, 1]) {
      const bytes = await readIf(
        join(home, "registry/src", registry, `demo-${generation}.0.0/file.bin`),
      );
      if (bytes !== undefined) return told(bytes, "cargo");
    }
    return "wrong";
  },
};
