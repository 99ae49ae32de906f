export { fractionOf, fractionState, groupsOf } from "./fraction.ts";
export {
  encodeGroup,
  encodePlan,
  groupIdentity,
  hostilityOf,
  isJoinSigned,
  planId,
  readGroup,
  readPlan,
  type SideIndex,
  type SplitGroup,
  type SplitParent,
  type SplitPlan,
  sideOf,
  signJoin,
  splitBody,
} from "./split-document.ts";
