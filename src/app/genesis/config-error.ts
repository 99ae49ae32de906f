import type * as v from "valibot";

/** A mistake in a file, a flag or the environment. `code` is stable (docs/reference/errors.md). */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** "http.listen: expected host:port" for the first few issues. */
export function issueText(issues: readonly v.BaseIssue<unknown>[]): string {
  return issues
    .slice(0, 5)
    .map((issue) => {
      const path = (issue.path ?? [])
        .map((item) => String((item as { key?: unknown }).key))
        .join(".");
      return path === "" ? issue.message : `${path}: ${issue.message}`;
    })
    .join("; ");
}
