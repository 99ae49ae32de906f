/**
 * smalti as a library: start a host, publish, fetch and verify, or use only the totally ordered broadcast.
 *
 * @packageDocumentation
 */
export {
  AbsentError,
  Appender,
  appendMessages,
  ConflictError,
  changePublisher,
  ExportError,
  type ExportResult,
  exportTree,
  ForkError,
  type HighWaterMark,
  type Lie,
  type LocalLeaf,
  type LoggedMessage,
  MarkFile,
  type MarkStore,
  MirrorClient,
  NoHonestServerError,
  type Plan,
  type Published,
  type PublishProgress,
  planPublish,
  publishChanges,
  RefusedError,
  ServerError,
  StaleError,
  scanDirectory,
  type Trust,
  tailMessages,
  type VerifiedHead,
  type VerifiedReceipt,
  verifyHead,
  verifyReceipt,
} from "./app/client/index.ts";
export { type Config, loadGenesis, version } from "./app/config/index.ts";
export { ConfigError, formatGenesis, parseGenesis } from "./app/genesis/index.ts";
export { type RunningNode, startNode } from "./app/node/index.ts";
export { createTestnet, type Testnet, type TestnetOptions } from "./app/setup/index.ts";
export type { Genesis, Network } from "./core/committee/index.ts";
export { Ed25519Verifier, type Signer, type Verifier } from "./core/crypto/index.ts";
export type { Change, Entry, Leaf } from "./core/mirror/index.ts";
export { createKeyFile, type KeyRole, type LoadedKey, loadKeyFile } from "./io/files/index.ts";
