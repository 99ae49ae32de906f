import { Agent, type ClientRequest, type IncomingMessage, request as plain } from "node:http";
import type { Agent as SecureAgent } from "node:https";
import { pipeline } from "node:stream/promises";
import { CodedError } from "../../core/base/index.ts";

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

/** With a time of their own, kept connections are left before the server closes them, as it says when it does. */
const kept = { keepAlive: true, timeout: 60_000 };
const agent = new Agent(kept);
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

const dropBytesMax = 128 * 1024;

/** Reads the rest of a short body and forgets it, so that the connection can be used again; a longer one is cut. */
export function drop(body: IncomingMessage): void {
  let bytes = 0;
  body.on("error", () => undefined);
  body.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > dropBytesMax) body.destroy();
  });
}

async function open(url: string, question: Question): Promise<ClientRequest> {
  const { method, headers, patienceMs: timeout, signal } = question;
  const options = { method, headers, timeout, ...(signal === undefined ? {} : { signal }) };
  if (!url.startsWith("https:")) return plain(url, { ...options, agent });
  // Only now: few commands need it.
  const { Agent: SecureAgent, request } = await import("node:https");
  secureAgent ??= new SecureAgent(kept);
  return request(url, { ...options, agent: secureAgent });
}

function isStream(body: Question["body"]): body is AsyncIterable<Uint8Array> {
  return body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
}

function answerTo(asked: ClientRequest, { body, patienceMs }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const late = (): void =>
      void asked.destroy(new CodedError("TOO_SLOW", `no answer within ${patienceMs} ms`));
    let headTimer: NodeJS.Timeout | undefined;
    const startTimer = (): void => {
      if (patienceMs > 0) headTimer = setTimeout(late, patienceMs);
    };
    const failed = (error: Error): void => {
      clearTimeout(headTimer);
      reject(error);
    };
    asked.once("timeout", late).once("finish", startTimer).on("error", failed);
    // So ends what is answered with another protocol (101): without an error.
    asked.once("close", () =>
      failed(new CodedError("NO_SERVER", "the connection was closed without an answer")),
    );
    asked.once("response", (answer) => {
      clearTimeout(headTimer);
      asked.off("timeout", late).off("finish", startTimer);
      giveUpWhenIdle(answer, patienceMs);
      // A server that answers before it has all of a body does not want the rest, and Node sends no more of it.
      answer.once("end", () => {
        if (!asked.writableFinished) asked.destroy();
      });
      resolve({ statusCode: answer.statusCode ?? 0, headers: answer.headers, body: answer });
    });
    if (!isStream(body)) asked.end(body);
    else pipeline(body, asked).catch(reject);
  });
}

/** A server is idle only where nothing that it sent waits for us, nor did when we last looked. */
function giveUpWhenIdle(answer: IncomingMessage, patienceMs: number): void {
  let isOurs = false;
  answer.on("timeout", () => {
    const wasOurs = isOurs;
    isOurs = answer.readableLength > 0;
    if (isOurs || wasOurs) answer.socket.setTimeout(patienceMs);
    else answer.destroy(new CodedError("TOO_SLOW", `no byte within ${patienceMs} ms`));
  });
}
