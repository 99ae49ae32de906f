export {
  type Config,
  type ConfigInput,
  checkedEndpoint,
  formatConfig,
  type Home,
  homeOf,
  isAnyAddress,
  type LieKind,
  lieKinds,
  loadConfig,
  parseConfig,
  splitEndpoint,
} from "./config.ts";
export { loadGenesis } from "./load-genesis.ts";
export { version } from "./version.ts";
