// Batches, newest first.
import { html } from "../../html.js";
import { count } from "../../client/format.js";
import { pageUrl, usePlace } from "../../client/router.js";
import { Choice, Heading, List } from "../../layouts/list.js";
import { Empty } from "../../parts/message.js";
import { Age, JobId, word } from "../../parts/status.js";

/** @typedef {import("#api").components["schemas"]["BatchSummary"]} Batch */

const COLUMNS = /** @type {import("../../parts/table.js").Column<Batch>[]} */ ([
  { key: "id", title: "Batch", link: true, cell: (batch) => html`<${JobId} id=${batch.batch_id} />` },
  { key: "status", title: "State", cell: (batch) => html`<b data-phase=${batch.status}>${word(batch.status)}</b>` },
  { key: "jobs", title: "Jobs", right: true, cell: (batch) => count(batch.jobs) },
  { key: "follow", title: "Follow-up", cell: (batch) => batch.follow_up?.operation },
  { key: "by", title: "By", cell: (batch) => batch.submitted_by },
  { key: "age", title: "Age", right: true, cell: (batch) => html`<${Age} at=${batch.created_at} />` },
  { key: "ended", title: "Ended", right: true, cell: (batch) => html`<${Age} at=${batch.ended_at} />` },
]);

export function Page() {
  const { query } = usePlace();
  const status = query.get("status");
  return html`<${Heading} title="Batches" commands=${{ curl: { method: "GET", path: "/batches", query: { status } }, cli: "batches list", python: "for batch in client.batches.list():\n    print(batch.batch_id, batch.status)" }}>
      <${Choice} name="status" label="State" choices=${["OPEN", "CLOSED", "ENDED"]} /><//>
    <${List} caption="Batches" path="/batches" member="batches" query=${{ status }} columns=${COLUMNS} id=${(/** @type {Batch} */ row) => row.batch_id}
      href=${(/** @type {Batch} */ row) => pageUrl(`batches/${row.batch_id}`)} name=${(/** @type {Batch} */ row) => `Batch …${row.batch_id.slice(-12)}`}
      empty=${html`<${Empty} title="There is no batch yet."><p>A batch is jobs that are counted together: <code>POST /batches</code>.</p><//>`} />`;
}
