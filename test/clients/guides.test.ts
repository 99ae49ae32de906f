import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { main } from "../support/cli.ts";
import { contentOf, put } from "../support/ecosystem.ts";
import { ecosystems } from "../support/ecosystems.ts";
import { sumdbKey } from "../support/go-sumdb.ts";
import { LightProcess } from "../support/light.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { needTools, runTool } from "../support/tools.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Guides, with the archives that they publish: directory in the sandbox → whose archive it is. */
const guides: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  apt: { debian: "apt" },
  npm: { npm: "npm" },
  pip: { pypi: "pip" },
  go: { go: "go" },
  cargo: { cargo: "cargo" },
  git: { ".": "git" },
  oci: { v2: "v2" },
  nix: { nix: "nix" },
  files: { files: "zsync" },
  ostree: { ostree: "ostree" },
};
/** By what name the content was made that must be found in the end. */
const contents: Readonly<Record<string, string>> = { v2: "skopeo" };

/** The lines of a guide: what is to be typed, block by block. */
async function blockOf(guide: string, kind: "publish" | "use"): Promise<string> {
  const text = await readFile(join(root, "docs", "guides", `${guide}.md`), "utf8");
  const [, block] = new RegExp(`^\`\`\`sh ${kind}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(text) ?? [];
  assert.ok(block, `docs/guides/${guide}.md has a block of lines to ${kind}`);
  return block;
}

/** True if a file below the directory has the content in it, as it is. */
async function holds(directory: string, content: Buffer): Promise<boolean> {
  const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const bytes = await readFile(join(entry.parentPath, entry.name));
    if (bytes.length === content.length && digest(bytes) === digest(content)) return true;
    if (bytes.length > content.length && bytes.includes(content)) return true;
  }
  return false;
}

describe("the guides' lines do what they say, pasted as they are", () => {
  let net: Net;
  let work: string;
  let light: LightProcess;

  before(async () => {
    const tools = Object.values(guides).flatMap((archives) =>
      Object.values(archives).flatMap((name) => ecosystems.get(name)?.tools ?? []),
    );
    needTools(...new Set([...tools, "wget", "curl", "aria2c", "bash"]));
    work = await mkdtemp(join(tmpdir(), "smalti-guides-"));
    net = await startNet({ writers: 4, readers: 1 });
    await put(join(work, "first/file"), "a network that has something");
    await net.must("publish", join(work, "first"), "first");
    await net.agree(1);
    light = await LightProcess.start(net, [net.host("r0").http], { state: join(work, "light") });
    const shim = `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`;
    await put(join(work, "bin", "smalti"), shim);
    await chmod(join(work, "bin", "smalti"), 0o755);
  });
  after(async () => {
    await light?.end();
    await net?.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** In a directory of its own; what a guide does to `/etc/apt` is done to one below it. */
  async function run(lines: string, cwd: string, more: NodeJS.ProcessEnv): Promise<void> {
    const etc = join(cwd, "etc-apt");
    const script = `set -euo pipefail\n${lines.replaceAll("/etc/apt", etc)}`;
    const env = {
      ...process.env,
      PATH: `${join(work, "bin")}:${join(root, "node_modules/.bin")}:${process.env["PATH"]}`,
      HOME: join(cwd, "home"),
      RUSTUP_HOME: process.env["RUSTUP_HOME"] ?? join(homedir(), ".rustup"),
      SMALTI_HOME: net.directory,
      SMALTI_GENESIS: net.testnet.genesisFile,
      SMALTI_STATE: join(cwd, "state"),
      npm_config_cache: join(cwd, "npm-cache"),
      CI: "true",
      ...more,
    };
    const { code, stdout, stderr } = await runTool("bash", ["-c", script], { cwd, env });
    assert.equal(code, 0, `${lines}\n${stdout}\n${stderr}`);
  }

  async function aptSandbox(cwd: string): Promise<NodeJS.ProcessEnv> {
    const etc = join(cwd, "etc-apt");
    for (const directory of [
      "etc-apt/keyrings",
      "etc-apt/sources.list.d",
      "etc-apt/apt.conf.d",
      "etc-apt/preferences.d",
      "apt/lists/partial",
      "apt/archives/partial",
    ])
      await mkdir(join(cwd, directory), { recursive: true });
    await writeFile(join(cwd, "apt/status"), "");
    const settings = {
      "Dir::Etc": etc,
      "Dir::State::lists": join(cwd, "apt/lists"),
      "Dir::State::status": join(cwd, "apt/status"),
      "Dir::Cache::archives": join(cwd, "apt/archives"),
      "Dir::Cache::pkgcache": "",
      "Dir::Cache::srcpkgcache": "",
      "APT::Sandbox::User": "root",
      "Acquire::http::Proxy": "DIRECT",
      "Acquire::Languages": "none",
    };
    const file = join(cwd, "apt.conf");
    await writeFile(
      file,
      Object.entries(settings)
        .map(([name, value]) => `${name} "${value}";\n`)
        .join(""),
    );
    return { APT_CONFIG: file };
  }

  for (const [guide, archives] of Object.entries(guides))
    test(`docs/guides/${guide}.md`, async () => {
      const cwd = join(work, guide);
      const publisher = join(cwd, "publisher");
      const user = join(cwd, "user");
      for (const directory of [publisher, join(user, "home")])
        await mkdir(directory, { recursive: true });
      await put(join(publisher, "publisher.json"), await readFile(net.testnet.publisherKey));
      await chmod(join(publisher, "publisher.json"), 0o600);
      const before = Math.max(...(await net.agree(0)).map(({ height }) => height));
      for (const [directory, name] of Object.entries(archives)) {
        await mkdir(join(publisher, directory), { recursive: true });
        for (const generation of [1, 2] as const)
          await ecosystems.get(name)?.make(join(publisher, directory), generation);
      }
      await run(await blockOf(guide, "publish"), publisher, {});
      await net.agree(before + 1);
      // It looks for a newer state when it is asked for something.
      const hasCome = async (): Promise<boolean> => {
        await (await fetch(`${light.url}/`)).text();
        return (await light.status()).height > before;
      };
      await until(hasCome, 30_000, "light knows it");
      const path = await readFile(join(publisher, "path"), "utf8").catch(() => "");
      const given = { URL: light.url, STORE_PATH: path, SUMDB: sumdbKey };
      const env = { ...given, ...(await aptSandbox(user)) };
      await run(await blockOf(guide, "use"), user, env);
      const [name = ""] = Object.values(archives);
      assert.ok(
        await holds(user, contentOf(contents[name] ?? name, 2)),
        "the newest content has come",
      );
    });

  test("every guide that has lines is run", async () => {
    const pages = (await readdir(join(root, "docs", "guides"))).filter((name) =>
      name.endsWith(".md"),
    );
    for (const page of pages) {
      const text = await readFile(join(root, "docs", "guides", page), "utf8");
      const isRun = page.replace(".md", "") in guides;
      assert.equal(/^```sh (publish|use)$/m.test(text), isRun, page);
    }
  });
});
