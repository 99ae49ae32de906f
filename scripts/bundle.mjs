// Makes the command line one program of few files (dist/smalti): a process that starts reads a dozen files instead of a
// thousand. What runs in threads, and what is native, stays where it is.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "dist", "smalti");

/** A file goes on finding what stands beside it, wherever its code has gone. */
const places = {
  name: "places",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]dist[\\/](src|sim|testing)[\\/].*\.js$/ }, ({ path }) => {
      const code = readFileSync(path, "utf8");
      const at = relative(out, path).split(sep).join("/");
      const url = `new URL(${JSON.stringify(at)}, import.meta.url)`;
      return { contents: code.replaceAll("import.meta.url", `${url}.href`), loader: "js" };
    });
  },
};

/** The packages that are inside, each with its licence, as the licences ask for. */
function licences(inputs) {
  const packages = new Set();
  for (const path of Object.keys(inputs)) {
    const found = /^.*node_modules\/((@[^/]+\/)?[^/]+)/.exec(path)?.[0];
    if (found !== undefined) packages.add(found);
  }
  return [...packages].sort().map((path) => {
    const directory = join(root, path);
    const { name, version, license } = JSON.parse(
      readFileSync(join(directory, "package.json"), "utf8"),
    );
    const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? "" : readFileSync(join(directory, file), "utf8").trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
}

rmSync(out, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: [join("dist", "src", "cli", "main.js")],
  outdir: out,
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node20",
  // Native, or threads that look for their files.
  external: ["lmdb", "tinypool", "pino"],
  // What is CommonJS among the packages asks for Node's own modules.
  banner: {
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
  },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
  plugins: [places],
});
const rule = `\n${"─".repeat(80)}\n\n`;
writeFileSync(join(out, "LICENSES.txt"), licences(metafile.inputs).join(rule));
if (!existsSync(join(dirname(out), "smalti", "main.js"))) throw new Error("no main.js was made");
