import type { Author, PublicKey } from "../base/index.ts";

/** One writer as a committee knows it: one key per role. */
export interface Writer {
  readonly index: Author;
  /** Short unique name, e.g. `w0`. */
  readonly name: string;
  /** Identity on links between hosts. */
  readonly nodeKey: PublicKey;
  /** Signs blocks. */
  readonly blockKey: PublicKey;
  /** Cosigns checkpoints. */
  readonly cosignKey: PublicKey;
}
