import { Author, type Digest } from "../../src/core/base/index.ts";
import { type Signer, sha256 } from "../../src/core/crypto/index.ts";
import {
  type Change,
  changesDigest,
  type Executed,
  encodeChanges,
  encodeHeld,
  execute,
  genesisState,
  type Leaf,
  type MirrorConfig,
  type MirrorEvent,
  type MirrorState,
  messageKinds,
  type OrderedMessage,
  signUpdate,
  type UpdateSource,
} from "../../src/core/mirror/index.ts";
import { lonelyMirror } from "./mirror-config.ts";

/** The network of these tests. */
export const group = sha256(Buffer.from("group"));

/** A file that has this content. */
export function file(content: string, executable = false): Leaf {
  return { kind: "file", digest: sha256(Buffer.from(content)), size: content.length, executable };
}

/** Executes batches upon memory, with all change lists at hand unless told otherwise. */
export class Replica {
  readonly data = new Map<string, Uint8Array>();
  readonly changes = new Map<Digest, Uint8Array>();
  readonly events: MirrorEvent[] = [];
  readonly config: MirrorConfig = lonelyMirror(group, 3);
  state: MirrorState;

  constructor(admin: Signer, publishers: readonly Signer[]) {
    this.state = genesisState({
      policy: {
        version: 0,
        administrators: [admin.publicKey],
        publishers: publishers.map((signer) => ({
          key: signer.publicKey,
          name: "p",
          trees: ["t*"],
        })),
      },
      commit: group,
      timeMs: 1000,
    });
  }

  run(messages: readonly OrderedMessage[], tsMs = this.state.tsMs + 1): Executed {
    const index = this.state.commit.index + 1;
    const batch = {
      index,
      digest: sha256(Buffer.from(`${index}`)),
      tsMs,
      applications: 0,
      messages,
    };
    const view = {
      get: (key: string) => this.data.get(key),
      changes: (digest: Digest) => this.changes.get(digest),
    };
    const done = execute(this.state, batch, { view, config: this.config });
    if (done.kind === "needs") return done;
    this.state = done.state;
    for (const [key, value] of done.writes) {
      if (value === undefined) this.data.delete(key);
      else this.data.set(key, value);
    }
    this.events.push(...done.events);
    return done;
  }

  outcomes(): string[] {
    return this.events.flatMap((event) => (event.type === "finished" ? [event.outcome] : []));
  }
}

let nonce = 0;

/** Something that is ordered and means nothing. */
export const noise: OrderedMessage = { author: Author(0), kind: 200, bytes: new Uint8Array(1) };

/** A signed update, its list at hand; `tooLong`: by so many bytes its record says too much. */
export function update(
  replica: Replica,
  signer: Signer,
  changes: readonly Change[],
  {
    tree = "tree",
    tooLong = 0,
    source,
  }: { readonly tree?: string; readonly tooLong?: number; readonly source?: UpdateSource } = {},
): { id: Digest; message: OrderedMessage } {
  const bytes = encodeChanges({ tree, baseHeight: 0, changes });
  replica.changes.set(changesDigest(bytes), bytes);
  const record = {
    group,
    publisher: signer.publicKey,
    tree,
    changes: { digest: changesDigest(bytes), bytes: bytes.length + tooLong },
    nonce: (nonce++).toString(16).padStart(32, "0"),
    ...(source === undefined ? {} : { source }),
  };
  const signed = signUpdate(record, signer);
  return {
    id: signed.id,
    message: { author: Author(0), kind: messageKinds.update, bytes: signed.wire },
  };
}

/** A writer says that it has updates. */
export function held(author: number, ...ids: Digest[]): OrderedMessage {
  return { author: Author(author), kind: messageKinds.held, bytes: encodeHeld(ids) };
}

/** A change that brings a small file. */
export function put(path: string, content: string, expect: Change["expect"] = "absent"): Change {
  return { path, leaf: file(content), expect };
}
