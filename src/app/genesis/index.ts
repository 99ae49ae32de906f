export { algorithms, parseGenesis } from "./algorithms.ts";
export { ConfigError, issueText } from "./config-error.ts";
export {
  formatGenesis,
  parseWriterEntry,
  readGenesis,
  splitsIn,
  withSplit,
} from "./genesis-file.ts";
