import type { Author } from "../src/core/base/index.ts";

/** How a sender that cheats changes what it sends; an honest one sends each frame as it is. */
export type Outgoing = (
  frame: Uint8Array,
  peer: Author,
) => readonly { readonly frame: Uint8Array; readonly extraMs?: number }[];
