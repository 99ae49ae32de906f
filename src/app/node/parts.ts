import type { Network } from "../../core/committee/index.ts";
import type { Ed25519Verifier } from "../../core/crypto/index.ts";
import type { LoadedKey } from "../../io/files/index.ts";
import type { Config } from "../config/index.ts";
import type { HostStore } from "../store/index.ts";
import type { Log, Metrics } from "../telemetry/index.ts";
import type { NodeCore } from "./node-core.ts";
import type { ReaderNode } from "./reader-node.ts";
import type { WriterNode } from "./writer-node.ts";

/** What a host is put together from. */
export interface Parts {
  readonly config: Config;
  readonly network: Network;
  readonly genesisText: string;
  readonly genesisFile: string;
  readonly dataDirectory: string;
  readonly store: HostStore;
  readonly core: NodeCore;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly nodeKey: LoadedKey;
  readonly verifier: Ed25519Verifier;
  readonly fatal: (error: unknown) => void;
}

/** The part of a host that differs by role. */
export interface Engine {
  readonly writer: WriterNode | undefined;
  readonly reader: ReaderNode | undefined;
  start(): Promise<void>;
  stop(): Promise<void>;
}
