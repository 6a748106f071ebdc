// A form in a dialog: fields, the reason beside a refused one, and what the form sends as a command.
import { html, useState } from "../html.js";
import { Problem, request } from "../client/api.js";
import { connection } from "../client/connection.js";
import { useStore } from "../client/store.js";
import { Commands, Copy } from "../parts/copy.js";
import { Dialog } from "../parts/dialog.js";
import { ErrorMessage } from "../parts/message.js";

/**
 * @typedef {Object} Field
 * @property {string} name by which the API refuses it
 * @property {string} label
 * @property {"text" | "number" | "json" | "choice" | "many" | "check" | "time"} [kind] text by default
 * @property {string[]} [choices]
 * @property {string} [hint]
 * @property {boolean} [required]
 */
/** @typedef {Record<string, any>} Values */

/** @param {{ field: Field, value: any, set: (value: any) => void, problem: string | undefined }} props */
function Input({ field: { name, label, kind = "text", choices = [], hint, required = false }, value, set, problem }) {
  const id = `form-${name}`;
  const common = { id, name, "aria-describedby": `${id}-about`, "aria-invalid": String(problem !== undefined) };
  const onInput = (/** @type {any} */ event) => set(event.currentTarget.value);
  const about = html`<span id=${`${id}-about`} class=${problem ? "problem" : "quiet"}>${problem ?? hint}</span>`;
  if (kind === "check") return html`<div class="field"><span><input ...${common} type="checkbox" checked=${value} onChange=${(/** @type {any} */ event) => set(event.currentTarget.checked)} /> <label for=${id}>${label}</label></span>${about}</div>`;
  if (kind === "many") {
    return html`<fieldset class="field"><legend>${label}</legend><span class="states">${choices.map((choice) => html`<label key=${choice} class="chip"><input type="checkbox" checked=${value.includes(choice)}
      onChange=${() => set(choices.filter((other) => (other === choice ? !value.includes(choice) : value.includes(other))))} /> ${choice}</label>`)}</span>${about}</fieldset>`;
  }
  return html`<div class="field"><label for=${id}>${label}</label>
    ${kind === "choice"
      ? html`<select ...${common} value=${value} onChange=${onInput}>${choices.map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}</select>`
      : kind === "json"
        ? html`<textarea ...${common} rows="4" spellcheck=${false} value=${value} onInput=${onInput}></textarea>`
        : html`<input ...${common} type=${kind === "time" ? "datetime-local" : kind} step="any" required=${required} value=${value} autocomplete="off" onInput=${onInput} />`}
    ${about}</div>`;
}

/**
 * @param {{
 *   title: string, fields: (values: Values) => Field[], initial: Values, button: string, method?: string, path: string, headers?: Record<string, string>,
 *   body: (values: Values) => string, done: (answer: any) => void, close: () => void, cli?: (values: Values) => string,
 * }} props `body`: returns JSON, throws Error with the reason if the values are none
 */
export function FormDialog({ title, fields, initial, button, method = "POST", path, headers = {}, body, done, close, cli }) {
  const [values, setValues] = useState(initial);
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const { away } = useStore(connection);
  /** @returns {string} */
  const text = () => {
    try {
      return body(values);
    } catch {
      return "";
    }
  };
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { data } = await request(method, path, { text: body(values), headers });
      close();
      done(data);
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
      setBusy(false);
    }
  };
  const refused = error instanceof Problem ? error.fields : [];
  return html`<${Dialog} title=${title} close=${close} wide>
    <form onSubmit=${submit} class="fields">
      ${fields(values).map((field) => html`<${Input} key=${field.name} field=${field} value=${values[field.name]} set=${(/** @type {any} */ value) => setValues({ ...values, [field.name]: value })}
        problem=${refused.find((item) => item.field === field.name || item.field.startsWith(`${field.name}.`))?.reason} />`)}
      <${ErrorMessage} error=${error} />
      <footer><button type="button" onClick=${close}>Leave it</button><button type="submit" class="primary" disabled=${busy || away}>${button}</button></footer>
      <details><summary>As command</summary><${Commands} commands=${{ curl: { method, path, text: text() }, ...(cli && { cli: cli(values) }) }} /></details>
    </form>
  <//>`;
}

/** A secret that the API tells once. @param {{ title: string, secret: string, what: any, close: () => void }} props */
export function SecretDialog({ title, secret, what, close }) {
  return html`<${Dialog} title=${title} close=${close} stays>
    <p>${what} <strong>It is shown this once.</strong></p>
    <p class="bar"><code class="secret">${secret}</code><${Copy} text=${secret} label="Copy the secret" /></p>
    <footer><button type="button" class="primary" onClick=${close}>I have stored it</button></footer>
  <//>`;
}
