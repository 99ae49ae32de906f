export {
  cosignerName,
  cosignerOf,
  type Genesis,
  type GenesisWriter,
  lineageOf,
  type Network,
  type NetworkParent,
  networkOf,
} from "./genesis.ts";
