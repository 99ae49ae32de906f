import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";

/** Where a tool of a Debian package is, by the tool's name. */
const packages: Readonly<Record<string, readonly string[]>> = {
  go: ["golang-go", "golang-golang-x-mod-dev"],
  skopeo: ["skopeo"],
  nix: ["nix-bin"],
  nginx: ["nginx-light"],
  zsync: ["zsync"],
  zsyncmake: ["zsync"],
  aria2c: ["aria2"],
  ostree: ["ostree"],
  chromium: ["chromium"],
  python3: ["python3"],
  pip: ["python3-pip"],
  wget: ["wget"],
  curl: ["curl"],
  git: ["git"],
  gpg: ["gpg"],
  "apt-ftparchive": ["apt-utils"],
  "dpkg-deb": ["dpkg"],
};

const has = (tool: string): boolean =>
  spawnSync("sh", ["-c", 'command -v "$0"', tool], { stdio: "ignore" }).status === 0;

/** Installs what is missing. Throws, and so fails the test, where that cannot be done: nothing is skipped silently. */
export function needTools(...tools: readonly string[]): void {
  const missing = tools.filter((tool) => !has(tool));
  if (missing.length === 0) return;
  const wanted = missing.flatMap((tool) => packages[tool] ?? [tool]);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Tests of several files run at once: one after the other they install.
  for (const args of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", ...wanted],
  ])
    spawnSync("flock", ["/var/lib/dpkg", "apt-get", ...args], {
      stdio: "inherit",
      env: environment,
      timeout: 600_000,
    });
  const absent = missing.filter((tool) => !has(tool));
  if (absent.length > 0)
    throw new Error(`this test needs ${absent.join(", ")}: apt-get install ${wanted.join(" ")}`);
}

/** What a tool printed and ended with; never throws for an exit code. */
export async function runTool(
  tool: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly timeoutMs?: number;
  } = {},
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const { cwd, env = process.env, timeoutMs = 120_000 } = options;
  try {
    const ran = await promisify(execFile)(tool, [...args], {
      env,
      timeout: timeoutMs,
      maxBuffer: 1 << 26,
      ...(cwd === undefined ? {} : { cwd }),
    });
    return { code: 0, ...ran };
  } catch (error) {
    const {
      code,
      stdout = "",
      stderr = "",
    } = error as {
      code?: unknown;
      stdout?: string;
      stderr?: string;
    };
    return { code: typeof code === "number" ? code : 1, stdout, stderr: stderr || String(error) };
  }
}
