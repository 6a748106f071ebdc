// The columns of a list of jobs.
import { html } from "../../html.js";
import { duration, secondsBetween, whole } from "../../client/format.js";
import { setQuery } from "../../client/router.js";
import { useSecond } from "../../client/ticking.js";
import { Age, JobId, Progress, Status } from "../../parts/status.js";

/** @typedef {import("./rows.js").JobRow} JobRow */

/** How long the attempt took or has been running, or when the next one begins. @param {{ job: JobRow }} props */
function Took({ job }) {
  useSecond();
  if (job.finished_at && job.started_at) return html`${duration(secondsBetween(job.started_at, job.finished_at))}`;
  if (job.status === "IN_PROGRESS" && job.started_at) return job.progress ? html`<${Progress} progress=${job.progress} />` : html`${whole(secondsBetween(job.started_at))} so far`;
  if ((job.status === "SCHEDULED" || job.status === "RETRYING") && job.due_at) {
    const seconds = -secondsBetween(job.due_at);
    return seconds > 0 ? html`in ${whole(Math.ceil(seconds))}` : html`due`;
  }
  return null;
}

/** @type {import("../../parts/table.js").Column<JobRow>[]} */
export const COLUMNS = [
  { key: "state", title: "State", cell: (job) => html`<${Status} state=${job.status} />${job.gone && html` <span class="quiet" title="It matches the filters no longer">left</span>`}` },
  { key: "operation", title: "Operation", link: true, cell: (job) => job.operation },
  { key: "id", title: "Id", cell: (job) => html`<${JobId} id=${job.job_id} />` },
  { key: "queue", title: "Queue", cell: (job) => job.queue },
  { key: "attempt", title: "Attempt", describes: "Attempts so far, and after how many the job fails", cell: (job) => `${job.attempt}/${job.max_attempts}` },
  {
    key: "tags",
    title: "Tags",
    cell: (job) => job.tags.map((tag) => html`<button type="button" class="chip" key=${tag} aria-label=${`Filter by the tag ${tag}`} onClick=${() => setQuery({ tag, cursor: null })}>${tag}</button>`),
  },
  { key: "age", title: "Age", right: true, describes: "Since the job ended, began or was submitted", cell: (job) => html`<${Age} at=${job.finished_at ?? job.started_at ?? job.created_at} />` },
  { key: "took", title: "Took", right: true, cell: (job) => html`<${Took} job=${job} />` },
  { key: "error", title: "Error", cell: (job) => job.error && html`<span class="error-line" title=${job.error.text}><b>${job.error.type}</b> ${job.error.text.split("\n")[0]}</span>` },
];
