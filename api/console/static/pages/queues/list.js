// The queues: depth, age, workers, rates, and whether they are paused.
import { html, useMemo } from "../../html.js";
import { count, duration, rate } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { AsCommand } from "../../parts/copy.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Table } from "../../parts/table.js";
import { limitsText } from "./limits.js";

/** @typedef {import("#api").components["schemas"]["RateLimit"]} RateLimit */
/** @typedef {import("#api").components["schemas"]["QueuePolicyView"]} Policy */
/** @typedef {import("#api").components["schemas"]["QueueSummary"]} Queue */
/** @typedef {import("#api").components["schemas"]["QueueView"]} Stats */
/** @typedef {Queue & { stats: Stats | null }} Row */

export function Page() {
  const queues = useRead("/queues", { query: { limit: 200 } });
  const stats = useRead("/stats", { seconds: 2 });
  const rows = useMemo(() => {
    const byName = new Map((/** @type {import("#api").components["schemas"]["QueueStatsView"] | null} */ (stats.data)?.queues ?? []).map((queue) => [queue.queue, queue]));
    return /** @type {{ queues: Queue[] } | null} */ (queues.data)?.queues.map((queue) => ({ ...queue, stats: byName.get(queue.name) ?? null })) ?? null;
  }, [queues.data, stats.data]);
  const columns = useMemo(() => {
    /** @param {string} key @param {string} title @param {(stats: Stats) => string} read @returns {import("../../parts/table.js").Column<Row>} */
    const figure = (key, title, read) => ({ key, title, right: true, cell: (row) => (row.stats ? read(row.stats) : "") });
    return /** @type {import("../../parts/table.js").Column<Row>[]} */ ([
      { key: "name", title: "Queue", link: true, cell: (row) => row.name },
      { key: "state", title: "State", cell: (row) => (row.paused ? html`<b class="paused">paused</b>` : row.stats && row.stats.queued > 0 && row.stats.workers_alive === 0 ? html`<b class="problem">no worker</b>` : "open") },
      figure("queued", "Waiting", (queue) => count(queue.queued)),
      figure("running", "Running", (queue) => count(queue.running)),
      figure("oldest", "Oldest", (queue) => duration(queue.oldest_due_seconds)),
      figure("workers", "Workers", (queue) => count(queue.workers_alive)),
      figure("in", "In/s", (queue) => rate(queue.accepted_per_second)),
      figure("done", "Done/s", (queue) => rate(queue.succeeded_per_second.last_minute)),
      figure("failed", "Failed/s", (queue) => rate(queue.failed_per_second.last_minute)),
      { key: "limits", title: "Limits", cell: (row) => limitsText(row.policy) || limitsText(row.operators_policy) },
    ]);
  }, []);
  return html`<div class="heading"><h1>Queues</h1><span class="grow"></span>
      <${AsCommand} commands=${{ curl: { method: "GET", path: "/queues" }, cli: "queues list", python: "for queue in client.queues():\n    print(queue)" }} /></div>
    <${ErrorMessage} error=${queues.error ?? stats.error} retry=${queues.refresh} />
    ${rows && rows.length > 0
      ? html`<${Table} caption="Queues" columns=${columns} rows=${rows} id=${(/** @type {Row} */ row) => row.name} href=${(/** @type {Row} */ row) => pageUrl(`queues/${encodeURIComponent(row.name)}`)} dimmed=${queues.slow} />`
      : queues.loading ? html`<div class="frame-of-rows" aria-busy="true"></div>` : !queues.error && html`<${Empty} title="There is no queue yet."><p>Queues come with operations and workers.</p><//>`}`;
}
