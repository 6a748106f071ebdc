// The form of an operation, from the schema of its input. It submits a job, once.
import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { Problem, request } from "../../client/api.js";
import * as commands from "../../client/commands.js";
import { connection } from "../../client/connection.js";
import { compact, member, pretty } from "../../client/exact.js";
import { go, pageUrl } from "../../client/router.js";
import { useStore } from "../../client/store.js";
import { tell } from "../../parts/asking.js";
import { AsCommand } from "../../parts/copy.js";
import { parsed } from "../../parts/json.js";
import { ErrorMessage } from "../../parts/message.js";
import { FieldInput, fieldsOf, inputOf } from "./fields.js";

/** @typedef {import("../../client/exact.js").Node} Node */

/** @param {Node} input @param {import("./fields.js").Field[]} fields */
function textsOf(input, fields) {
  /** @type {Record<string, string>} */
  const texts = {};
  for (const field of fields) {
    const value = member(input, field.name);
    if (value) texts[field.name] = field.kind === "text" && value.kind === "string" ? value.value : compact(value);
  }
  return texts;
}

/** @param {{ operation: import("./list.js").Operation, copy: string | null }} props */
export function SubmitForm({ operation, copy }) {
  const fields = useMemo(() => fieldsOf(operation.input_schema), [operation.name]);
  const [asText, setAsText] = useState(fields === null);
  const [texts, setTexts] = useState(/** @type {Record<string, string>} */ ({}));
  const [json, setJson] = useState("{}");
  const [options, setOptions] = useState({ queue: "", priority: "", delay: "", tags: "" });
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [wrong, setWrong] = useState(/** @type {string[]} */ ([]));
  const [busy, setBusy] = useState(false);
  const { away } = useStore(connection);
  // The same request may go out twice: the key makes one job of it.
  const idempotencyKey = useRef(crypto.randomUUID?.() ?? String(Math.random()));
  useEffect(() => {
    if (copy === null) return;
    request("GET", `/jobs/${copy}/input`).then(
      ({ text }) => {
        const input = member(parsed(text) ?? undefined, "input");
        if (!input) return;
        setJson(pretty(input));
        if (fields) setTexts(textsOf(input, fields));
      },
      (problem) => setError(problem),
    );
  }, [copy]);
  const input = asText || !fields ? { text: json, wrong: parsed(json) ? [] : ["input"] } : inputOf(fields, texts);
  const tags = options.tags.split(/[\s,]+/).filter(Boolean);
  const rest = {
    ...(options.queue && { queue: options.queue }),
    ...(options.priority && { priority: Number(options.priority) }),
    ...(options.delay && { delay_seconds: Number(options.delay) }),
    ...(tags.length > 0 && { tags }),
  };
  const body = `{"operation": ${JSON.stringify(operation.name)}, "input": ${input.text}${Object.entries(rest).map(([name, value]) => `, ${JSON.stringify(name)}: ${JSON.stringify(value)}`).join("")}}`;
  const refused = error instanceof Problem ? error.fields : [];
  /** @param {string} name */
  const problemOf = (name) => (wrong.includes(name) ? "This is no value of its type." : refused.find(({ field }) => field === `input.${name}` || field.startsWith(`input.${name}.`) || field === name)?.reason);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setWrong(input.wrong);
    setError(null);
    if (input.wrong.length > 0) return;
    setBusy(true);
    try {
      const { data } = await request("POST", "/jobs/", { text: body, headers: { "Idempotency-Key": idempotencyKey.current } });
      tell("The job was submitted.");
      go(pageUrl(`jobs/${/** @type {any} */ (data).job_id}`));
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
      // A refused request keeps its key: another body needs another one.
      if (problem instanceof Problem) idempotencyKey.current = crypto.randomUUID?.() ?? String(Math.random());
      setBusy(false);
    }
  };
  /** @param {boolean} text */
  const show = (text) => {
    if (text && fields) setJson(pretty(parsed(inputOf(fields, texts).text) ?? { kind: "object", entries: [] }));
    const node = parsed(json);
    if (!text && fields && node) setTexts(textsOf(node, fields));
    setAsText(text);
  };
  /** @param {keyof typeof options} name @param {string} label @param {Record<string, any>} [attributes] */
  const option = (name, label, attributes = {}) => html`<label>${label} <input ...${attributes} value=${options[name]} onInput=${(/** @type {any} */ event) => setOptions({ ...options, [name]: event.currentTarget.value })} /></label>`;
  return html`<form onSubmit=${submit} class="fields" aria-label=${`Submit ${operation.name}`}>
    ${fields && html`<div class="switch" role="group" aria-label="View of the input">
      <button type="button" aria-pressed=${String(!asText)} onClick=${() => show(false)}>fields</button><button type="button" aria-pressed=${String(asText)} onClick=${() => show(true)}>JSON</button></div>`}
    ${asText || !fields
      ? html`<label>Input<textarea rows="8" spellcheck=${false} value=${json} aria-invalid=${String(!parsed(json))} onInput=${(/** @type {any} */ event) => setJson(event.currentTarget.value)}></textarea></label>
        ${!parsed(json) && html`<p class="problem" role="alert">This is no JSON.</p>`}`
      : fields.map((field) => html`<${FieldInput} key=${field.name} id=${`input-${field.name}`} field=${field} text=${texts[field.name] ?? ""} problem=${problemOf(field.name)} set=${(/** @type {string} */ text) => setTexts({ ...texts, [field.name]: text })} />`)}
    <details><summary>Options</summary><div class="bar">
      ${operation.queues.length > 1 && html`<label>Queue <select value=${options.queue} onChange=${(/** @type {any} */ event) => setOptions({ ...options, queue: event.currentTarget.value })}><option value="">${operation.queue}</option>${operation.queues.filter((queue) => queue !== operation.queue).map((queue) => html`<option key=${queue} value=${queue}>${queue}</option>`)}</select></label>`}
      ${option("priority", "Priority, 0 is first", { type: "number", min: 0, max: 9, placeholder: 5 })}
      ${option("delay", "Not before, in seconds", { type: "number", min: 0, placeholder: 0 })}
      ${option("tags", "Tags", { placeholder: "nightly, vip" })}
    </div></details>
    <${ErrorMessage} error=${error} />
    <p class="bar"><button type="submit" class="primary" disabled=${busy || away}>Submit</button>
      ${away && html`<span class="quiet">There is no connection to the API.</span>`}
      <${AsCommand} commands=${{
        curl: { method: "POST", path: "/jobs/", text: body },
        cli: `submit ${operation.name} ${commands.quoted(input.text)} ${commands.options({ queue: options.queue, delay: options.delay })} ${tags.map((tag) => `--tag ${commands.quoted(tag)}`).join(" ")}`,
        python: parsed(input.text) ? `job = client.submit(${JSON.stringify(operation.name)}, ${commands.python(JSON.parse(input.text))}${Object.entries(rest).map(([name, value]) => `, ${name}=${commands.python(value)}`).join("")})\nprint(job.result(timeout=30))` : "",
      }} /></p>
  </form>`;
}
