import { randomInt } from "node:crypto";
import { createServer, type ListenOptions } from "node:net";
import { CodedError } from "../../core/base/index.ts";

/** Below what Linux, macOS and Windows hand out to outgoing connections, above the services. */
const range = { from: 10_240, to: 32_768 };
/** A process draws from one such part of the range. */
const sliceCount = 44;
const slicePorts = Math.floor((range.to - range.from) / sliceCount);
const triesMax = 4 * slicePorts;

/** Listens, and either goes on for as long as this process lives or stops at once; false if somebody else does. */
async function listens(at: ListenOptions, { goesOn }: { goesOn: boolean }): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(at, () => {
      if (goesOn) resolve(server.unref().listening);
      else server.close(() => resolve(true));
    });
  });
}

/**
 * A part of the range that is this process's own while it lives, so that what it gave to a host that is not running just
 * now goes to nobody else. Claimed by an abstract socket (Linux), which ends with its process and leaves no file.
 */
async function claimSlice(): Promise<number> {
  const first = randomInt(sliceCount);
  if (process.platform !== "linux") return first;
  for (let i = 0; i < sliceCount; i++) {
    const slice = (first + i) % sliceCount;
    if (await listens({ path: `\0smalti-ports-${slice}` }, { goesOn: true })) return slice;
  }
  return first;
}

let claimed: Promise<number> | undefined;
const drawn = new Set<number>();

/**
 * `count` different TCP ports of the loopback address on which nobody listens, none of which this process was given
 * before if it can be helped. Drawn below the range of outgoing connections: a port that the system picks itself may be
 * given to the next connection of any process before its host is started.
 */
export async function freePorts(count: number): Promise<number[]> {
  claimed ??= claimSlice();
  const from = range.from + slicePorts * (await claimed);
  if (drawn.size + count > slicePorts / 2) drawn.clear();
  const found: number[] = [];
  for (let tries = 0; found.length < count; tries++) {
    if (tries > triesMax)
      throw new CodedError("LISTEN_FAILED", `no ${count} free ports on 127.0.0.1`);
    const port = from + randomInt(slicePorts);
    if (drawn.has(port) || found.includes(port)) continue;
    drawn.add(port);
    if (await listens({ port, host: "127.0.0.1" }, { goesOn: false })) found.push(port);
  }
  return found;
}
