// One bulk action, and the jobs that its filter matches.
import { html } from "../../html.js";
import { pageUrl } from "../../client/router.js";
import { BulkPanel } from "./panel.js";

/** @param {{ params: { id: string } }} props */
export function Page({ params: { id } }) {
  return html`<div class="heading"><h1>Bulk action</h1><code class="id">${id}</code><span class="grow"></span><a href=${pageUrl("actions")}>All bulk actions</a></div><${BulkPanel} id=${id} />`;
}
