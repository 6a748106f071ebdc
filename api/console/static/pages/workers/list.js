// The worker processes: those that are alive, what each runs and for how long; below, those that have ended.
import { html } from "../../html.js";
import { count, plural } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { Heading, Loading } from "../../layouts/list.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Age, JobId } from "../../parts/status.js";
import { Table } from "../../parts/table.js";

/** @typedef {import("#api").components["schemas"]["WorkerView"]} Worker */

/** The jobs that a process has claimed. @param {{ worker: Worker }} props */
export function Running({ worker }) {
  const more = worker.claimed_jobs - worker.jobs.length;
  return html`${worker.jobs.map((job) => html`<div key=${job.job_id}><a href=${pageUrl(`jobs/${job.job_id}`)}>${job.operation} <${JobId} id=${job.job_id} /></a> for <${Age} at=${job.claimed_at} /></div>`)}
    ${more > 0 && html`<span class="quiet">and ${count(more)} more</span>`}${worker.claimed_jobs === 0 && worker.held_jobs > 0 && html`<span class="quiet">jobs of other tenants</span>`}`;
}

const COLUMNS = /** @type {import("../../parts/table.js").Column<Worker>[]} */ ([
  { key: "worker", title: "Worker", link: true, cell: (worker) => worker.worker },
  { key: "host", title: "Host", cell: (worker) => `${worker.host} · ${worker.pid}` },
  { key: "queues", title: "Queues", cell: (worker) => worker.queues.map((queue) => html`<a class="chip" key=${queue} href=${pageUrl(`queues/${encodeURIComponent(queue)}`)}>${queue}</a>`) },
  { key: "runs", title: "Runs now", cell: (worker) => html`<${Running} worker=${worker} />` },
  { key: "held", title: "Jobs", right: true, describes: "Jobs that it has claimed and not ended, of all tenants", cell: (worker) => count(worker.held_jobs) },
]);
const ALIVE = [...COLUMNS, { key: "since", title: "Up", right: true, cell: (/** @type {Worker} */ worker) => html`<${Age} at=${worker.started_at} />` }];
const ENDED = [...COLUMNS, { key: "since", title: "Ended", right: true, cell: (/** @type {Worker} */ worker) => html`${worker.ended_at ? "ended" : "lost"} <${Age} at=${worker.ended_at ?? worker.alive_until} /> ago` }];

export function Page() {
  const { data, error, refresh, loading, slow } = useRead("/workers", { seconds: 2 });
  const workers = /** @type {import("#api").components["schemas"]["WorkerList"] | null} */ (data)?.workers;
  const alive = workers?.filter((worker) => worker.alive) ?? [];
  const ended = workers?.filter((worker) => !worker.alive) ?? [];
  const id = (/** @type {Worker} */ worker) => String(worker.worker);
  const href = (/** @type {Worker} */ worker) => pageUrl(`workers/${worker.worker}`);
  const name = (/** @type {Worker} */ worker) => `Worker ${worker.worker} on ${worker.host}`;
  return html`<${Heading} title="Workers" commands=${{ curl: { method: "GET", path: "/workers" }, cli: "workers list" }} />
    <${ErrorMessage} error=${error} retry=${refresh} />
    ${alive.length > 0
      ? html`<p>${plural(alive.length, "worker process is", "worker processes are")} alive, and ${plural(alive.filter((worker) => worker.held_jobs > 0).length, "has", "have")} jobs.</p><${Table} caption="Worker processes that are alive" columns=${ALIVE} rows=${alive} id=${id} href=${href} name=${name} dimmed=${slow} />`
      : loading ? html`<${Loading} />` : !error && html`<${Empty} title="No worker process is alive."><p>Jobs wait until one starts: <code>jobproc-worker</code> with this database and this Redis.</p><//>`}
    ${ended.length > 0 && html`<section class="greyed"><h2>Ended in the last hour</h2><${Table} caption="Worker processes that have ended" columns=${ENDED} rows=${ended} id=${id} href=${href} name=${name} /></section>`}`;
}
