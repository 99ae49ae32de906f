import { tmpdir } from "node:os";
import type { FastifyInstance } from "fastify";
import { type Lie, MarkFile, MirrorClient, type Trust } from "../client/index.ts";
import { configureServer, listenOn, treeRoutes } from "../gateway/index.ts";
import { HeadKeeper } from "./head-keeper.ts";
import { type LiarRow, Liars } from "./liars.ts";
import { LightHost } from "./light-host.ts";

/** A server that does not answer for so long is left for another one, milliseconds. */
const patienceMs = 3000;

export interface LightOptions {
  readonly trust: Trust;
  /** Whom to ask; none of them is trusted. */
  readonly servers: readonly string[];
  readonly listen: { readonly host: string; readonly port: number };
  /** Where it remembers what it has seen, and who lied. */
  readonly stateDirectory: string;
  /** What no quorum has vouched for within so many seconds is not served. */
  readonly maxAgeS: number;
  readonly onLie?: (lie: Lie) => void;
}

export interface RunningLight {
  readonly port: number;
  close(): Promise<void>;
}

/** What the proxy tells of itself at `/.smalti/light.json`. */
export interface LightStatus {
  readonly group: string;
  readonly height: number;
  /** When a quorum had vouched for it, POSIX seconds. */
  readonly leaseS: number;
  readonly servers: readonly { readonly url: string; readonly isAvoided: boolean }[];
  readonly liars: readonly LiarRow[];
  /** Why there is nothing newer. */
  readonly problem: string | undefined;
}

/**
 * Serves trees on this machine to tools that verify nothing: what it hands out was verified against the genesis before
 * the first byte, whoever it came from. Throws where it cannot listen, and if no server shows a state.
 */
export async function openLight(options: LightOptions): Promise<RunningLight> {
  const { trust, servers, stateDirectory, maxAgeS, onLie } = options;
  const liars = new Liars({ directory: stateDirectory, trust, servers });
  const known = await liars.load();
  const client: MirrorClient = new MirrorClient({
    trust,
    servers,
    patienceMs,
    marks: new MarkFile(stateDirectory, trust.network.group),
    // What is served is bounded in its age by whoever keeps the head.
    maxAgeS: Number.POSITIVE_INFINITY,
    onLie: (lie) => {
      liars.remember(lie);
      onLie?.(lie);
      // Hosts sign for the newest height; what they then say of it is judged by the height that they name.
      const url = lie.url?.replace(/^\/@\d+/, "");
      if (url !== undefined) void liars.prove(lie.server, url).catch(() => undefined);
    },
  });
  client.distrust(known.map(({ server }) => server));
  const heads = new HeadKeeper(client, maxAgeS);
  const host = new LightHost({ client, heads, spool: tmpdir() });
  const server = configureServer();
  server.get("/.smalti/light.json", (_, reply) =>
    reply.header("cache-control", "no-store").send(statusOf({ trust, client, heads, liars })),
  );
  server.get("/.smalti/*", (_, reply) =>
    reply.code(404).send({
      code: "NOT_FOUND",
      message: "this is a proxy for trees; ask a host for its API",
    }),
  );
  prepareAll(server, host);
  treeRoutes(server, host);
  const port = await listenOn(server, options.listen);
  const close = async (): Promise<void> => {
    await server.close();
    await liars.saved();
  };
  await heads.newest().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return { port, close };
}

/** Every request for a tree first brings the state that it is about; where that cannot be had, it is refused. */
function prepareAll(server: FastifyInstance, host: LightHost): void {
  server.addHook("preHandler", async (request, reply) => {
    if (request.raw.url?.startsWith("/.smalti/") === true) return;
    try {
      await host.prepare();
    } catch (error) {
      const { status, code } = host.refusal(error);
      const message = error instanceof Error ? error.message : String(error);
      return reply.code(status).header("cache-control", "no-store").send({ code, message });
    }
  });
}

function statusOf(of: {
  readonly trust: Trust;
  readonly client: MirrorClient;
  readonly heads: HeadKeeper;
  readonly liars: Liars;
}): LightStatus {
  const { last, problem } = of.heads;
  return {
    group: of.trust.network.group,
    height: last?.height ?? 0,
    leaseS: last?.leaseS ?? 0,
    servers: of.client.standings,
    liars: of.liars.rows,
    problem,
  };
}
