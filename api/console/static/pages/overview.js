// The overview: is it well, and if not, where.
import { html, lazy, useState } from "../html.js";
import { request } from "../client/api.js";
import { count, duration, plural, rate } from "../client/format.js";
import { useRead } from "../client/live.js";
import { useStream } from "../client/streams.js";
import { pageUrl } from "../client/router.js";
import { may } from "../client/session.js";
import { AsCommand } from "../parts/copy.js";
import { ErrorMessage, NoPermission } from "../parts/message.js";
import { Spark, remember } from "../parts/spark.js";

/** @typedef {import("#api").components["schemas"]["QueueView"]} Queue */
/** @typedef {{ bulk_action_id: string, action: string, phase: string, count: number, count_is_exact: boolean, progress: number, jobs_per_second: number }} Running */
/** @typedef {{ text: any, href: string, link: string }} Finding */

const FirstJob = lazy(async () => (await import("./jobs/first_job.js")).FirstJob);
/** @type {[string, (queue: Queue) => string][]} */
const FIGURES = [
  ["Waiting", (queue) => count(queue.queued)],
  ["Running", (queue) => count(queue.running)],
  ["Oldest", (queue) => duration(queue.oldest_due_seconds)],
  ["Workers", (queue) => count(queue.workers_alive)],
  ["In/s", (queue) => rate(queue.accepted_per_second)],
  ["Done/s", (queue) => rate(queue.succeeded_per_second.last_minute)],
  ["Failed/s", (queue) => rate(queue.failed_per_second.last_minute)],
];
const LATE_S = 60;
const FAILING_SHARE = 0.1;

/** @param {Queue} queue */
const done = (queue) => queue.succeeded_per_second.last_minute + queue.failed_per_second.last_minute;

/**
 * Return what needs a person: queues without workers, late ones, and those whose jobs fail.
 * @param {Queue[]} queues
 * @returns {Finding[]}
 */
export function findings(queues) {
  /** @type {Finding[]} */
  const found = [];
  for (const queue of queues) {
    const ended = done(queue);
    if (queue.queued > 0 && queue.workers_alive === 0) {
      found.push({ text: html`<b>${queue.queue}</b>: ${plural(queue.queued, "job")} wait, and no worker serves the queue.`, href: pageUrl("jobs", { queue: queue.queue, status: "PENDING" }), link: "see" });
    } else if (queue.oldest_due_seconds > LATE_S) {
      const grows = queue.accepted_per_second > ended;
      const left = ended > queue.accepted_per_second ? queue.queued / (ended - queue.accepted_per_second) : null;
      found.push({
        text: html`<b>${queue.queue}</b>: the oldest job has waited ${duration(queue.oldest_due_seconds)}${grows ? " and the queue grows" : ""}. ${plural(queue.workers_alive, "worker process", "worker processes")}, ${rate(ended)}/s end, ${rate(queue.accepted_per_second)}/s come.
          ${left !== null && ` At these rates it is empty in about ${duration(left)}.`}`,
        href: pageUrl("jobs", { queue: queue.queue, status: "PENDING", sort: "created" }),
        link: "see",
      });
    }
    const failed = queue.failed_per_second.last_5_minutes;
    const all = failed + queue.succeeded_per_second.last_5_minutes;
    if (all > 0 && failed / all >= FAILING_SHARE) {
      found.push({ text: html`<b>${queue.queue}</b>: ${Math.round((failed / all) * 100)} % of the jobs that ended in the last 5 minutes have failed.`, href: pageUrl("jobs", { queue: queue.queue, status: "FAILED", sort: "-finished" }), link: "see" });
    }
  }
  return found;
}

/** @param {{ name: string, value: number | null, at: number, format: (value: number) => string }} props */
function Figure({ name, value, at, format }) {
  const history = remember(name, value, at);
  return html`<div class="figure"><span class="quiet">${name}</span><b>${value === null ? "…" : format(value)}</b><${Spark} values=${history} label=${name} format=${format} /></div>`;
}

/**
 * Follow the queues and the running bulk actions: pushed, or read in the interval where there is no place for a stream.
 * @returns {{ queues: Queue[] | null, running: Running[], at: number, error: Error | null, loading: boolean }}
 */
