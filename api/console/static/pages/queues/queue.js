// A queue: what waits and runs in it, who serves it, pause and limits.
import { html, useEffect, useState } from "../../html.js";
import { post, request } from "../../client/api.js";
import * as commands from "../../client/commands.js";
import { connection } from "../../client/connection.js";
import { count, duration, rate } from "../../client/format.js";
import { useInterval, useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { may } from "../../client/session.js";
import { useStore } from "../../client/store.js";
import { ask } from "../../parts/asking.js";
import { AsCommand } from "../../parts/copy.js";
import { ErrorMessage } from "../../parts/message.js";
import { Age, JobId } from "../../parts/status.js";
import { Limits, limitsText } from "./limits.js";

/** @typedef {import("#api").components["schemas"]["QueueDetail"]} QueueDetail */

/** @param {{ params: { name: string } }} props */
export function Page({ params }) {
  const name = decodeURIComponent(params.name);
  const path = `/queues/${encodeURIComponent(name)}`;
  const [state, setState] = useState(/** @type {{ queue: QueueDetail | null, etag: string, error: Error | null }} */ ({ queue: null, etag: "", error: null }));
  const stats = useRead("/stats", { seconds: 2 });
  const workers = useRead("/workers");
  const { away } = useStore(connection);
  const read = async () => {
    try {
      const { data, headers } = await request("GET", path);
      setState({ queue: /** @type {QueueDetail} */ (data), etag: headers.get("ETag") ?? "", error: null });
    } catch (error) {
      setState((before) => ({ ...before, error: /** @type {Error} */ (error) }));
    }
  };
  useEffect(() => void read(), [path]);
  useInterval(() => void read());
  const { queue, etag, error } = state;
  const figures = /** @type {import("#api").components["schemas"]["QueueStatsView"] | null} */ (stats.data)?.queues.find((item) => item.queue === name);
  const serving = (/** @type {import("#api").components["schemas"]["WorkerList"] | null} */ (workers.data)?.workers ?? []).filter((worker) => worker.alive && worker.queues.includes(name));
  const verb = queue?.policy?.paused ? "resume" : "pause";
  const askPause = () =>
    ask({
      title: `${verb === "pause" ? "Pause" : "Resume"} ${name}`,
      text: html`<p>${verb === "pause" ? `No job of the queue starts any more: ${count(queue?.queued ?? 0)} wait. What runs goes on: ${count(queue?.running ?? 0)} jobs. Resume takes it back.` : `The jobs of the queue start again in their order: ${count(queue?.queued ?? 0)} wait.`}</p>`,
      button: verb === "pause" ? "Pause" : "Resume",
      danger: verb === "pause",
      commands: { curl: { method: "POST", path: `${path}/${verb}` }, cli: `queues ${verb} ${commands.quoted(name)}` },
      run: async () => {
        await post(`${path}/${verb}`);
        await read();
        return verb === "pause" ? "The queue is paused." : "The queue is open.";
      },
    });
  return html`<div class="heading"><h1>${name}</h1>${queue && html`<b class=${queue.paused ? "paused" : "quiet"}>${queue.paused ? "paused" : "open"}</b>`}<span class="grow"></span>
      ${may("queues") && queue && html`<button type="button" class=${verb === "pause" ? "danger" : "primary"} disabled=${away} onClick=${askPause}>${verb === "pause" ? "Pause" : "Resume"}</button>`}
      <a class="button" href=${pageUrl("jobs", { queue: name })}>Jobs</a>
      <${AsCommand} commands=${{ curl: { method: "GET", path: path }, cli: `queues get ${commands.quoted(name)}` }} /></div>
    <${ErrorMessage} error=${error} retry=${read} />
    ${queue && html`<div class="figures">
      ${[["Waiting", count(queue.queued)], ["Running", count(queue.running)], ...(figures ? [["Oldest", duration(figures.oldest_due_seconds)], ["In/s", rate(figures.accepted_per_second)], ["Done/s", rate(figures.succeeded_per_second.last_minute)], ["Failed/s", rate(figures.failed_per_second.last_minute)]] : [])]
        .map(([label, value]) => html`<div class="figure" key=${label}><span class="quiet">${label}</span><b>${value}</b></div>`)}
    </div>
    ${queue.operators_policy && html`<p>The operators have set for all tenants: ${[queue.operators_policy.paused && "paused", limitsText(queue.operators_policy)].filter(Boolean).join(" · ") || "nothing"}.</p>`}
    <section><h2>Limits</h2><${Limits} key=${queue.policy?.changed_at ?? "none"} name=${name} policy=${queue.policy} etag=${etag} done=${read} disabled=${away} />
      ${queue.policy && html`<p class="quiet">changed <${Age} at=${queue.policy.changed_at} /> ago${queue.policy.changed_by ? ` by ${queue.policy.changed_by}` : ""}</p>`}</section>
    <section><h2>Workers that serve it</h2>
      <${ErrorMessage} error=${workers.error} />
      ${serving.length > 0
        ? html`<div class="table-frame"><table><caption class="hidden">Workers</caption><thead><tr><th scope="col">Worker</th><th scope="col">Host</th><th scope="col" class="right">Jobs</th><th scope="col">Runs</th></tr></thead>
          <tbody>${serving.map((worker) => html`<tr key=${worker.worker}><td>${worker.worker}</td><td>${worker.host}</td><td class="right">${worker.claimed_jobs}</td><td>${worker.jobs.map((job) => html`<a key=${job.job_id} href=${pageUrl(`jobs/${job.job_id}`)}>${job.operation} <${JobId} id=${job.job_id} /></a> `)}</td></tr>`)}</tbody></table></div>`
        : html`<p class="quiet">No worker process serves the queue now.</p>`}
    </section>`}`;
}
