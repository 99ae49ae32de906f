/** What went wrong outside of this program, with a stable code (`docs/reference/errors.md`) and a sentence for people. */
export class CodedError extends Error {
  override readonly name: string = "CodedError";
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
