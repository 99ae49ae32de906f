import { join } from "node:path";
import { homeOf, type LieKind, loadConfig, loadGenesis } from "../../src/app/config/index.ts";
import { type Outside, outside } from "../../src/app/node/index.ts";
import { Ed25519Verifier, type Signer } from "../../src/core/crypto/index.ts";
import { dagConfigOf } from "../../src/core/dag/index.ts";
import { loadKeyFile } from "../../src/io/files/index.ts";
import { corrupted, hiding, stale, twoFaced } from "./gateway.ts";
import { type Bend, equivocating, withholding } from "./links.ts";
import { over } from "./over.ts";

export { type Bend, equivocating, withholding } from "./links.ts";

/**
 * A host that lies, so that the others can be seen to notice: the unmodified host of a home directory, and around it a
 * gateway and links that bend what it says. Throws KEY_*, CONFIG_*.
 */
export async function lyingOutside(kind: LieKind, directory: string): Promise<Outside> {
  const home = homeOf(directory, await loadConfig(directory));
  const keyOf = async (role: "node" | "block"): Promise<Signer> =>
    (await loadKeyFile(join(home.keysDirectory, `${role}.json`), role)).signer;
  const { openGateway } = outside;
  switch (kind) {
    case "no":
      return outside;
    case "corrupt": {
      const signer = await keyOf("node");
      return {
        ...outside,
        openGateway: (host, ...at) => openGateway(corrupted(host, signer), ...at),
      };
    }
    case "stale":
      return { ...outside, openGateway: (host, ...at) => openGateway(stale(host), ...at) };
    case "withhold":
      return {
        openGateway: (host, ...at) => openGateway(hiding(host), ...at),
        openLinks: bentLinks(() => Promise.resolve(withholding)),
      };
    case "equivocate":
      return {
        openGateway: twoFaced(openGateway, stale),
        openLinks: bentLinks(async () =>
          equivocating({
            config: dagConfigOf(await loadGenesis(home.genesisFile)),
            signer: await keyOf("block"),
            verifier: new Ed25519Verifier(),
          }),
        ),
      };
  }
}

/** Links over which a broadcast goes out bent. */
function bentLinks(bendOf: () => Promise<Bend>): Outside["openLinks"] {
  return async (options) => {
    const bend = await bendOf();
    const links = await outside.openLinks(options);
    return over(links, {
      broadcast: (to, frame) => {
        for (const part of bend(to, frame)) links.broadcast(part.to, part.frame);
      },
    });
  };
}
