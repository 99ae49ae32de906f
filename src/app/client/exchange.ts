import { Agent, type ClientRequest, type IncomingMessage, request as plain } from "node:http";
import type { Agent as SecureAgent } from "node:https";
import { pipeline } from "node:stream/promises";

/** An answer whose head has come. Its body must be read, or {@link drop}ped. */
export interface Answer {
  readonly statusCode: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: IncomingMessage;
}

export interface Question {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | string | AsyncIterable<Uint8Array> | undefined;
  /** Milliseconds without a byte after which the server is given up; the head must have come in as long. 0: never. */
  readonly patienceMs: number;
  readonly signal: AbortSignal | undefined;
}

const agent = new Agent({ keepAlive: true });
let secureAgent: SecureAgent | undefined;

/**
 * One HTTP exchange, over connections that are kept. (`node:http`: it is there when Node is; a client library from a
 * package took a third of the time of a short command.)
 */
export async function exchange(url: string, question: Question): Promise<Answer> {
  for (;;) {
    const asked = await open(url, question);
    try {
      return await answerTo(asked, question);
    } catch (error) {
      asked.destroy();
      // The server closed a connection that was kept while this was on its way. So on, until a new one is made; but it
      // may have seen the question, so only where asking twice is asking once (RFC 9110 §9.2.2).
      const isStale =
        asked.reusedSocket && (error as NodeJS.ErrnoException | null)?.code === "ECONNRESET";
      const isSafe = question.method !== "POST" && !isStream(question.body);
      if (!isStale || !isSafe) throw error;
    }
  }
}

/** Reads the rest of a body and forgets it, so that the connection can be used again. */
export function drop(body: IncomingMessage): void {
  body.on("error", () => undefined).resume();
}

async function open(url: string, question: Question): Promise<ClientRequest> {
  const { method, headers, signal } = question;
  const options = { method, headers, ...(signal === undefined ? {} : { signal }) };
  if (!url.startsWith("https:")) return plain(url, { ...options, agent });
  // Only now: few commands need it.
  const { Agent: SecureAgent, request } = await import("node:https");
  secureAgent ??= new SecureAgent({ keepAlive: true });
  return request(url, { ...options, agent: secureAgent });
}

function isStream(body: Question["body"]): body is AsyncIterable<Uint8Array> {
  return body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
}

function answerTo(asked: ClientRequest, { body, patienceMs }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const late = (): void => void asked.destroy(new Error(`no answer within ${patienceMs} ms`));
    let headTimer: NodeJS.Timeout | undefined;
    const startTimer = (): void => {
      if (patienceMs > 0) headTimer = setTimeout(late, patienceMs);
    };
    asked.setTimeout(patienceMs, late).once("finish", startTimer);
    asked.on("error", (error) => {
      clearTimeout(headTimer);
      reject(error);
    });
    asked.once("response", (answer) => {
      clearTimeout(headTimer);
      asked.off("timeout", late).off("finish", startTimer);
      giveUpWhenIdle(asked, answer, patienceMs);
      resolve({ statusCode: answer.statusCode ?? 0, headers: answer.headers, body: answer });
    });
    if (!isStream(body)) asked.end(body);
    else pipeline(body, asked).catch(reject);
  });
}

/** A server is idle only where nothing that it sent waits for us. */
function giveUpWhenIdle(asked: ClientRequest, answer: IncomingMessage, patienceMs: number): void {
  asked.on("timeout", () => {
    if (answer.readableLength > 0) answer.socket.setTimeout(patienceMs);
    else answer.destroy(new Error(`no byte within ${patienceMs} ms`));
  });
}
