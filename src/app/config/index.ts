export {
  ConfigError,
  formatGenesis,
  parseGenesis,
  parseWriterEntry,
  splitsIn,
  withSplit,
} from "../genesis/index.ts";
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
export { loadGenesis } from "./load-genesis.ts";
export { version } from "./version.ts";
