/** This host goes on in a group that split off: it must be started again, upon the same home. */
export class SplitReachedError extends Error {
  override readonly name = "SplitReachedError";
  readonly code = "SPLIT_REACHED";
  constructor() {
    super("the network has split, and this host goes on in the group that its operator chose");
  }
}
