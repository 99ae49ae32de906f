import { createInterface } from "node:readline";
import type { Command } from "commander";
import { Appender, tailOfAny } from "../app/client/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { assert } from "../core/base/index.ts";
import { loadKeyFile, newKey } from "../io/files/index.ts";
import { type CommonOptions, serversOf, trustOf, withOutput, withTrust } from "./context.ts";
import { printable, say, sayJson } from "./output.ts";

/** Lines that are appended in one batch. */
const batchLines = 1000;

type AppendOptions = CommonOptions & { readonly key?: string; readonly sequence: number };

function sayPlace(
  placed: { readonly index: number; readonly count: number },
  options: CommonOptions,
): void {
  if (options.output === "json") return sayJson(placed);
  say(`${placed.index}${placed.count > 1 ? `…${placed.index + placed.count - 1}` : ""}`);
}

function indexFlag(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new ConfigError("USAGE", `${text} is not an index`);
  return Number(text);
}

/** `smalti log append|tail`: the totally ordered broadcast by itself. */
export function logCommands(program: Command): void {
  const log = program.commands.find((command) => command.name() === "log");
  assert(log !== undefined, "the log command exists");
  // It has options of its own: what stands after a subcommand is the subcommand's.
  log.enablePositionalOptions();
  withOutput(
    withTrust(
      log
        .command("append [messages...]")
        .description("order messages (or the lines of standard input), each exactly once"),
    ),
  )
    .option("--key <file>", "the client's key, to go on with its numbers (default: a new one)")
    .option("--sequence <n>", "the number of the first batch under that key", indexFlag, 0)
    .action(async (messages: string[], options: AppendOptions) => {
      const trust = await trustOf(options);
      const { key, sequence } = options;
      const { signer } = key === undefined ? newKey() : await loadKeyFile(key, "publisher");
      const writers = serversOf(options, trust);
      const appender = new Appender({ writers, group: trust.network.group, signer, sequence });
      const append = async (texts: readonly string[]): Promise<void> => {
        const places = await appender.append(texts.map((text) => Buffer.from(text)));
        for (const placed of places) sayPlace(placed, options);
      };
      if (messages.length > 0) return append(messages);
      let batch: string[] = [];
      for await (const line of createInterface({ input: process.stdin })) {
        batch.push(line);
        if (batch.length < batchLines) continue;
        await append(batch);
        batch = [];
      }
      if (batch.length > 0) await append(batch);
    });
  withOutput(withTrust(log.command("tail").description("messages in their total order, for ever")))
    .option("--index <i>", "from this index on", indexFlag, 0)
    .option("--count <n>", "end after so many", indexFlag)
    .action(async (options: CommonOptions & { index: number; count?: number }) => {
      const trust = await trustOf(options);
      const stop = new AbortController();
      let left = options.count ?? Number.POSITIVE_INFINITY;
      for await (const { index, bytes } of tailOfAny(
        serversOf(options, trust),
        options.index,
        stop.signal,
      )) {
        if (left-- <= 0) break;
        const text = Buffer.from(bytes).toString();
        say(
          options.output === "json"
            ? JSON.stringify({ index, message: text })
            : `${index}\t${printable(text)}`,
        );
        if (left <= 0) break;
      }
      stop.abort();
    });
}
