#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import pc from "picocolors";
import { version } from "../app/config/index.ts";
import { keepEvidence } from "./context.ts";
import { exitCodeOf, exitCodes, note, printable } from "./output.ts";
import { roomsFor } from "./verbs.ts";

const program = new Command("smalti")
  .description("a mirror network that nobody has to trust")
  .version(version)
  .exitOverride()
  // It repeats words of the command line, which may be names of others.
  .configureOutput({ writeErr: (text) => process.stderr.write(printable(text)) })
  .enablePositionalOptions()
  .showHelpAfterError()
  .addHelpText(
    "after",
    "\nExit codes: 0 ok, 1 error, 2 usage, 3 verification failed, 4 stale, 5 no quorum, 6 misbehaviour proven, 7 incomplete, 8 storage, 9 conflict",
  );
for (const { load } of roomsFor(process.argv[2])) (await load())(program);
for (const command of program.commands) inheritExit(command);

/** Subcommands report usage errors like the program itself. */
function inheritExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) inheritExit(child);
}

// A reader of our output may close early (head, less).
process.stdout.on("error", (error: NodeJS.ErrnoException) =>
  process.exit(error.code === "EPIPE" ? exitCodes.ok : exitCodes.error),
);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  else {
    const { code } = error as { code?: unknown };
    note(
      `${pc.red("smalti:")} ${error instanceof Error ? error.message : String(error)}${typeof code === "string" ? pc.dim(` [${code}]`) : ""}`,
    );
    for (const file of await keepEvidence(error))
      note(`kept: ${file}; show it to anybody: smalti evidence submit ${file}`);
    process.exitCode = exitCodeOf(error);
  }
}
