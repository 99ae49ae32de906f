// Draws the six situations of docs/concepts/situations.md, as the simulated world plays them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { play, situations } from "../dist/sim/index.js";

const directory = fileURLToPath(new URL("../docs/concepts", import.meta.url));
for (const situation of situations) {
  const { svg } = await play(situation);
  const file = join(directory, `situation-${situation.number}.svg`);
  writeFileSync(file, svg);
  console.log(`${file}: ${situation.title}`);
}
