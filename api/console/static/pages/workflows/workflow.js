// A workflow: its graph, its jobs, a retry of the failed part, cancel.
import { html } from "../../html.js";
import { count, plural, whole, secondsBetween } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { Act, Detail, Facts, Figures, askPost } from "../../layouts/detail.js";
import { Heading, List } from "../../layouts/list.js";
import { useKeys } from "../../parts/keyboard.js";
import { JobId, Status, Time, word } from "../../parts/status.js";
import { Graph } from "./graph.js";

/** @typedef {import("./graph.js").Workflow} Workflow */
/** @typedef {import("./fold.js").Job} Job */

const COLUMNS = /** @type {import("../../parts/table.js").Column<Job>[]} */ ([
  { key: "state", title: "State", cell: (job) => html`<${Status} state=${job.status} />` },
  { key: "name", title: "Name", link: true, cell: (job) => job.name },
  { key: "operation", title: "Operation", cell: (job) => job.operation },
  { key: "after", title: "Runs after", cell: (job) => `${job.depends_on.slice(0, 5).join(", ")}${job.parents > 5 ? ` and ${count(job.parents - 5)} more` : ""}` },
  { key: "attempt", title: "Attempt", right: true, cell: (job) => job.attempt },
  { key: "took", title: "Took", right: true, cell: (job) => job.started_at && whole(secondsBetween(job.started_at, job.finished_at)) },
  { key: "error", title: "Error", cell: (job) => job.error_type },
]);

/** The shares of the jobs of a workflow or batch. @param {{ of: { counts: Workflow["counts"], jobs: number, progress: number } }} props */
export function Counts({ of: { counts, jobs, progress } }) {
  return html`<p class="progress"><progress max="1" value=${progress} aria-label="Share of the jobs that have ended"></progress> ${Math.floor(progress * 100)} % of ${plural(jobs, "job")} ended</p>
    <${Figures} rows=${[["Unfinished", count(counts.unfinished)], ["Succeeded", count(counts.succeeded)], ["Failed", count(counts.failed)], ["Cancelled", count(counts.cancelled)]]} />`;
}

/** The job that is stored at the end. @param {{ job: { operation: string, job_id: string | null } }} props */
export function FollowUp({ job: { operation, job_id: id } }) {
  return id ? html`<a href=${pageUrl(`jobs/${id}`)}>${operation} <${JobId} id=${id} /></a>` : html`${operation}, once all jobs have ended`;
}

/** @param {{ params: { id: string } }} props */
export function Page({ params: { id } }) {
  const path = `/workflows/${id}`;
  const read = /** @type {import("../../client/live.js").Read<Workflow>} */ (useRead(path, { seconds: 2 }));
  const workflow = read.data;
  const [canRetry, canCancel] = [workflow && workflow.counts.failed + workflow.counts.cancelled > 0, workflow && workflow.counts.unfinished > 0];
  const retry = () => workflow && canRetry && askPost({
    title: "Retry the failed part", text: `The ${plural(workflow.counts.failed + workflow.counts.cancelled, "job")} that failed or were cancelled run once more, in their order. The ${count(workflow.counts.succeeded)} that succeeded keep their results. A job that has begun again cannot be taken back.`,
    button: "Retry", path: `${path}/retry`, cli: `workflows retry ${id}`, done: read.refresh, told: "The failed part waits for its next run.",
  });
  const cancel = () => workflow && canCancel && askPost({
    title: "Cancel the workflow", text: `${plural(workflow.counts.unfinished, "unfinished job")} will be cancelled; those that run are asked to stop. A retry runs them later.`,
    button: "Cancel the jobs", danger: true, path: `${path}/cancel`, cli: `workflows cancel ${id}`, done: read.refresh, told: "The jobs are cancelled or asked to stop.",
  });
  useKeys({ r: { text: "retry the failed part", run: () => void retry() }, c: { text: "cancel", run: () => void cancel() } });
  return html`<${Detail} read=${read} title="Workflow">${(/** @type {Workflow} */ data) => html`
    <${Heading} title=${html`Workflow <${JobId} id=${id} />`} commands=${{ curl: { method: "GET", path }, cli: `workflows get ${id}`, python: `print(client.workflow("${id}").status())` }}>
      <b data-phase=${data.status}>${word(data.status)}</b>
      ${canRetry && html`<${Act} scope="jobs:write" kind="primary" run=${retry}>Retry the failed part<//>`}${canCancel && html`<${Act} scope="jobs:cancel" kind="danger" run=${cancel}>Cancel<//>`}<//>
    <${Counts} of=${data} />
    <section><h2>Graph</h2><${Graph} workflow=${data} /></section>
    <section><h2>Jobs</h2><${List} caption="Jobs of the workflow" path=${`${path}/jobs`} member="jobs" columns=${COLUMNS} id=${(/** @type {Job} */ job) => job.job_id}
      href=${(/** @type {Job} */ job) => pageUrl(`jobs/${job.job_id}`)} empty=${html`<p class="quiet">It has no jobs.</p>`} /></section>
    <section><h2>Facts</h2><${Facts} rows=${[
      ["Id", html`<code>${id}</code>`], ["Submitted", html`<${Time} at=${data.created_at} />${data.submitted_by && ` by ${data.submitted_by}`}`], ["Ended", data.ended_at && html`<${Time} at=${data.ended_at} />`],
      ["Cancel requested", data.cancelled_at && html`<${Time} at=${data.cancelled_at} />`], ["Follow-up", data.follow_up && html`<${FollowUp} job=${data.follow_up} />`],
    ]} /></section>`}<//>`;
}
