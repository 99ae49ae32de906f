export {
  type Config,
  type ConfigInput,
  formatConfig,
  type Home,
  homeOf,
  loadConfig,
  parseConfig,
  splitEndpoint,
} from "./config.ts";
export { ConfigError } from "./config-error.ts";
export {
  formatGenesis,
  loadGenesis,
  parseGenesis,
  parseWriterEntry,
  splitsIn,
  withSplit,
} from "./genesis-file.ts";
export { version } from "./version.ts";
