// Calls a running API through types that openapi-typescript generates. The compiler checks what is sent and read.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Submission = components["schemas"]["Submission"];
declare const process: { argv: string[]; exit(code: number): never };

const api = createClient<paths>({ baseUrl: process.argv[2] ?? "" });
const submission: Submission = { operation: "square_sum", data: [1, 2, 3] }; // no option is required
let calls = 0;

function expect(actual: unknown, expected: unknown, what: string): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    console.error(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
    process.exit(1);
  }
}

/** Returns the body of a response with this status. */
function body<T>(answer: { data?: T; error?: unknown; response: Response }, status: number, what: string): T {
  calls += 1;
  expect(answer.response.status, status, `${what}: ${JSON.stringify(answer.error)}: status`);
  return answer.data as T;
}

/** Returns the problem of a response with this status. */
function problem<E>(answer: { error?: E; response: Response }, status: number, what: string): E {
  calls += 1;
  expect(answer.response.status, status, what);
  return answer.error as E;
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await isTrue())) {
    if (Date.now() > end) expect(false, true, what);
  }
}

const job = (job_id: string) => ({ params: { path: { job_id } } });

expect(body(await api.GET("/livez"), 200, "livez").alive, true, "alive");
expect(body(await api.GET("/readyz"), 200, "readyz").ready, true, "ready");
const known = body(await api.GET("/operations"), 200, "operations").operations.map((operation) => operation.name);
expect(known.includes("square_sum"), true, "operations");

const waiting = { params: { query: { wait: 15 } }, body: submission };
const finished: components["schemas"]["SubmittedJob"] | components["schemas"]["JobAccepted"] = body(
  await api.POST("/jobs/", waiting), 200, "submit and wait",
);
expect("result" in finished && finished.result, 14, "result");
const keyed = { params: { header: { "Idempotency-Key": "a" } }, body: submission };
const first = body(await api.POST("/jobs/", keyed), 202, "submit");
const repeated = body(await api.POST("/jobs/", keyed), 200, "repeat");
expect([repeated.job_id, "result" in repeated], [first.job_id, false], "the same job");
const batch = body(
  await api.POST("/jobs/batch", { body: [submission, { operation: "cube_sum", input: { data: [2] } }] }), 202, "batch",
);
const last = { params: { path: { job_id: batch.job_ids[1] ?? "" }, query: { wait: 15 } } };
expect(body(await api.GET("/jobs/{job_id}/result", last), 200, "result").result, 8, "result");

const options: Submission = { ...submission, delay_seconds: 1_000, tags: ["later"], unique: { key: "k" }, priority: 0 };
const delayed = body(await api.POST("/jobs/", { body: options }), 202, "delayed");
expect(delayed.status, "SCHEDULED", "status");
const conflict = problem(await api.POST("/jobs/", { body: options }), 409, "conflict");
expect(conflict.job_id, delayed.job_id, "the job that holds the key");
const invalid = problem(await api.POST("/jobs/", { body: { ...submission, priority: 10 } }), 422, "invalid");
expect(invalid.errors?.map((error) => error.field), ["priority"], "errors");
const nowhere = job("019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10");
expect(problem(await api.GET("/jobs/{job_id}", nowhere), 404, "nowhere").type, "urn:jobproc:problem:job-not-found", "type");

const path = job(delayed.job_id);
const details = body(await api.GET("/jobs/{job_id}", path), 200, "job");
expect([details.tags, details.priority, details.unique?.key], [["later"], 0, "k"], "options");
expect(body(await api.GET("/jobs/{job_id}/status", path), 200, "status").progress, undefined, "progress");
expect(body(await api.GET("/jobs/{job_id}/input", path), 200, "input").input, { data: [1, 2, 3] }, "input");
const reasons = body(await api.GET("/jobs/{job_id}/explain", path), 200, "explain").reasons;
expect(reasons.map((reason) => reason.code), ["not_due"], "reasons");
const query = { tag: "later", status: ["SCHEDULED" as const] };
const listed = body(await api.GET("/jobs/", { params: { query } }), 200, "list");
expect(listed.jobs.map((item) => item.job_id), [delayed.job_id], "listed");

const preview = body(
  await api.POST("/bulk-actions", { body: { action: "cancel", filter: { tag: "later" } } }), 201, "preview",
);
const action = { params: { path: { bulk_action_id: preview.bulk_action_id } } };
body(await api.POST("/bulk-actions/{bulk_action_id}/start", { ...action, body: { count: preview.count } }), 200, "start");
await until("the bulk action is done", async () => {
  return body(await api.GET("/bulk-actions/{bulk_action_id}", action), 200, "action").phase === "DONE";
});
expect(body(await api.GET("/bulk-actions"), 200, "actions").bulk_actions.length, 1, "actions");
const retried = body(await api.POST("/jobs/{job_id}/retry", { ...path, body: { data: [3] } }), 202, "retry");
expect(retried.run, 1, "run");
const again = { params: { path: { job_id: delayed.job_id }, query: { wait: 15 } } };
expect(body(await api.GET("/jobs/{job_id}/result", again), 200, "second result").result, 9, "second result");
expect(body(await api.POST("/jobs/{job_id}/cancel", path), 200, "cancel").cancel_requested, false, "cancel");
expect(body(await api.GET("/stats"), 200, "stats").queues[0]?.queue, "default", "queues");
console.log(`${calls} calls`);
