// The endpoints to which events are posted.
import { html, useState } from "../../html.js";
import { go, pageUrl, usePlace } from "../../client/router.js";
import { Act } from "../../layouts/detail.js";
import { SecretDialog } from "../../layouts/form.js";
import { Choice, Heading, List } from "../../layouts/list.js";
import { useKeys } from "../../parts/keyboard.js";
import { Empty } from "../../parts/message.js";
import { Age, word } from "../../parts/status.js";
import { EndpointForm } from "./form.js";

/** @typedef {import("./form.js").Endpoint} Endpoint */
/** @typedef {import("#api").components["schemas"]["NewSecretView"]} NewSecret */

/** A new secret of an endpoint. @param {{ made: NewSecret, close: () => void }} props */
export function Secret({ made, close }) {
  return html`<${SecretDialog} title="Secret of the endpoint" secret=${made.secret} close=${close} what="The receiver verifies each message with this secret (standardwebhooks.com)." />`;
}

const COLUMNS = /** @type {import("../../parts/table.js").Column<Endpoint>[]} */ ([
  { key: "url", title: "Endpoint", link: true, cell: (endpoint) => endpoint.url },
  { key: "description", title: "Description", cell: (endpoint) => html`${endpoint.description}${endpoint.default && html` <span class="chip">default</span>`}` },
  { key: "state", title: "State", cell: (endpoint) => html`<b class=${endpoint.state === "ACTIVE" ? "" : "problem"}>${word(endpoint.state)}</b>` },
  { key: "events", title: "Events", cell: (endpoint) => endpoint.events?.join(", ") ?? "all" },
  { key: "success", title: "Last success", right: true, cell: (endpoint) => html`<${Age} at=${endpoint.last_success_at} />` },
  { key: "failure", title: "Last failure", cell: (endpoint) => endpoint.last_failure_at && html`<${Age} at=${endpoint.last_failure_at} /> ${endpoint.last_failure}` },
]);

export function Page() {
  const { query } = usePlace();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {NewSecret | null} */ (null));
  const state = query.get("state");
  useKeys({ "+": { text: "new endpoint", run: () => setMaking(true) } });
  return html`<${Heading} title="Webhooks" commands=${{ curl: { method: "GET", path: "/webhooks/endpoints", query: { state } }, cli: "webhooks list", python: "for endpoint in client.webhooks.list():\n    print(endpoint.url, endpoint.state)" }}>
      <${Choice} name="state" label="State" choices=${["ACTIVE", "FAILING", "DISABLED"]} /><${Act} scope="webhooks" kind="primary" run=${() => setMaking(true)}>New endpoint<//><//>
    <${List} caption="Endpoints" path="/webhooks/endpoints" member="endpoints" cursor="after" query=${{ state }} columns=${COLUMNS} id=${(/** @type {Endpoint} */ row) => row.id}
      href=${(/** @type {Endpoint} */ row) => pageUrl(`webhooks/${row.id}`)} empty=${html`<${Empty} title="There is no endpoint yet."><p>An endpoint gets an event when a job, batch or workflow has ended.</p><//>`} />
    ${making && html`<${EndpointForm} close=${() => setMaking(false)} done=${setMade} />`}
    ${made && html`<${Secret} made=${made} close=${() => go(pageUrl(`webhooks/${made.id}`))} />`}`;
}
