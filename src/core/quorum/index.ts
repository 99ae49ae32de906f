export { faultsTolerated, type Writer } from "./committee.ts";
export {
  type CommitRule,
  checkRule,
  commitRule,
  defaultLeaders,
  defaultRule,
  type FaultBudget,
  type RuleName,
} from "./rule.ts";
