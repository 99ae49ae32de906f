export { faultsTolerated, type Writer } from "./committee.ts";
export { checkRule, type CommitRule, commitRule, defaultRule, type FaultBudget, type RuleName } from "./rule.ts";
