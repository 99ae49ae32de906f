import type { Digest } from "../../core/base/index.ts";

/** The disk changed a blob, or lost it. The blob is forgotten; a neighbour may have it. */
export class BlobError extends Error {
  override readonly name = "BlobError";
  readonly code: "BLOB_CORRUPT" | "BLOB_MISSING";
  readonly digest: Digest;
  constructor(code: "BLOB_CORRUPT" | "BLOB_MISSING", digest: Digest, message: string) {
    super(message);
    this.code = code;
    this.digest = digest;
  }
}
