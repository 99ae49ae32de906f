import { consistencyProof, type HashReader, nodeHash } from "../../core/crypto/index.ts";
import { type Ask, askBytes, ServerError } from "./transfer.ts";

/** Hashes of a full tile (C2SP tlog-tiles). */
const tileWidth = 256;
const hashBytes = 32;

/** A tile that a computation wants and that was not fetched yet. */
class TileWanted extends Error {
  readonly path: string;
  constructor(path: string) {
    super(path);
    this.path = path;
  }
}

/** 1 234 067 is `x001/x234/067`. */
function indexPath(index: number): string {
  const digits = String(index);
  const parts = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) ?? [];
  return parts.map((part, i) => (i === parts.length - 1 ? part : `x${part}`)).join("/");
}

/**
 * That the log of `from` leaves is the beginning of that of `to`, from the tiles that any web server can hold. What it
 * returns proves nothing before it is verified. Throws where a tile cannot be had.
 */
export async function consistencyFromTiles(
  server: string,
  { from, to }: { readonly from: number; readonly to: number },
  options: Ask = {},
): Promise<readonly Uint8Array[]> {
  const tiles = new Map<string, Uint8Array>();
  const read: HashReader = (level, index) => {
    const tileLevel = Math.floor(level / 8);
    const width = 2 ** (level - 8 * tileLevel);
    const first = index * width;
    const tile = Math.floor(first / tileWidth);
    const complete = Math.floor(to / tileWidth ** tileLevel) - tile * tileWidth;
    const suffix = complete >= tileWidth ? "" : `.p/${complete}`;
    const path = `${tileLevel}/${indexPath(tile)}${suffix}`;
    const bytes = tiles.get(path);
    if (bytes === undefined) throw new TileWanted(path);
    const at = (first % tileWidth) * hashBytes;
    return subtree(bytes.subarray(at, at + width * hashBytes));
  };
  for (;;) {
    try {
      return consistencyProof(from, to, read);
    } catch (error) {
      if (!(error instanceof TileWanted)) throw error;
      const url = `${server}/.smalti/tile/${error.path}`;
      const tile = await askBytes(url, tileWidth * hashBytes, options);
      const width = Number(/\.p\/(\d+)$/.exec(error.path)?.[1] ?? tileWidth);
      if (tile.length !== width * hashBytes)
        throw new ServerError(url, 200, "MALFORMED", `the tile has ${tile.length} bytes`);
      tiles.set(error.path, tile);
    }
  }
}

/** The root over 2^k hashes that stand one after the other. */
function subtree(hashes: Uint8Array): Uint8Array {
  if (hashes.length <= hashBytes) return hashes;
  const half = hashes.length / 2;
  return nodeHash(subtree(hashes.subarray(0, half)), subtree(hashes.subarray(half)));
}
