/** A peer's fault is a value: a stable code and facts for the log. */
export interface Fault {
  readonly code: string;
  readonly detail: string;
}
export type Result<T, E = Fault> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: E };

export function ok<T>(value: T): Result<T, never> {
  return { ok: true, value };
}
export function fail(code: string, detail: string): Result<never, Fault> {
  return { ok: false, error: { code, detail } };
}
