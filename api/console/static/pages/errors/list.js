// Error groups: failed jobs of the same operation, error type and text but for ids and numbers.
import { html } from "../../html.js";
import { count, plural } from "../../client/format.js";
import { pageUrl, setQuery } from "../../client/router.js";
import { Heading, Loading } from "../../layouts/list.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Spark } from "../../parts/spark.js";
import { Age, Time } from "../../parts/status.js";
import { Table } from "../../parts/table.js";
import { Span, useGroups } from "./groups.js";

/** @typedef {import("./groups.js").ErrorGroup} ErrorGroup */

const COLUMNS = /** @type {import("../../parts/table.js").Column<ErrorGroup>[]} */ ([
  { key: "error", title: "Error", link: true, cell: (group) => html`<span class="error-line"><b>${group.type}</b> ${group.normalised_text}</span>` },
  { key: "operation", title: "Operation", cell: (group) => html`<button type="button" class="chip" aria-label=${`Only ${group.operation}`} onClick=${() => setQuery({ operation: group.operation })}>${group.operation}</button>` },
  { key: "count", title: "Jobs", right: true, cell: (group) => count(group.count) },
  { key: "line", title: "Over time", cell: (group) => html`<${Spark} values=${group.counts} label=${`Failed jobs of ${group.operation}`} format=${count} />` },
  { key: "first", title: "First", right: true, cell: (group) => html`<${Age} at=${group.first_at} />` },
  { key: "last", title: "Last", right: true, cell: (group) => html`<${Age} at=${group.last_at} />` },
]);

export function Page() {
  const { read: { data, error, refresh, loading, slow }, since, filter } = useGroups();
  const { operation } = filter;
  return html`<${Heading} title="Errors" commands=${{ curl: { method: "GET", path: "/errors", query: filter }, cli: `errors list${operation ? ` --operation ${operation}` : ""}`, python: `for group in client.errors(${operation ? `operation=${JSON.stringify(operation)}` : ""}).errors:\n    print(group.count, group.type, group.normalised_text)` }}>
      ${operation && html`<span class="chip">operation:${operation}<button type="button" class="plain" aria-label="Remove the filter operation" onClick=${() => setQuery({ operation: null })}>✕</button></span>`}<${Span} /><//>
    <${ErrorMessage} error=${error} retry=${refresh} />
    ${data && data.errors.length > 0
      ? html`<${Table} caption="Error groups" columns=${COLUMNS} rows=${data.errors} id=${(/** @type {ErrorGroup} */ group) => group.error_group} dimmed=${slow}
          href=${(/** @type {ErrorGroup} */ group) => pageUrl(`errors/${group.error_group}`, new URLSearchParams(location.search))} name=${(/** @type {ErrorGroup} */ group) => `${group.type} of ${group.operation}: ${group.normalised_text}`} />
        <p class="quiet">${plural(data.failed, "failed job")} in ${plural(data.groups_total, "group")}${data.groups_total > data.errors.length ? `; the largest ${data.errors.length} are shown` : ""}.
          ${!data.is_complete && data.since && html`The scan ended at its limit of rows: groups are of the jobs since <${Time} at=${data.since} />.`}</p>`
      : loading ? html`<${Loading} />` : !error && html`<${Empty} title=${`No job has failed in the ${since}.`}>${operation && html`<p><button type="button" onClick=${() => setQuery({ operation: null })}>Show all operations</button></p>`}<//>`}`;
}
