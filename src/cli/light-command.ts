import type { Command } from "commander";
import pc from "picocolors";
import { splitEndpoint } from "../app/config/index.ts";
import { openLight } from "../app/light/index.ts";
import {
  type CommonOptions,
  secondsFlag,
  serversOf,
  stateDirectory,
  trustOf,
  withOutput,
  withTrust,
} from "./context.ts";
import { note, say, sayEvent } from "./output.ts";
import { endpointFlag } from "./reading.ts";

interface LightFlags extends CommonOptions {
  readonly listen: string;
  readonly maxAge: number;
}

/** `smalti light`: a verifying proxy on the user's own machine, for any tool. */
export function lightCommand(program: Command): void {
  withOutput(
    withTrust(
      program
        .command("light")
        .description(
          "serve verified trees on this machine to any tool, from servers nobody trusts",
        ),
    ),
  )
    .option("--listen <host:port>", "where tools find it", endpointFlag, "127.0.0.1:8888")
    .option(
      "--max-age <time>",
      "serve nothing that the writers have not vouched for lately (90s, 15m, 24h, 7d, none)",
      secondsFlag,
      secondsFlag("1h"),
    )
    .action(async (options: LightFlags) => {
      const trust = await trustOf(options);
      const light = await openLight({
        trust,
        servers: serversOf(options, trust),
        listen: splitEndpoint(options.listen),
        stateDirectory: stateDirectory(options),
        maxAgeS: options.maxAge,
        onLie: ({ server, code, detail }) => {
          if (options.output === "json") sayEvent({ event: "lie", server, code, detail });
          else note(`${pc.red("refused")} ${server}: ${detail}`);
        },
      });
      const { host } = splitEndpoint(options.listen);
      const url = `http://${host.includes(":") ? `[${host}]` : host}:${light.port}`;
      if (options.output === "json") sayEvent({ event: "ready", url });
      else
        say(
          `${pc.green("ready")}: ${url} serves verified trees; what it knows: ${url}/.smalti/light.json`,
        );
      await new Promise<void>((done) => {
        for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => done());
      });
      await light.close();
    });
}
