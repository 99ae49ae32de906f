/** A local directory cannot be published as it is; names the path and why. */
export class LocalTreeError extends Error {
  override readonly name = "LocalTreeError";
  readonly code: string;
  constructor(message: string, code = "BAD_LOCAL_TREE") {
    super(message);
    this.code = code;
  }
}

/** A file vanished or changed between two looks at it: nobody else is to blame. */
export function changedWhile(file: string): LocalTreeError {
  return new LocalTreeError(`${file} changed while it was published; run again`, "LOCAL_CHANGED");
}

/** What the system said of a local file, as an error that names it. */
export function localFault(file: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return changedWhile(file);
  if (code === "EACCES" || code === "EPERM")
    return new LocalTreeError(
      `${file} may not be read (${code}); mend its rights, or leave it out`,
    );
  return error;
}
