export {
  type Genesis,
  type GenesisWriter,
  groupOf,
  lineageOf,
  type Network,
  type NetworkParent,
  networkOf,
} from "./genesis.ts";
