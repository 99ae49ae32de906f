import { randomBytes } from "node:crypto";
import {
  MirrorClient,
  planPublish,
  publishChanges,
  scanDirectory,
  type Trust,
} from "../../src/app/client/index.ts";
import { loadGenesis } from "../../src/app/config/index.ts";
import { Ed25519Verifier, sha256 } from "../../src/core/crypto/index.ts";
import {
  type ChangeList,
  encodeChanges,
  type SignedUpdate,
  signUpdate,
  type UpdateRecord,
} from "../../src/core/mirror/index.ts";
import { type LoadedKey, loadKeyFile } from "../../src/io/files/index.ts";
import type { Net } from "./net.ts";

/** A publisher inside the test's own process: no start of a command for every step. */
export class Publisher {
  readonly trust: Trust;
  readonly key: LoadedKey;
  readonly #writers: readonly string[];

  constructor(trust: Trust, key: LoadedKey, writers: readonly string[]) {
    this.trust = trust;
    this.key = key;
    this.#writers = writers;
  }

  client(servers: readonly string[] = this.#writers): MirrorClient {
    return new MirrorClient({ trust: this.trust, servers });
  }

  /** Brings a directory into a tree (deleting what it lacks); returns the height that made. */
  async publish(
    directory: string,
    tree: string,
    writers: readonly string[] = this.#writers,
  ): Promise<number> {
    const client = this.client(this.#writers);
    const local = await scanDirectory(directory);
    const head = await client.newestHead().catch(() => undefined);
    const differences = await client.differences(head, tree, local);
    const baseHeight = head?.height ?? 0;
    const plan = planPublish({ tree, baseHeight, differences, delete: true });
    const { trust, key } = this;
    const { verified } = await publishChanges({ trust, writers, signer: key.signer, plan, local });
    return verified.height;
  }

  /** A signed record over a change list, with any field of the record bent. */
  sign(
    changes: ChangeList,
    bend: Partial<UpdateRecord> = {},
  ): { update: SignedUpdate; bytes: Uint8Array } {
    const bytes = encodeChanges(changes);
    return { update: this.signBytes(changes.tree, bytes, bend), bytes };
  }

  signBytes(tree: string, bytes: Uint8Array, bend: Partial<UpdateRecord> = {}): SignedUpdate {
    const record: UpdateRecord = {
      group: this.trust.network.group,
      publisher: this.key.publicKey,
      tree,
      changes: { digest: sha256(bytes), bytes: bytes.length },
      nonce: randomBytes(16).toString("hex"),
      ...bend,
    };
    return signUpdate(record, this.key.signer);
  }
}

export async function publisherOf(
  net: Net,
  writers = net.writers.map(({ http }) => http),
): Promise<Publisher> {
  const trust = {
    network: await loadGenesis(net.testnet.genesisFile),
    verifier: new Ed25519Verifier(),
  };
  return new Publisher(trust, await loadKeyFile(net.testnet.publisherKey, "publisher"), writers);
}
