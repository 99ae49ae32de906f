import { type Command, InvalidArgumentError } from "commander";
import type { MirrorClient, VerifiedHead } from "../app/client/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { type Leaf, sameLeaf } from "../core/mirror/index.ts";
import { type CommonOptions, secondsFlag, withOutput, withTrust } from "./context.ts";

/** Options of every verb that reads trees. */
export interface ReadOptions extends CommonOptions {
  readonly height?: number;
}

export function heightFlag(text: string): number {
  if (!/^\d{1,15}$/.test(text))
    throw new ConfigError("USAGE", `--height takes a number, not ${text}`);
  return Number(text);
}

export function reading(command: Command): Command {
  return withOutput(withTrust(command))
    .option("--height <h>", "a past height instead of the newest", heightFlag)
    .option(
      "--max-age <time>",
      "refuse a state that the writers have not vouched for lately (90s, 15m, 24h, 7d, none)",
      secondsFlag,
      secondsFlag("24h"),
    );
}

/** `TREE/path` → its two halves. */
export function splitTarget(target: string): { readonly tree: string; readonly path: string } {
  const slash = target.indexOf("/");
  return slash < 0
    ? { tree: target, path: "" }
    : { tree: target.slice(0, slash), path: target.slice(slash + 1) };
}

export async function headFor(client: MirrorClient, options: ReadOptions): Promise<VerifiedHead> {
  return options.height === undefined ? client.newestHead() : client.head(options.height);
}

/** How a path differs between two trees, if it does. */
export function changeOf(
  path: string,
  before: Leaf | undefined,
  after: Leaf | undefined,
): { kind: "A" | "M" | "D"; path: string }[] {
  if (before === undefined) return [{ kind: "A", path }];
  if (after === undefined) return [{ kind: "D", path }];
  return sameLeaf(before, after) ? [] : [{ kind: "M", path }];
}

/** `host:port`. Throws InvalidArgumentError. */
export function endpointFlag(text: string): string {
  if (!/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/.test(text))
    throw new InvalidArgumentError("host:port is wanted, e.g. 127.0.0.1:8888");
  return text;
}

/** A flag's whole number. Throws InvalidArgumentError. */
export function natural(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("a whole number is wanted");
  return Number(text);
}
