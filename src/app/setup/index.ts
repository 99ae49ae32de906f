export {
  checkedGenesis,
  createHome,
  createTestnet,
  defaultLeaders,
  genesisWriter,
  type HomeIdentity,
  type Lie,
  lieKinds,
  type Testnet,
  type TestnetHost,
  type TestnetOptions,
} from "./setup.ts";
