export { type LinkEvents, type LinkPeer, Links, openLinks } from "./links.ts";
