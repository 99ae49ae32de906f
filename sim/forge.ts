import { cosign, sha256 } from "../src/core/crypto/index.ts";
import {
  type Block,
  blockSigningBytes,
  encodeHeader,
  type Header,
  headerDigest,
  wireOf,
} from "../src/core/dag/index.ts";
import type { SimWriter } from "./host.ts";
import { encodeMessage, type PeerMessage } from "./messages.ts";
import type { Realm } from "./realm.ts";

/** A block with a changed header, signed by its author: what only a cheating writer can make. */
export function forged(
  { world, writer }: { readonly world: Realm; readonly writer: SimWriter },
  block: Block,
  change: Partial<Header>,
): Block {
  const header: Header = { ...block.header, ...change };
  const bytes = encodeHeader(header);
  const digest = headerDigest(header, bytes);
  const { block: signer } = world.signersOf(writer.author);
  const signature = signer.sign(blockSigningBytes(digest));
  return {
    ...block,
    header,
    ref: { round: header.round, author: header.author, digest },
    signed: { bytes, signature },
    wire: wireOf({ bytes, signature }, block.payload),
  };
}

/** A cosignature on another root. */
export function recosigned(
  world: Realm,
  writer: SimWriter,
  told: Extract<PeerMessage, { type: "cosignature" }>,
): Uint8Array {
  const root = Buffer.from(told.root);
  root[0] = (root[0] ?? 0) ^ 1;
  const checkpoint = { origin: world.network.origin, size: told.size, root };
  const name = world.network.cosigners[writer.author]?.name ?? "";
  const { cosign: signer } = world.signersOf(writer.author);
  const { signature } = cosign(checkpoint, { name, signer, timeS: told.timeS });
  return encodeMessage({ ...told, root, signature });
}

/** A block with other bytes in the place of its payload, as its header says. */
export function withPayload(
  by: { readonly world: Realm; readonly writer: SimWriter },
  block: Block,
  payload: Uint8Array,
): Block {
  const { segments } = block.header.payload;
  const named = { digest: sha256(payload), bytes: payload.length, segments };
  const { header, ref, signed } = forged(by, block, { payload: named });
  return { ...block, header, ref, signed, payload, wire: wireOf(signed, payload) };
}
