import { pino } from "pino";

/** Structured log lines, one JSON object each, on standard error. */
export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** Structured lines on standard error, from a level on. */
export function openLog(level: string, name: string): Log {
  return pino({ level, name, base: { name } }, pino.destination({ fd: 2, sync: false }));
}
