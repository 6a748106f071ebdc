// Chooses an act on all jobs that match the filters of a list; its preview counts them and changes nothing.
import { html, useState } from "../../html.js";
import { post } from "../../client/api.js";
import * as commands from "../../client/commands.js";
import { setQuery } from "../../client/router.js";
import { AsCommand } from "../../parts/copy.js";
import { ErrorMessage } from "../../parts/message.js";

const ACTS = /** @type {[string, string][]} */ ([["retry", "retry failed and cancelled jobs"], ["cancel", "cancel unfinished jobs"], ["reprioritise", "give waiting jobs another priority"]]);

/** @param {{ filters: Record<string, string>, act: string }} props */
export function BulkDraft({ filters, act }) {
  const [rate, setRate] = useState("");
  const [priority, setPriority] = useState("5");
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const { status, input, metadata, ...rest } = filters;
  const filter = { ...rest, ...(status && { status: status.split(",") }), ...(input && { input: [input] }), ...(metadata && { metadata: [metadata] }) };
  const body = {
    action: act,
    filter,
    ...(Object.keys(filter).length === 0 && { all: true }),
    ...(rate && { jobs_per_second: Number(rate) }),
    ...(act === "reprioritise" && { priority: Number(priority) }),
  };
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      /** @type {{ bulk_action_id: string }} */
      const { bulk_action_id: id } = await post("/bulk-actions", body);
      setQuery({ bulk: id, act: null });
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
    }
    setBusy(false);
  };
  const words = act === "reprioritise" ? `reprioritise ${priority}` : act;
  const options = commands.options({ ...filters, ...(rate && { rate }) });
  return html`<section class="bulk" aria-label="Bulk action">
    <div class="heading"><h2>Act on all that match</h2><span class="grow"></span>
      <${AsCommand} commands=${{
        curl: { method: "POST", path: "/bulk-actions", body },
        cli: `${words} ${options || "--all"}`,
      }} />
      <button type="button" class="plain" aria-label="Close" onClick=${() => setQuery({ act: null })}>✕</button></div>
    <form onSubmit=${submit} class="bar">
      <label>Act <select value=${act} onChange=${(/** @type {any} */ event) => setQuery({ act: event.currentTarget.value }, { replace: true })}>${ACTS.map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select></label>
      ${act === "reprioritise" && html`<label>Priority, 0 is first <input type="number" min="0" max="9" required value=${priority} onInput=${(/** @type {any} */ event) => setPriority(event.currentTarget.value)} /></label>`}
      <label>At most <input type="number" min="1" placeholder="100" value=${rate} onInput=${(/** @type {any} */ event) => setRate(event.currentTarget.value)} /> jobs/s</label>
      <button type="submit" class="primary" disabled=${busy}>Preview</button>
      <span class="quiet">A preview counts the jobs and changes none.</span>
    </form>
    <${ErrorMessage} error=${error} />
  </section>`;
}
