/** A peer's fault is a value: a stable code and facts for the log. */
export interface Fault {
  readonly code: string;
  readonly detail: string;
}
/** A value, or the fault that kept it from being made. */
export type Result<T, E = Fault> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: E };

/** A value that was made. */
export function ok<T>(value: T): Result<T, never> {
  return { ok: true, value };
}
/** A fault with a stable code and a sentence for people. */
export function fail(code: string, detail: string): Result<never, Fault> {
  return { ok: false, error: { code, detail } };
}
