// The health of the installation: what was checked, what was found, and what to do.
import { html } from "../html.js";
import { plural } from "../client/format.js";
import { useRead } from "../client/live.js";
import { Detail } from "../layouts/detail.js";
import { Heading } from "../layouts/list.js";

/** @typedef {import("#api").components["schemas"]["DiagnosticsView"]} Diagnostics */

export function Page() {
  const read = /** @type {import("../client/live.js").Read<Diagnostics>} */ (useRead("/diagnostics", { seconds: 30 }));
  return html`<${Detail} read=${read} title="Health">${(/** @type {Diagnostics} */ { healthy, checks }) => {
    const failed = checks.filter(({ ok }) => !ok);
    return html`<${Heading} title="Health" commands=${{ curl: { method: "GET", path: "/diagnostics" }, cli: "doctor" }}><button type="button" onClick=${() => void read.refresh()}>Check again</button><//>
      <p role="status">${healthy ? `All ${plural(checks.length, "check")} passed.` : `${plural(failed.length, "check")} of ${checks.length} did not pass.`}</p>
      <div class="table-frame"><table><caption class="hidden">Checks</caption><thead><tr><th scope="col">Check</th><th scope="col">State</th><th scope="col">Found</th><th scope="col">What to do</th></tr></thead>
        <tbody>${[...failed, ...checks.filter(({ ok }) => ok)].map(({ name, ok, detail, todo }) => html`<tr key=${name}><th scope="row">${name}</th><td><b class=${ok ? "" : "problem"}>${ok ? "passed" : "failed"}</b></td><td>${detail}</td><td>${todo}</td></tr>`)}</tbody></table></div>`;
  }}<//>`;
}
