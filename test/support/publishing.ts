import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HostProcess, Net } from "./net.ts";

let count = 0;

/** Publishes one small file and returns the height it made. */
export async function publishText(
  net: Net,
  file: {
    readonly tree: string;
    readonly name: string;
    readonly text: string | Uint8Array;
    readonly from?: HostProcess;
  },
): Promise<number> {
  const directory = join(net.directory, `publishing-${count++}`);
  await mkdir(directory);
  await writeFile(join(directory, file.name), file.text);
  const running = net.writers.filter((writer) => writer.isRunning).map(({ http }) => http);
  const from = file.from === undefined ? running : [file.from.http];
  const out = await net.must("publish", directory, file.tree, "-o", "json", "--from", ...from);
  return (JSON.parse(out) as { height: number }).height;
}
