export { faultsTolerated, type Writer } from "./committee.ts";
export {
  type CommitRule,
  checkRule,
  commitRule,
  defaultLeaders,
  defaultRule,
  type FaultBudget,
  fractionRule,
  type RuleName,
} from "./rule.ts";
