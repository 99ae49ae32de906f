import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { put } from "./ecosystem.ts";

/** Flags for an `apt-get` that knows one source, keeps all it has below `directory`, and downloads into `out` there. */
export async function aptBelow(
  directory: string,
  source: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const places = [
    "state/lists/partial",
    "cache/archives/partial",
    "etc/apt.conf.d",
    "etc/preferences.d",
    "out",
  ];
  for (const place of places) await mkdir(join(directory, place), { recursive: true });
  await put(join(directory, "sources.list"), `${source}\n`);
  await put(join(directory, "status"), "");
  const settings = {
    "Dir::Etc": join(directory, "etc"),
    "Dir::Etc::sourcelist": join(directory, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State": join(directory, "state"),
    "Dir::State::status": join(directory, "status"),
    "Dir::Cache": join(directory, "cache"),
    "APT::Sandbox::User": "root",
    "Acquire::http::Proxy": "DIRECT",
    "Acquire::Languages": "none",
    ...more,
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}
