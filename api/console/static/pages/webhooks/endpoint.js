// An endpoint of webhooks: its deliveries, a test, a new secret, change, disable, delete.
import { html, useState } from "../../html.js";
import { request } from "../../client/api.js";
import { useRead } from "../../client/live.js";
import { go, pageUrl, usePlace } from "../../client/router.js";
import { Act, Detail, Facts, askPost } from "../../layouts/detail.js";
import { Choice, Heading, List } from "../../layouts/list.js";
import { ask, tell } from "../../parts/asking.js";
import { useKeys } from "../../parts/keyboard.js";
import { Age, JobId, Status, Time, word } from "../../parts/status.js";
import { EndpointForm } from "./form.js";
import { Secret } from "./list.js";

/** @typedef {import("#api").components["schemas"]["EndpointView"]} Endpoint */
/** @typedef {import("#api").components["schemas"]["DeliveryView"]} Delivery */

const COLUMNS = /** @type {import("../../parts/table.js").Column<Delivery>[]} */ ([
  { key: "state", title: "State", cell: (delivery) => html`<${Status} state=${delivery.status} />` },
  { key: "type", title: "Event", link: true, cell: (delivery) => delivery.type ?? "deleted" },
  { key: "id", title: "Id", cell: (delivery) => html`<${JobId} id=${delivery.job_id} />` },
  { key: "age", title: "Happened", right: true, cell: (delivery) => html`<${Age} at=${delivery.happened_at ?? delivery.created_at} />` },
  { key: "attempt", title: "Attempt", right: true, cell: (delivery) => `${delivery.attempt}/${delivery.max_attempts}` },
  { key: "next", title: "Next attempt", right: true, cell: (delivery) => html`<${Age} at=${delivery.due_at} />` },
  { key: "error", title: "Error", cell: (delivery) => delivery.error && html`<span class="error-line"><b>${delivery.error.type}</b> ${delivery.error.text}</span>` },
]);

/** @param {Delivery} delivery @param {() => Promise<void>} refresh */
const acts = (delivery, refresh) =>
  html`<${Act} scope="webhooks" kind="plain" label=${`Redeliver …${delivery.job_id.slice(-12)}`} run=${() => askPost({
    title: "Redeliver", text: "The event is sent once more, as a new delivery. The receiver can tell by its id that it has seen it.", button: "Redeliver", path: `/webhooks/deliveries/${delivery.job_id}/redeliver`,
    cli: `webhooks redeliver ${delivery.job_id}`, done: refresh, told: "The event is delivered once more.",
  })}>↻<//>`;

