export { Fetcher, type FetchRequest, type Wanted } from "./fetcher.ts";
