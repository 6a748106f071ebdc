// All keys that are listened to now.
import { html, useMemo } from "../html.js";
import { useStore } from "../client/store.js";
import { Dialog } from "../parts/dialog.js";
import { allKeys, enableKeys, enabled, helpShown } from "../parts/keyboard.js";

export function KeyHelp() {
  const on = useStore(enabled);
  const rows = useMemo(allKeys, []);
  return html`<${Dialog} title="Keys" close=${() => helpShown.set(false)}>
    <dl class="keys">${[...rows].map(([key, text]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${text}</dd></div>`)}</dl>
    <label><input type="checkbox" checked=${on} onChange=${() => enableKeys(!on)} /> Keys of one letter are on</label>
  <//>`;
}