/** @param {{ params: { id: string } }} props */
export function Page({ params: { id } }) {
  const { query } = usePlace();
  const path = `/webhooks/endpoints/${id}`;
  const read = /** @type {import("../../client/live.js").Read<Endpoint>} */ (useRead(path));
  const { data: endpoint, etag, refresh } = read;
  const [changing, setChanging] = useState(false);
  const [made, setMade] = useState(/** @type {import("./list.js").NewSecret | null} */ (null));
  const conditions = /** @type {Record<string, string>} */ (etag ? { "If-Match": etag } : {});
  const test = () => askPost({ title: "Test the endpoint", text: "An event of the type webhook.test is sent to it now.", button: "Send", path: `${path}/test`, cli: `webhooks test ${id}`, done: refresh, told: "The event is on its way." });
  const rotate = () => askPost({
    title: "Rotate the secret", text: "The endpoint gets a new secret. For a day messages are signed with the old one too.", button: "Rotate", path: `${path}/rotate`, body: {}, cli: `webhooks rotate ${id}`,
    done: (answer) => { setMade(answer); void refresh(); }, told: "The endpoint has a new secret.",
  });
  const toggle = () => endpoint && ask({
    title: endpoint.disabled ? "Enable the endpoint" : "Disable the endpoint", text: html`<p>${endpoint.disabled ? "It gets events again, from now on." : "It gets no events until it is enabled. Events until then are not delivered later."}</p>`,
    button: endpoint.disabled ? "Enable" : "Disable", danger: !endpoint.disabled, commands: { curl: { method: "PATCH", path, body: { disabled: !endpoint.disabled } } },
    run: async () => { await request("PATCH", path, { body: { disabled: !endpoint.disabled }, headers: conditions }); await refresh(); },
  });
  const remove = () => ask({
    title: "Delete the endpoint", text: html`<p>It gets no events any more. <strong>That cannot be taken back.</strong></p>`, button: "Delete", danger: true, commands: { curl: { method: "DELETE", path }, cli: `webhooks delete ${id}` },
    run: async () => { await request("DELETE", path, { headers: conditions }); go(pageUrl("webhooks")); return "The endpoint is deleted."; },
  });
  useKeys({ e: { text: "change", run: () => setChanging(true) } });
  return html`<${Detail} read=${read} title="Endpoint">${(/** @type {Endpoint} */ data) => html`
    <${Heading} title=${data.description || data.url} commands=${{ curl: { method: "GET", path }, cli: `webhooks get ${id}`, python: `print(client.webhooks.get("${id}"))` }}>
      <b class=${data.state === "ACTIVE" ? "quiet" : "problem"}>${word(data.state)}</b><${Act} scope="webhooks" kind="primary" disabled=${data.disabled} run=${test}>Test<//><${Act} scope="webhooks" run=${rotate}>Rotate the secret<//>
      <${Act} scope="webhooks" run=${() => setChanging(true)}>Change<//><${Act} scope="webhooks" run=${toggle}>${data.disabled ? "Enable" : "Disable"}<//><${Act} scope="webhooks" kind="danger" run=${remove}>Delete<//><//>
    <section><h2>Deliveries</h2><${Choice} name="status" label="State" choices=${["PENDING", "RETRYING", "IN_PROGRESS", "SUCCESS", "FAILED"]} />
      <${List} caption="Deliveries" path="/webhooks/deliveries" member="deliveries" query=${{ endpoint_id: id, status: query.get("status") }} columns=${COLUMNS} id=${(/** @type {Delivery} */ row) => row.job_id}
        href=${(/** @type {Delivery} */ row) => pageUrl(`jobs/${row.job_id}`)} acts=${acts} empty=${html`<p class="quiet">Nothing was delivered yet.</p>`} /></section>
    <section><h2>Facts</h2><${Facts} rows=${[
      ["URL", data.url], ["Events", data.events?.join(", ") ?? "all"], ["Default", data.default && "jobs and batches that name no endpoint have this one"], ["Results", data.include_result && "events of jobs have their results"],
      ["Attempts", data.max_attempts], ["Disabled", data.disabled_at && html`<${Time} at=${data.disabled_at} /> · ${data.disabled_reason}`], ["Fails since", data.failing_since && html`<${Time} at=${data.failing_since} />, ${data.failures} attempts in a row`],
      ["Tries again", data.open_until && html`<${Age} at=${data.open_until} />`], ["Last success", data.last_success_at && html`<${Time} at=${data.last_success_at} />`], ["Last failure", data.last_failure_at && html`<${Time} at=${data.last_failure_at} /> ${data.last_failure}`],
      ["Secrets", data.secrets.map((secret) => html`<div key=${secret.created_at}>of <${Time} at=${secret.created_at} />${secret.expires_at && html`, until <${Time} at=${secret.expires_at} />`}</div>`)],
      ["Created", html`<${Time} at=${data.created_at} />${data.created_by && ` by ${data.created_by}`}`],
    ]} /></section>
    ${changing && html`<${EndpointForm} endpoint=${data} etag=${etag} close=${() => setChanging(false)} done=${() => { tell("The endpoint is changed."); void refresh(); }} />`}
    ${made && html`<${Secret} made=${made} close=${() => setMade(null)} />`}`}<//>`;
}
