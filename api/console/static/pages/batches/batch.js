// A batch: exact counts, progress, its jobs, close, cancel.
import { html } from "../../html.js";
import { plural } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { Act, Detail, Facts, askPost } from "../../layouts/detail.js";
import { Heading, List } from "../../layouts/list.js";
import { useKeys } from "../../parts/keyboard.js";
import { JobId, Time, word } from "../../parts/status.js";
import { COLUMNS } from "../jobs/columns.js";
import { Counts, FollowUp } from "../workflows/workflow.js";

/** @typedef {import("#api").components["schemas"]["BatchView"]} Batch */

/** @param {{ params: { id: string } }} props */
export function Page({ params: { id } }) {
  const path = `/batches/${id}`;
  const read = /** @type {import("../../client/live.js").Read<Batch>} */ (useRead(path, { seconds: 2 }));
  const batch = read.data;
  const canCancel = batch && (batch.status === "OPEN" || batch.counts.unfinished > 0);
  const close = () => batch?.status === "OPEN" && askPost({
    title: "Close the batch", text: "No job can be added any more. The batch ends when all of its jobs have ended; that cannot be taken back.",
    button: "Close", path: `${path}/close`, cli: `batches close ${id}`, done: read.refresh, told: "The batch is closed.",
  });
  const cancel = () => batch && canCancel && askPost({
    title: "Cancel the batch", text: `The batch is closed, and ${plural(batch.counts.unfinished, "unfinished job")} will be cancelled; those that run are asked to stop.`,
    button: "Cancel the jobs", danger: true, path: `${path}/cancel`, cli: `batches cancel ${id}`, done: read.refresh, told: "The jobs are cancelled or asked to stop.",
  });
  useKeys({ c: { text: "cancel", run: () => void cancel() } });
  return html`<${Detail} read=${read} title="Batch">${(/** @type {Batch} */ data) => html`
    <${Heading} title=${html`Batch <${JobId} id=${id} />`} commands=${{ curl: { method: "GET", path }, cli: `batches get ${id}`, python: `print(client.batch("${id}").status())` }}>
      <b data-phase=${data.status}>${word(data.status)}</b>
      ${data.status === "OPEN" && html`<${Act} scope="jobs:write" run=${close}>Close<//>`}${canCancel && html`<${Act} scope="jobs:cancel" kind="danger" run=${cancel}>Cancel<//>`}
      <a class="button" href=${pageUrl("jobs", { batch: id })}>Jobs</a><//>
    <${Counts} of=${data} />
    <section><h2>Newest jobs</h2><${List} caption="Newest jobs of the batch" path="/jobs" member="jobs" query=${{ batch: id, limit: 20 }} columns=${COLUMNS} id=${(/** @type {any} */ job) => job.job_id}
      href=${(/** @type {any} */ job) => pageUrl(`jobs/${job.job_id}`)} isPart empty=${html`<p class="quiet">It has no jobs yet.</p>`} /></section>
    <section><h2>Facts</h2><${Facts} rows=${[
      ["Id", html`<code>${id}</code>`], ["Created", html`<${Time} at=${data.created_at} />${data.submitted_by && ` by ${data.submitted_by}`}`], ["Closed", data.closed_at && html`<${Time} at=${data.closed_at} />`],
      ["Ended", data.ended_at && html`<${Time} at=${data.ended_at} />`], ["Cancel requested", data.cancelled_at && html`<${Time} at=${data.cancelled_at} />`],
      ["Follow-up", data.follow_up && html`<${FollowUp} job=${data.follow_up} />`], ["Webhook", data.webhook && html`<a href=${pageUrl(`webhooks/${data.webhook.endpoint_id}`)}>${data.webhook.endpoint_id}</a>`],
    ]} /></section>`}<//>`;
}
