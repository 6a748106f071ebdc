// Bulk actions, newest first.
import { html, useMemo } from "../../html.js";
import { count } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl, setQuery, usePlace } from "../../client/router.js";
import { AsCommand } from "../../parts/copy.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Age } from "../../parts/status.js";
import { Table } from "../../parts/table.js";
import { filterText, reasonsText, title } from "./panel.js";

/** @typedef {import("./panel.js").BulkAction} BulkAction */

export function Page() {
  const { query } = usePlace();
  const cursor = query.get("cursor");
  const { data, error, refresh, loading, slow } = useRead("/bulk-actions", { query: { cursor, limit: 50 } });
  const list = /** @type {{ bulk_actions: BulkAction[], next: string | null } | null} */ (data);
  const columns = useMemo(() => /** @type {import("../../parts/table.js").Column<BulkAction>[]} */ ([
    { key: "act", title: "Act", link: true, cell: (action) => title(action) },
    { key: "filter", title: "Filter", cell: (action) => filterText(action.filter) },
    { key: "phase", title: "Phase", cell: (action) => html`<b>${action.phase.toLowerCase()}</b>` },
    { key: "progress", title: "Progress", right: true, cell: (action) => (action.phase === "PREVIEW" ? "" : `${Math.floor(action.progress * 100)} %`) },
    { key: "done", title: "Changed", right: true, cell: (action) => count(action.done) },
    { key: "skipped", title: "Left alone", cell: (action) => reasonsText(action.skipped) },
    { key: "by", title: "By", cell: (action) => action.started_by ?? action.created_by ?? "" },
    { key: "age", title: "Age", right: true, cell: (action) => html`<${Age} at=${action.created_at} />` },
  ]), []);
  const next = list?.next && new URL(list.next, location.origin).searchParams.get("cursor");
  return html`<div class="heading"><h1>Bulk actions</h1><span class="grow"></span>
      <${AsCommand} commands=${{ curl: { method: "GET", path: "/bulk-actions" }, cli: "actions list", python: "for action in client.bulk_actions():\n    print(action.id)" }} /></div>
    <${ErrorMessage} error=${error} retry=${refresh} />
    ${list && list.bulk_actions.length > 0
      ? html`<${Table} caption="Bulk actions" columns=${columns} rows=${list.bulk_actions} id=${(/** @type {BulkAction} */ action) => action.bulk_action_id} href=${(/** @type {BulkAction} */ action) => pageUrl(`actions/${action.bulk_action_id}`)} dimmed=${slow} />`
      : loading ? html`<div class="frame-of-rows" aria-busy="true"></div>` : !error && html`<${Empty} title="No bulk action was made."><p>Filter the <a href=${pageUrl("jobs")}>jobs</a>, then act on all that match.</p><//>`}
    ${(next || cursor) && html`<div class="foot"><span class="grow"></span><button type="button" disabled=${!cursor} onClick=${() => history.back()}>← newer</button><button type="button" disabled=${!next} onClick=${() => next && setQuery({ cursor: next })}>older →</button></div>`}`;
}
