export {
  checkedGenesis,
  createHome,
  createTestnet,
  defaultLeaders,
  genesisWriter,
  type HomeIdentity,
  type Testnet,
  type TestnetHost,
  type TestnetOptions,
} from "./setup.ts";
