export { faultsTolerated, type Writer } from "./committee.ts";
export {
  type CommitRule,
  checkRule,
  commitRule,
  defaultRule,
  type FaultBudget,
  type RuleName,
} from "./rule.ts";
