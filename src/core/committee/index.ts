export {
  cosignerName,
  cosignerOf,
  type Genesis,
  type GenesisWriter,
  groupOf,
  lineageOf,
  type Network,
  type NetworkParent,
  networkOf,
} from "./genesis.ts";
export type { Writer } from "./writer.ts";
