export {
  cosignerName,
  cosignerOf,
  type Genesis,
  type GenesisWriter,
  type Network,
  type NetworkParent,
  networkOf,
} from "./genesis.ts";
