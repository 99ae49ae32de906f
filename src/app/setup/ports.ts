import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Below what Linux, macOS and Windows hand out to outgoing connections, above the services. */
const range = { from: 10_240, to: 32_768 };
const triesMax = 200;

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/**
 * `count` different TCP ports of the loopback address on which nobody listens. Drawn below the
 * range of outgoing connections: a port that the system picks itself may be given to the next
 * connection of any process before its host is started.
 */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries++) {
    if (tries > triesMax + count) throw new Error(`no ${count} free ports on 127.0.0.1`);
    const port = randomInt(range.from, range.to);
    if (!found.has(port) && (await isFree(port))) found.add(port);
  }
  return [...found];
}
