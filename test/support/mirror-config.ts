import { type Digest, fail } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import type { MirrorConfig } from "../../src/core/mirror/index.ts";
import { fakeVerifier } from "./dag-world.ts";

/** A mirror without hosts: no evidence, no opinions, no splits. */
export function lonelyMirror(group: Digest, heldQuorum: number): MirrorConfig {
  return {
    group,
    groups: new Set([group]),
    verifier: fakeVerifier,
    heldQuorum,
    court: {
      idOf: sha256,
      judge: () => fail("NOT_PROVEN", "no court here"),
      statement: () => fail("MALFORMED", "no opinions here"),
      sibling: () => fail("NO_SIBLING", "no splits here"),
    },
    authorOf: () => undefined,
  };
}
