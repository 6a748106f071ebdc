// The audit log: who has done what, newest first.
import { html } from "../../html.js";
import { pageUrl, usePlace } from "../../client/router.js";
import { Choice, Heading, List, Typed } from "../../layouts/list.js";
import { Copy } from "../../parts/copy.js";
import { Empty } from "../../parts/message.js";
import { Time } from "../../parts/status.js";

/** @typedef {import("#api").components["schemas"]["AuditEntryView"]} Entry */

const ACTIONS = Object.entries({
  job: "cancel retry", batch: "close cancel", workflow: "cancel retry", bulk_action: "start stop undo", key: "create rotate revoke", schedule: "create change delete pause resume run",
  queue: "pause resume change", webhook: "create change delete rotate test redeliver", tenant: "create change suspend resume drain remove",
}).flatMap(([noun, verbs]) => verbs.split(" ").map((verb) => `${noun}.${verb}`));
const PAGES = /** @type {Record<string, string>} */ ({ job: "jobs", batch: "batches", workflow: "workflows", bulk_action: "actions", schedule: "schedules", queue: "queues", webhook: "webhooks" });

/** @param {Entry} entry */
function href({ action, thing }) {
  const page = PAGES[action.split(".")[0] ?? ""];
  return page ? pageUrl(`${page}/${encodeURIComponent(thing)}`) : pageUrl("audit", { thing });
}

const COLUMNS = /** @type {import("../../parts/table.js").Column<Entry>[]} */ ([
  { key: "at", title: "Time", cell: (entry) => html`<${Time} at=${entry.at} />` },
  { key: "subject", title: "Who", cell: (entry) => html`<a href=${pageUrl("audit", { subject: entry.subject })}>${entry.subject}</a>` },
  { key: "action", title: "Action", cell: (entry) => entry.action },
  { key: "thing", title: "What", link: true, cell: (entry) => html`<code>${entry.thing}</code>` },
  { key: "details", title: "Details", cell: (entry) => Object.keys(entry.details).length > 0 && html`<code>${JSON.stringify(entry.details)}</code>` },
  { key: "address", title: "Address", cell: (entry) => entry.address },
  { key: "request", title: "Request", cell: (entry) => html`<${Copy} text=${entry.request_id} label=${`Copy the request id ${entry.request_id}`} />` },
]);

export function Page() {
  const { query } = usePlace();
  const filter = Object.fromEntries(["action", "subject", "thing", "after", "before"].map((name) => [name, query.get(name)]));
  return html`<${Heading} title="Audit" commands=${{ curl: { method: "GET", path: "/audit", query: filter }, python: "for entry in client.audit():\n    print(entry.at, entry.subject, entry.action, entry.thing)" }} />
    <div class="bar"><${Choice} name="action" label="Action" choices=${ACTIONS} texts=${Object.fromEntries(ACTIONS.map((action) => [action, action]))} /><${Typed} name="subject" label="Who" placeholder="key:…" /><${Typed} name="thing" label="What" placeholder="an id or a name" />
      <${Typed} name="after" label="After" placeholder="2026-11-30T20:00:00Z" /><${Typed} name="before" label="Before" placeholder="2026-12-01T08:00:00Z" /></div>
    <${List} caption="Audit entries" path="/audit" member="entries" query=${filter} columns=${COLUMNS} id=${(/** @type {Entry} */ row) => row.id} href=${href}
      name=${(/** @type {Entry} */ row) => `${row.action} of ${row.thing}`} empty=${html`<${Empty} title="Nothing was done yet." />`} />`;
}
