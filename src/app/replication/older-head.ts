import { equalBytes } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { type Verifier, verifyNote } from "../../core/crypto/index.ts";
import { askBytes } from "../client/index.ts";
import type { Archive, CertifiedHead } from "../store/index.ts";
import type { Heads } from "./heads.ts";

const noteBytesMax = 65_536;

/**
 * A reader whose content is behind the newest checkpoint shows an older one meanwhile: that which was due at what it has
 * all of, as its source has it certified. `undefined` where it has none that is newer than the one that is shown.
 */
export async function olderHead(
  of: {
    readonly heads: Heads;
    readonly servedHeight: number;
    readonly archive: Archive;
    readonly network: Network;
  },
  source: string,
  verifier: Verifier,
): Promise<CertifiedHead | undefined> {
  const { heads, servedHeight, archive, network } = of;
  if ((heads.newest?.due.height ?? 0) <= servedHeight) return undefined;
  const due = archive.dueUpTo(servedHeight);
  if (due === undefined || due.height === 0 || due.size <= (heads.served?.due.size ?? 0))
    return undefined;
  const url = `${source}/.smalti/checkpoint/${due.size}`;
  const note = (await askBytes(url, noteBytesMax, { patienceMs: 5000 })).toString();
  const verified = verifyNote(note, { ...network, verifier });
  if (!verified.ok || !equalBytes(verified.value.checkpoint.root, due.root)) return undefined;
  return { due, note: verified.value.note };
}
