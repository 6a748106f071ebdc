// Who the caller is and what it may do; the theme; sign out.
import { html } from "../html.js";
import { useSecond } from "../client/ticking.js";
import { absolute } from "../client/format.js";
import { base } from "../client/router.js";
import { session, signOut } from "../client/session.js";
import { useStore } from "../client/store.js";
import { ThemeSwitch } from "./theme_switch.js";

export function CallerSheet() {
  useSecond();
  const { caller, settings } = useStore(session);
  if (!caller) return null;
  const { grafana } = settings?.links ?? {};
  return html`<div class="sheet">
    <dl>
      <dt>Subject</dt><dd>${caller.subject ?? "The API authenticates nobody."}</dd>
      <dt>Tenant</dt><dd>${caller.tenant}${caller.tenant === caller.own_tenant ? "" : `, of ${caller.own_tenant}`}</dd>
      <dt>Scopes</dt><dd>${caller.scopes.join(", ")}</dd>
      ${caller.session && html`<dt>Session</dt><dd>until ${absolute(caller.session.expires_at)}</dd>`}
      <dt>API</dt><dd>${caller.version}</dd>
      <dt>Theme</dt><dd><${ThemeSwitch} /></dd>
    </dl>
    <p><a href=${`${base}/docs/`}>Documentation</a> · <a href=${base.replace(/console$/, "docs")} target="_blank" rel="noopener">API</a>${grafana && html` · <a href=${grafana} target="_blank" rel="noopener noreferrer">Grafana</a>`}</p>
    ${caller.session && html`<button type="button" onClick=${() => void signOut()}>Sign out</button>`}
  </div>`;
}
