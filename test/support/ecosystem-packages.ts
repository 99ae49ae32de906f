import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { contentOf, type Ecosystem, must, put, quick, readIf, sha, told } from "./ecosystem.ts";
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
    await must("python3", ["-c", zipOf, join(at, `${version}.zip`), source]);
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
