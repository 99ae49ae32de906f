export { kindOf, openSource, type SourceOptions, type SourceSpec, sourceKinds } from "./open.ts";
export {
  type Claim,
  type Doubt,
  type Seen,
  type Source,
  SourceError,
} from "./source.ts";
