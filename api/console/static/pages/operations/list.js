// The operations that can be submitted.
import { html, useMemo } from "../../html.js";
import { count, duration } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl, setQuery, usePlace } from "../../client/router.js";
import { AsCommand } from "../../parts/copy.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Table } from "../../parts/table.js";

/** @typedef {import("#api").components["schemas"]["Percentiles"]} Percentiles */
/** @typedef {import("#api").components["schemas"]["OperationView"]} Operation */

const COLUMNS = /** @type {import("../../parts/table.js").Column<Operation>[]} */ ([
  { key: "name", title: "Operation", link: true, cell: (operation) => operation.name },
  { key: "description", title: "Description", cell: (operation) => operation.description },
  { key: "version", title: "Version", right: true, cell: (operation) => operation.version },
  { key: "queue", title: "Queue", cell: (operation) => operation.queue },
  { key: "workers", title: "Workers", right: true, cell: (operation) => count(operation.workers_alive) },
  { key: "jobs", title: "Measured", right: true, describes: "Jobs among the newest 5,000 of all operations", cell: (operation) => (operation.recent ? count(operation.recent.jobs) : "") },
  { key: "p50", title: "Half take", right: true, cell: (operation) => (operation.recent ? duration(operation.recent.execution_seconds.p50) : "") },
  { key: "p95", title: "95 % take", right: true, cell: (operation) => (operation.recent ? duration(operation.recent.execution_seconds.p95) : "") },
]);

export function Page() {
  const { query } = usePlace();
  const find = query.get("find") ?? "";
  const { data, error, refresh, loading, slow } = useRead("/operations", { seconds: 30 });
  const operations = /** @type {{ operations: Operation[] } | null} */ (data)?.operations ?? null;
  const rows = useMemo(() => operations?.filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(find.toLowerCase())) ?? [], [operations, find]);
  return html`<div class="heading"><h1>Operations</h1><input type="search" placeholder="find" aria-label="Find an operation" value=${find} onInput=${(/** @type {any} */ event) => setQuery({ find: event.currentTarget.value }, { replace: true })} /><span class="grow"></span>
      <${AsCommand} commands=${{ curl: { method: "GET", path: "/operations" }, cli: "operations list", python: "for operation in client.operations():\n    print(operation.name)" }} /></div>
    <${ErrorMessage} error=${error} retry=${refresh} />
    ${rows.length > 0
      ? html`<${Table} caption="Operations" columns=${COLUMNS} rows=${rows} id=${(/** @type {Operation} */ operation) => operation.name} href=${(/** @type {Operation} */ operation) => pageUrl(`operations/${encodeURIComponent(operation.name)}`)} dimmed=${slow} />`
      : loading ? html`<div class="frame-of-rows" aria-busy="true"></div>` : !error && html`<${Empty} title=${find ? "No operation fits." : "No worker has told of an operation yet."}>${find && html`<p><button type="button" onClick=${() => setQuery({ find: null })}>Show all</button></p>`}<//>`}`;
}
