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

/** A key that no shape has: of it only is said that nothing was expected there. */
const isUnknown = ({ type, expected }: v.BaseIssue<unknown>): boolean =>
  type === "strict_object" && expected === "never";

/** "http.listen: expected host:port" for the first few issues. */
export function issueText(issues: readonly v.BaseIssue<unknown>[]): string {
  return issues
    .slice(0, 5)
    .map((issue) => {
      const path = (issue.path ?? [])
        .map((item) => String((item as { key?: unknown }).key))
        .join(".");
      const message = isUnknown(issue) ? "there is no such setting" : issue.message;
      return path === "" ? message : `${path}: ${message}`;
    })
    .join("; ");
}
