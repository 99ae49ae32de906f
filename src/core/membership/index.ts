export {
  cosignerOf,
  type Genesis,
  type GenesisWriter,
  type Network,
  networkOf,
} from "./genesis.ts";
