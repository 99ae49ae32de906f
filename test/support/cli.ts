import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The program that users run. */
export const main = fileURLToPath(new URL("../../smalti/main.js", import.meta.url));

const built = fileURLToPath(new URL("../..", import.meta.url));
const bundledMs = statSync(main, { throwIfNoEntry: false })?.mtimeMs ?? 0;
for (const name of readdirSync(built).filter((entry) => /^(core|io|app|cli|sim)\.ts/.test(entry)))
  if (statSync(`${built}/${name}`).mtimeMs > bundledMs)
    throw new Error(`${main} is older than the code; make it with: npm run build`);
