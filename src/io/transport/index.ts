export { Links, openLinks } from "./links.ts";
