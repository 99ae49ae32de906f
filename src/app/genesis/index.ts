export { algorithms } from "./algorithms.ts";
export { ConfigError, issueText } from "./config-error.ts";
export {
  formatGenesis,
  parseGenesis,
  parseWriterEntry,
  splitsIn,
  withSplit,
} from "./genesis-file.ts";
