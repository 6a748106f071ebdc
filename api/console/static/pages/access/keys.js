// API keys: create, rotate, revoke. A key is shown once.
import { html, useMemo, useState } from "../../html.js";
import { pageUrl } from "../../client/router.js";
import { session } from "../../client/session.js";
import { secondsBetween } from "../../client/format.js";
import { Act, askPost } from "../../layouts/detail.js";
import { FormDialog, SecretDialog } from "../../layouts/form.js";
import { Heading, List } from "../../layouts/list.js";
import { useKeys } from "../../parts/keyboard.js";
import { Empty } from "../../parts/message.js";
import { Age } from "../../parts/status.js";

/** @typedef {import("#api").components["schemas"]["ApiKeyView"]} Key */
/** @typedef {import("#api").components["schemas"]["NewApiKeyView"]} NewKey */
/** @typedef {import("../../layouts/form.js").Values} Values */

const DAY_S = 86_400;
/** @param {Key} key */
const stateOf = (key) => (key.revoked_at ? "revoked" : key.expires_at && secondsBetween(key.expires_at) > 0 ? "expired" : "accepted");

const COLUMNS = /** @type {import("../../parts/table.js").Column<Key>[]} */ ([
  { key: "name", title: "Key", link: true, cell: (key) => key.name },
  { key: "id", title: "Id", cell: (key) => html`<code>${key.id}</code>` },
  { key: "state", title: "State", cell: (key) => html`<b class=${stateOf(key) === "accepted" ? "" : "problem"}>${stateOf(key)}</b>` },
  { key: "scopes", title: "Scopes", cell: (key) => key.scopes.join(", ") },
  { key: "used", title: "Last used", right: true, cell: (key) => (key.last_used_at ? html`<${Age} at=${key.last_used_at} />` : "never") },
  { key: "expires", title: "Expires", right: true, cell: (key) => (key.expires_at ? html`<${Age} at=${key.expires_at} />` : "never") },
  { key: "created", title: "Created", right: true, cell: (key) => html`<${Age} at=${key.created_at} />` },
  { key: "by", title: "By", cell: (key) => key.created_by },
]);

/** @param {Values} values */
const body = ({ name, scopes, expires_in_seconds: days }) => JSON.stringify({ name, scopes, ...(days && { expires_in_seconds: Math.round(Number(days) * DAY_S) }) });

export function Page() {
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {NewKey | null} */ (null));
  const [version, setVersion] = useState(0);
  const scopes = session.get().caller?.scopes ?? [];
  /** @param {NewKey} key */
  const show = (key) => {
    setMade(key);
    setVersion((before) => before + 1);
  };
  const fields = () => /** @type {import("../../layouts/form.js").Field[]} */ ([
    { name: "name", label: "Name", required: true, hint: "for people" },
    { name: "scopes", label: "Scopes", kind: "many", choices: scopes, hint: "A key has only scopes that you have. No scope implies another." },
    { name: "expires_in_seconds", label: "Days until it expires", kind: "number", hint: "empty: never" },
  ]);
  const acts = useMemo(() => (/** @type {Key} */ key, /** @type {() => Promise<void>} */ refresh) => stateOf(key) === "accepted" && html`
    <${Act} scope="keys" run=${() => askPost({ title: `Rotate ${key.name}`, text: "A successor with the same scopes is made. The old key is accepted for another day.", button: "Rotate", path: `/keys/${key.id}/rotate`, body: {}, cli: `keys rotate ${key.id}`, done: show, told: "The successor is made." })} label=${`Rotate ${key.name}`}>Rotate<//>
    <${Act} scope="keys" kind="danger" run=${() => askPost({ title: `Revoke ${key.name}`, text: html`Requests with the key are refused from now on. <strong>That cannot be taken back.</strong>`, button: "Revoke", danger: true, path: `/keys/${key.id}/revoke`, cli: `keys revoke ${key.id}`, done: refresh, told: "The key is revoked." })} label=${`Revoke ${key.name}`}>Revoke<//>`, []);
  useKeys({ "+": { text: "new key", run: () => setMaking(true) } });
  return html`<${Heading} title="API keys" commands=${{ curl: { method: "GET", path: "/keys" }, cli: "keys list", python: "for key in client.keys.list():\n    print(key.name, key.scopes)" }}>
      <${Act} scope="keys" kind="primary" run=${() => setMaking(true)}>New key<//><//>
    <${List} key=${version} caption="API keys" path="/keys" member="keys" cursor="after" columns=${COLUMNS} id=${(/** @type {Key} */ row) => row.id} acts=${acts}
      href=${(/** @type {Key} */ row) => pageUrl("audit", { subject: `key:${row.id}` })} name=${(/** @type {Key} */ row) => `What the key ${row.name} has done`} empty=${html`<${Empty} title="There is no API key yet." />`} />
    ${making && html`<${FormDialog} title="New key" fields=${fields} initial=${{ name: "", scopes: [], expires_in_seconds: "" }} button="Create" path="/keys" body=${body} close=${() => setMaking(false)} done=${show} />`}
    ${made && html`<${SecretDialog} title=${`The key ${made.name}`} secret=${made.key} what="Requests send it as Authorization: Bearer …." close=${() => setMade(null)} />`}`;
}
