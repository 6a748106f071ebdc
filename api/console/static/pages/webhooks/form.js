// The form of an endpoint of webhooks.
import { html, useState } from "../../html.js";
import { may } from "../../client/session.js";
import { FormDialog } from "../../layouts/form.js";

/** @typedef {import("#api").components["schemas"]["EndpointSummary"]} Endpoint */
/** @typedef {import("../../layouts/form.js").Values} Values */

const EVENTS = ["job.succeeded", "job.failed", "job.cancelled", "batch.ended", "workflow.ended"];

const fields = () => /** @type {import("../../layouts/form.js").Field[]} */ ([
  { name: "url", label: "URL", required: true, hint: "https://…, with a public address" },
  { name: "description", label: "Description" },
  { name: "events", label: "Events", kind: "many", choices: EVENTS },
  { name: "default", label: "Jobs and batches that name no endpoint have this one", kind: "check" },
  ...(may("jobs:payload") ? [{ name: "include_result", label: "Events of jobs have their results", kind: "check" }] : []),
  { name: "max_attempts", label: "Attempts of each delivery", kind: "number", hint: "empty: as the operators have set" },
]);

/** @param {Values} values */
function body({ url, description, events, default: isDefault, include_result, max_attempts: attempts }) {
  return JSON.stringify({ url, description, events: events.length === EVENTS.length ? null : events, default: isDefault, ...(may("jobs:payload") && { include_result }), ...(attempts && { max_attempts: Number(attempts) }) });
}

/** @param {{ endpoint?: Endpoint, etag?: string, close: () => void, done: (endpoint: any) => void }} props */
export function EndpointForm({ endpoint, etag = "", close, done }) {
  const [initial] = useState({ url: endpoint?.url ?? "https://", description: endpoint?.description ?? "", events: endpoint?.events ?? EVENTS, default: endpoint?.default ?? false, include_result: endpoint?.include_result ?? false, max_attempts: endpoint?.max_attempts ?? "" });
  return html`<${FormDialog} title=${endpoint ? "Change the endpoint" : "New endpoint"} initial=${initial} fields=${fields} button=${endpoint ? "Change" : "Create"} method=${endpoint ? "PATCH" : "POST"}
    path=${`/webhooks/endpoints${endpoint ? `/${endpoint.id}` : ""}`} headers=${etag ? { "If-Match": etag } : {}} body=${body} close=${close} done=${done} />`;
}
