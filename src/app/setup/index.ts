export { freePorts } from "./ports.ts";
export {
  checkedGenesis,
  createHome,
  createTestnet,
  genesisWriter,
  type HomeIdentity,
  type Lie,
  type Testnet,
  type TestnetHost,
  type TestnetOptions,
} from "./setup.ts";
