export { nodeFiles, replaceFile, syncDirectory } from "./durable.ts";
export {
  createGuard,
  type GuardFile,
  type GuardRow,
  openGuard,
} from "./guard-file.ts";
export { lockIdentity } from "./identity-lock.ts";
export { createKeyFile, type KeyRole, type LoadedKey, loadKeyFile, newKey } from "./key-files.ts";
