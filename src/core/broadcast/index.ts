export { Fetcher } from "./fetcher.ts";
