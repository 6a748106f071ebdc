// Workflows, newest first.
import { html } from "../../html.js";
import { count } from "../../client/format.js";
import { pageUrl, usePlace } from "../../client/router.js";
import { Choice, Heading, List } from "../../layouts/list.js";
import { Empty } from "../../parts/message.js";
import { Age, JobId, word } from "../../parts/status.js";

/** @typedef {import("#api").components["schemas"]["WorkflowSummary"]} Workflow */

const COLUMNS = /** @type {import("../../parts/table.js").Column<Workflow>[]} */ ([
  { key: "id", title: "Workflow", link: true, cell: (workflow) => html`<${JobId} id=${workflow.workflow_id} />` },
  { key: "status", title: "State", cell: (workflow) => html`<b data-phase=${workflow.status}>${word(workflow.status)}</b>` },
  { key: "jobs", title: "Jobs", right: true, cell: (workflow) => count(workflow.jobs) },
  { key: "by", title: "By", cell: (workflow) => workflow.submitted_by },
  { key: "age", title: "Age", right: true, cell: (workflow) => html`<${Age} at=${workflow.created_at} />` },
  { key: "ended", title: "Ended", right: true, cell: (workflow) => html`<${Age} at=${workflow.ended_at} />` },
]);

export function Page() {
  const { query } = usePlace();
  const status = query.get("status");
  return html`<${Heading} title="Workflows" commands=${{ curl: { method: "GET", path: "/workflows", query: { status } }, cli: "workflows list", python: "for workflow in client.workflows.list():\n    print(workflow.workflow_id, workflow.status)" }}>
      <${Choice} name="status" label="State" choices=${["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]} /><//>
    <${List} caption="Workflows" path="/workflows" member="workflows" query=${{ status }} columns=${COLUMNS} id=${(/** @type {Workflow} */ row) => row.workflow_id}
      href=${(/** @type {Workflow} */ row) => pageUrl(`workflows/${row.workflow_id}`)} name=${(/** @type {Workflow} */ row) => `Workflow …${row.workflow_id.slice(-12)}`}
      empty=${html`<${Empty} title="There is no workflow yet."><p>A workflow is jobs that run after others: <code>POST /workflows</code>, or <code>jobproc workflows submit</code>.</p><//>`} />`;
}
