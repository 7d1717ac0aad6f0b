// What GitHub's own parser and evaluator make of a workflow for an event: whether it starts, each job's `if`.
// node triggers.mjs WORKFLOW.yml < {"name": …, "event": …, "needs": …, "ref_name": …}
import {registerHooks} from "node:module";
import fs from "node:fs";

registerHooks({ // the package imports JSON without saying so, which this node refuses
  load: (url, context, next) =>
    next(url, url.endsWith(".json") ? {...context, format: "json", importAttributes: {type: "json"}} : context),
});
const {parseWorkflow, convertWorkflowTemplate, NoOperationTraceWriter} = await import("@actions/workflow-parser");
const {Lexer, Parser, Evaluator, data} = await import("@actions/expressions");

const file = process.argv[2];
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const parsed = parseWorkflow({name: file, content: fs.readFileSync(file, "utf8")}, new NoOperationTraceWriter());
const errors = parsed.context.errors.getErrors().map((one) => one.message);
const template = await convertWorkflowTemplate(parsed.context, parsed.value);

function value(of) {
  if (of === null || of === undefined) return new data.Null();
  if (Array.isArray(of)) return new data.Array(...of.map(value));
  if (typeof of === "object") return new data.Dictionary(...Object.entries(of).map(([key, one]) => ({key, value: value(one)})));
  if (typeof of === "boolean") return new data.BooleanData(of);
  return typeof of === "number" ? new data.NumberData(of) : new data.StringData(of);
}

const contexts = value({
  github: {event: asked.event, event_name: asked.name, ref_name: asked.ref_name ?? "main", sha: asked.sha ?? "", run_attempt: "1"},
  needs: asked.needs ?? {},
  inputs: asked.event.inputs ?? {},
});
const says = {success: true, failure: false, cancelled: asked.cancelled ?? false, always: true};
const functions = new Map(
  Object.entries(says).map(([name, answer]) => [name, {name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(answer)}]),
);
const described = Object.keys(says).map((name) => ({name, minArgs: 0, maxArgs: 0}));

function evaluate(text) {
  const {tokens} = new Lexer(text).lex();
  const tree = new Parser(tokens, ["github", "needs", "inputs", "matrix", "steps"], described).parse();
  return new Evaluator(tree, contexts, functions).evaluate();
}

function started() {
  const config = template.events[asked.name];
  if (!config) return false;
  if (config.types && !config.types.includes(asked.event.action)) return false;
  const branch = asked.event.pull_request?.base?.ref ?? (asked.event.ref ?? "").replace("refs/heads/", "");
  if (config.branches && asked.name !== "workflow_run" && !config.branches.includes(branch)) return false;
  return !config.workflows || config.workflows.includes(asked.event.workflow_run.name);
}

const jobs = {};
for (const job of template.jobs ?? []) {
  const condition = job.if?.expression ?? job.if?.toString() ?? "";
  jobs[job.id.toString()] = condition ? data_truth(evaluate(condition)) : true;
}

function data_truth(found) {
  return !(found.kind === data.Kind.Null || (found.kind === data.Kind.Boolean && !found.value) || found.coerceString?.() === "");
}

console.log(JSON.stringify({errors: errors.concat(template.errors ?? []), starts: started(), jobs}));
