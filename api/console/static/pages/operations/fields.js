// The fields of a form from a JSON Schema. Their texts become JSON as they are: no number changes on its way.
import { html } from "../../html.js";
import { parsed } from "../../parts/json.js";

/**
 * @typedef {Object} Schema
 * @property {string | string[]} [type]
 * @property {string} [title]
 * @property {string} [description]
 * @property {string} [format]
 * @property {unknown[]} [enum]
 * @property {unknown} [default]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {unknown[]} [examples]
 */
/** @typedef {{ name: string, kind: "text" | "number" | "boolean" | "choice" | "json", schema: Schema, required: boolean }} Field */

/**
 * Return the fields of an input, null if it is no object of known members: then it is written as JSON.
 * @param {Schema} schema
 * @returns {Field[] | null}
 */
export function fieldsOf(schema) {
  if (schema.type !== "object" || !schema.properties) return null;
  return Object.entries(schema.properties).map(([name, member]) => {
    const { type } = member;
    const kind = member.enum ? "choice" : type === "string" ? "text" : type === "number" || type === "integer" ? "number" : type === "boolean" ? "boolean" : "json";
    return { name, kind, schema: member, required: schema.required?.includes(name) ?? false };
  });
}

/**
 * Return the text of a field as JSON: null if it is left out, undefined if it is no value.
 * @param {Field} field
 * @param {string} text
 * @returns {string | null | undefined}
 */
export function jsonOf(field, text) {
  if (field.kind === "text") return text === "" && !field.required ? null : JSON.stringify(text);
  const trimmed = text.trim();
  if (trimmed === "") return field.required ? undefined : null;
  return parsed(trimmed) ? trimmed : undefined;
}

/**
 * Return the input that the texts of fields make, and the fields whose text is no value.
 * @param {Field[]} fields
 * @param {Record<string, string>} texts
 * @returns {{ text: string, wrong: string[] }}
 */
export function inputOf(fields, texts) {
  /** @type {string[]} */
  const members = [];
  /** @type {string[]} */
  const wrong = [];
  for (const field of fields) {
    const json = jsonOf(field, texts[field.name] ?? "");
    if (json === undefined) wrong.push(field.name);
    else if (json !== null) members.push(`${JSON.stringify(field.name)}: ${json}`);
  }
  return { text: `{${members.join(", ")}}`, wrong };
}

/** @param {Schema} schema */
function hint(schema) {
  if (schema.default !== undefined) return `default: ${JSON.stringify(schema.default)}`;
  if (schema.format) return schema.format;
  return Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "JSON");
}

/** @param {{ field: Field, text: string, set: (text: string) => void, problem: string | undefined, id: string }} props */
export function FieldInput({ field, text, set, problem, id }) {
  const { name, kind, schema, required } = field;
  const common = { id, "aria-describedby": `${id}-about`, "aria-invalid": String(problem !== undefined), onInput: (/** @type {any} */ event) => set(event.currentTarget.value) };
  const choices = kind === "boolean" ? ["true", "false"] : (schema.enum ?? []).map((value) => JSON.stringify(value));
  return html`<div class="field">
    <label for=${id}>${name}${required ? "" : html` <span class="quiet">optional</span>`}</label>
    ${kind === "boolean" || kind === "choice"
      ? html`<select ...${common} value=${text} onChange=${common.onInput}><option value=""></option>${choices.map((value) => html`<option key=${value} value=${value}>${value}</option>`)}</select>`
      : kind === "json"
        ? html`<textarea ...${common} rows="3" spellcheck=${false} placeholder=${hint(schema)} value=${text}></textarea>`
        : html`<input ...${common} inputmode=${kind === "number" ? "decimal" : "text"} placeholder=${hint(schema)} value=${text} autocomplete="off" />`}
    <span id=${`${id}-about`}>${problem ? html`<span class="problem">${problem}</span>` : html`<span class="quiet">${schema.description ?? hint(schema)}</span>`}</span>
  </div>`;
}
