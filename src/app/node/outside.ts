import { openLinks } from "../../io/transport/index.ts";
import { openGateway } from "../gateway/index.ts";

/** By what a host reaches others and is reached. Tests and exercises put something between, and the host is the same. */
export interface Outside {
  readonly openGateway: typeof openGateway;
  readonly openLinks: typeof openLinks;
}

/** The world as it is. */
export const outside: Outside = { openGateway, openLinks };