function useOverview() {
  const [pushed, setPushed] = useState(/** @type {{ queues: Queue[] | null, running: Running[], at: number }} */ ({ queues: null, running: [], at: 0 }));
  const state = useStream(may("queues") ? "/live" : null, {
    stats: ({ queues }) => setPushed((before) => ({ ...before, queues, at: Date.now() })),
    bulk_actions: ({ bulk_actions: running }) => setPushed((before) => ({ ...before, running })),
  });
  const polls = state === "refused";
  const stats = useRead(polls && may("queues") ? "/stats" : null);
  const actions = useRead(polls && may("bulk") ? "/bulk-actions" : null, { query: { limit: 20 } });
  if (!polls) return { ...pushed, error: null, loading: pushed.queues === null };
  const running = /** @type {import("#api").components["schemas"]["BulkActionList"] | null} */ (actions.data)?.bulk_actions.filter(({ phase }) => phase === "RUNNING" || phase === "UNDOING") ?? [];
  return { queues: /** @type {import("#api").components["schemas"]["QueueStatsView"] | null} */ (stats.data)?.queues ?? pushed.queues, running, at: stats.at, error: stats.error, loading: stats.loading };
}

export function Page() {
  const { queues, running, at, error, loading } = useOverview();
  const [hasJobs, setHasJobs] = useState(false);
  const newest = /** @type {import("#api").components["schemas"]["JobList"] | null} */ (useRead(hasJobs ? null : "/jobs", { query: { limit: 1 } }).data);
  if (newest && newest.jobs.length > 0 && !hasJobs) setHasJobs(true);
  /** @param {(queue: Queue) => number} read */
  const sum = (read) => queues?.reduce((total, queue) => total + read(queue), 0) ?? null;
  const needs = queues ? findings(queues) : [];
  const isEmpty = newest !== null && !hasJobs;
  return html`<div class="heading"><h1>Overview</h1><span class="grow"></span>
      <${AsCommand} commands=${{ curl: { method: "GET", path: "/stats" }, cli: "stats", python: "print(client.stats())" }} />
    </div>
    <${ErrorMessage} error=${error} />
    ${!may("queues") && html`<${NoPermission} scope="queues" what="What queues and workers do" />`}
    <div class="figures" hidden=${!may("queues")}>
      <${Figure} name="Waiting" value=${sum((queue) => queue.queued)} at=${at} format=${count} />
      <${Figure} name="Running" value=${sum((queue) => queue.running)} at=${at} format=${count} />
      <${Figure} name="Oldest" value=${queues && Math.max(0, ...queues.map((queue) => queue.oldest_due_seconds))} at=${at} format=${duration} />
      <${Figure} name="In/s" value=${sum((queue) => queue.accepted_per_second)} at=${at} format=${rate} />
      <${Figure} name="Done/s" value=${sum((queue) => queue.succeeded_per_second.last_minute)} at=${at} format=${rate} />
      <${Figure} name="Failed/s" value=${sum((queue) => queue.failed_per_second.last_minute)} at=${at} format=${rate} />
    </div>
    ${isEmpty && html`<${FirstJob} />`}
    <section class="needs" hidden=${!may("queues")}><h2>Needs you</h2>
      ${queues && (needs.length > 0
        ? html`<ul>${needs.map(({ text, href, link }, index) => html`<li key=${index}>${text} <a href=${href}>${link}</a></li>`)}</ul>`
        : html`<p>All queues in time, no queue with many failures in the last 5 minutes.</p>`)}
    </section>
    ${running.length > 0 && html`<section><h2>Running bulk actions</h2><ul>${running.map((action) => html`<li key=${action.bulk_action_id}>
      ${action.phase === "UNDOING" ? "undo of " : ""}${action.action} of ${action.count_is_exact ? "" : "about "}${count(action.count)} · ${Math.floor(action.progress * 100)} % · ${count(action.jobs_per_second)}/s
      <button type="button" onClick=${() => void request("POST", `/bulk-actions/${action.bulk_action_id}/stop`)}>Stop</button></li>`)}</ul></section>`}
    <section hidden=${!may("queues")}><h2>Queues</h2>
      ${queues && queues.length > 0
        ? html`<div class="table-frame"><table><caption class="hidden">Queues</caption>
          <thead><tr><th scope="col">Queue</th>${FIGURES.map(([title]) => html`<th key=${title} scope="col" class="right">${title}</th>`)}</tr></thead>
          <tbody>${queues.map((queue) => html`<tr key=${queue.queue}>
            <td><a href=${pageUrl(`queues/${encodeURIComponent(queue.queue)}`)}>${queue.queue}</a></td>
            ${FIGURES.map(([title, read], index) => html`<td key=${title} class="right">${index === 0 && html`<${Spark} values=${remember(queue.queue, queue.queued, at)} label=${`Waiting in ${queue.queue}`} format=${count} /> `}${read(queue)}</td>`)}
          </tr>`)}</tbody></table></div>`
        : loading ? html`<div class="frame-of-rows" aria-busy="true"></div>` : html`<p class="quiet">No queue has jobs or workers.</p>`}
    </section>`;
}
