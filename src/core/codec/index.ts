export { decode, encode, Pieces, type Value } from "./canonical.ts";
export {
  bytes,
  digest,
  exactBytes,
  fields,
  list,
  natural,
  optional,
  publicKey,
  read,
  readValue,
  require,
  type Shape,
  text,
} from "./shape.ts";
