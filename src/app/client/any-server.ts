import { setTimeout as sleep } from "node:timers/promises";
import { CodedError, limits } from "../../core/base/index.ts";
import { quorumOf } from "./server-pool.ts";
import { askBytes, ServerError } from "./transfer.ts";

/** Time after which the next server is asked too, milliseconds. */
const hedgeMs = 1000;
/** Once one has answered, or a quorum, the others have so long, milliseconds. */
const graceMs = { one: 200, quorum: 50 };
/** Servers that answer nothing for so long are asked last, milliseconds. */
const pingMs = 1000;

/**
 * Asks servers one after the other until one answers: the next one when one fails, or says nothing for a second; what is
 * then still asked is given up. For questions of which any server's answer will do. Throws the errors of all as one.
 */
export async function askAny<T>(
  servers: readonly string[],
  question: (server: string, signal: AbortSignal) => Promise<T>,
): Promise<{ readonly server: string; readonly answer: T }> {
  const stop = new AbortController();
  const errors: string[] = [];
  let failed: () => void = () => undefined;
  const attempt = async (server: string): Promise<{ server: string; answer: T }> => {
    try {
      return { server, answer: await question(server, stop.signal) };
    } catch (error) {
      errors.push(error instanceof ServerError ? error.message : `${server}: ${String(error)}`);
      failed();
      throw error;
    }
  };
  const attempts: Promise<{ server: string; answer: T }>[] = [];
  try {
    for (const server of servers) {
      const next = new Promise<undefined>((resolve) => {
        failed = () => resolve(undefined);
      });
      const asked = attempt(server);
      asked.catch(() => undefined);
      attempts.push(asked);
      const patience = sleep(hedgeMs, undefined, { signal: stop.signal }).catch(() => undefined);
      const answered = await Promise.race([
        Promise.any(attempts).catch(() => undefined),
        next,
        patience,
      ]);
      if (answered !== undefined) return answered;
    }
    return await Promise.any(attempts);
  } catch {
    const told = errors.map((error) => `\n  ${error}`).join("");
    throw new CodedError("NO_SERVER", `no server answers${told}`);
  } finally {
    stop.abort();
  }
}

/**
 * The servers, those first that answer a small question at once, or soon after the first one did: one that hangs must hold
 * up nobody.
 */
export async function answeringFirst(servers: readonly string[]): Promise<readonly string[]> {
  if (servers.length < 2) return servers;
  const quick = new Set<string>();
  const stop = new AbortController();
  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { ref: false });
  let quorumAnswered: () => void = () => undefined;
  const quorum = new Promise<void>((done) => {
    quorumAnswered = done;
  });
  const asked = servers.map(async (server) => {
    if (!(await isAnswering(server, stop.signal))) throw new CodedError("NO_SERVER", "no answer");
    quick.add(server);
    if (quick.size === quorumOf(servers.length)) quorumAnswered();
  });
  const first = Promise.any(asked).catch(() => undefined);
  await Promise.race([first, pause(pingMs)]);
  const most = quorum.then(() => pause(graceMs.quorum));
  await Promise.race([Promise.allSettled(asked), pause(graceMs.one), most]);
  // Who is still asked need not answer: it would keep a command from ending.
  stop.abort();
  return [
    ...servers.filter((server) => quick.has(server)),
    ...servers.filter((server) => !quick.has(server)),
  ];
}

/** Also one that says no. */
async function isAnswering(server: string, signal: AbortSignal): Promise<boolean> {
  const options = { patienceMs: pingMs, signal };
  try {
    await askBytes(`${server}/.smalti/head`, limits.requestBytesMax, options);
    return true;
  } catch (error) {
    return error instanceof ServerError && error.status >= 400;
  }
}
