// A worker process: where it runs, what it serves, and what it runs now.
import { html } from "../../html.js";
import { count } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { Detail, Facts } from "../../layouts/detail.js";
import { Heading } from "../../layouts/list.js";
import { Empty } from "../../parts/message.js";
import { Age, Time } from "../../parts/status.js";
import { Running } from "./list.js";

/** @param {{ params: { worker: string } }} props */
export function Page({ params: { worker: id } }) {
  const read = useRead("/workers", { seconds: 2 });
  return html`<${Detail} read=${read} title="Worker">${(/** @type {import("#api").components["schemas"]["WorkerList"]} */ { workers }) => {
    const worker = workers.find((item) => String(item.worker) === id);
    if (!worker) return html`<h1>Worker ${id}</h1><${Empty} title="There is no such process."><p>A process is listed for an hour after its end. <a href=${pageUrl("workers")}>All workers</a></p><//>`;
    return html`<${Heading} title=${`Worker ${id}`} commands=${{ curl: { method: "GET", path: "/workers" }, cli: `workers get ${id}` }}><b class=${worker.alive ? "quiet" : "problem"}>${worker.alive ? "alive" : worker.ended_at ? "ended" : "lost"}</b><//>
      <section><h2>Runs now</h2>${worker.held_jobs > 0 ? html`<${Running} worker=${worker} />` : html`<p class="quiet">It has no job.</p>`}</section>
      <section><h2>Facts</h2><${Facts} rows=${[
        ["Host", worker.host], ["Process id", worker.pid], ["Started", html`<${Time} at=${worker.started_at} />`], ["Lease until", html`<${Time} at=${worker.alive_until} />`],
        ["Ended", worker.ended_at && html`<${Time} at=${worker.ended_at} />`], ["Busy with one job for", worker.busy_since && html`<${Age} at=${worker.busy_since} />`],
        ["Jobs of all tenants", count(worker.held_jobs)], ["Queues", worker.queues.join(", ")], ["Operations", worker.operations.join(", ")],
      ]} /></section>`;
  }}<//>`;
}
