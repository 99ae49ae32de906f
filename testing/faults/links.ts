import { type LinkName } from "../../src/core/base/index.ts";
import { type Signer, type Verifier } from "../../src/core/crypto/index.ts";
import { blockSigningBytes, type DagConfig, decodeDagMessage, encodeDagMessage, encodeHeader, headerDigest, verifyBlock, wireOf } from "../../src/core/dag/index.ts";

/** What goes to whom of a broadcast. */
interface Part {
  readonly to: readonly LinkName[];
  readonly frame: Uint8Array;
}
/** How a writer that cheats bends what it says to all. */
export type Bend = (to: readonly LinkName[], frame: Uint8Array) => readonly Part[];

/** Its blocks reach one peer only; the others must ask for them. */
export const withholding: Bend = (to, frame) =>
  isBlock(frame) ? [{ to: to.slice(0, 1), frame }] : [{ to, frame }];

/** One peer is shown one block for each round, the others another one, as well signed. */
export function equivocating(by: {
  readonly config: DagConfig;
  readonly signer: Signer;
  readonly verifier: Verifier;
}): Bend {
  return (to, frame) => {
    const twin = twinOf(frame, by);
    if (twin === undefined) return [{ to, frame }];
    return [
      { to: to.slice(0, 1), frame },
      { to: to.slice(1), frame: twin },
    ];
  };
}

function isBlock(frame: Uint8Array): boolean {
  const message = decodeDagMessage(frame);
  return message.ok && message.value.type === "block";
}

/** Another block for the same slot; `undefined` for frames that are no blocks. */
function twinOf(
  frame: Uint8Array,
  { config, signer, verifier }: Parameters<typeof equivocating>[0],
): Uint8Array | undefined {
  const message = decodeDagMessage(frame);
  if (!message.ok || message.value.type !== "block") return undefined;
  const block = verifyBlock(message.value.wire, config, verifier);
  if (!block.ok) return undefined;
  const { header, payload } = block.value;
  const other = { ...header, tsMs: header.tsMs + 1 };
  const bytes = encodeHeader(other);
  const signature = signer.sign(blockSigningBytes(headerDigest(other, bytes)));
  return encodeDagMessage({ type: "block", wire: wireOf({ bytes, signature }, payload) });
}
