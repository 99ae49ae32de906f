export { Desk, type DeskWriter } from "./publish-desk.ts";
