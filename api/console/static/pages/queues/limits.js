// The limits of a queue: how many jobs run at once and start a second, of the queue and of each concurrency key.
import { html, useState } from "../../html.js";
import { request } from "../../client/api.js";
import * as commands from "../../client/commands.js";
import { tell } from "../../parts/asking.js";
import { AsCommand } from "../../parts/copy.js";
import { ErrorMessage } from "../../parts/message.js";

/** @typedef {import("./list.js").Policy} Policy */
/** @typedef {Record<string, string>} Fields */

const NUMBERS = /** @type {[string, string][]} */ ([["concurrency", "Jobs at once"], ["key_concurrency", "Jobs at once of one concurrency key"]]);
const RATES = /** @type {[string, string][]} */ ([["rate", "Jobs a second"], ["key_rate", "Jobs a second of one concurrency key"]]);

/** @param {Policy | null} policy */
export function limitsText(policy) {
  if (!policy) return "";
  const { concurrency, rate, key_concurrency: keyConcurrency, key_rate: keyRate } = policy;
  return [
    concurrency !== null && `${concurrency} at once`,
    rate && `${rate.per_second}/s`,
    keyConcurrency !== null && `${keyConcurrency} at once a key`,
    keyRate && `${keyRate.per_second}/s a key`,
  ].filter(Boolean).join(" · ");
}

/** @param {Policy | null} policy @returns {Fields} */
function fieldsOf(policy) {
  /** @type {Fields} */
  const fields = {};
  for (const [name] of NUMBERS) fields[name] = String(/** @type {any} */ (policy)?.[name] ?? "");
  for (const [name] of RATES) {
    const limit = /** @type {import("./list.js").RateLimit | null} */ (/** @type {any} */ (policy)?.[name] ?? null);
    fields[name] = limit ? String(limit.per_second) : "";
    fields[`${name}.burst`] = limit ? String(limit.burst) : "";
  }
  return fields;
}

/**
 * Return the change that fields describe: an empty one takes its limit away.
 * @param {Fields} fields
 */
export function changeOf(fields) {
  /** @type {Record<string, any>} */
  const change = {};
  for (const [name] of NUMBERS) change[name] = fields[name] ? Number(fields[name]) : null;
  for (const [name] of RATES) {
    const burst = fields[`${name}.burst`];
    const perSecond = Number(fields[name]);
    change[name] = fields[name] ? { per_second: perSecond, burst: burst ? Number(burst) : Math.max(1, Math.ceil(perSecond)) } : null;
  }
  return change;
}

/** @param {{ name: string, policy: Policy | null, etag: string, done: () => void, disabled: boolean }} props */
export function Limits({ name, policy, etag, done, disabled }) {
  const [fields, setFields] = useState(fieldsOf(policy));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const change = changeOf(fields);
  const path = `/queues/${encodeURIComponent(name)}`;
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await request("PATCH", path, { body: change, headers: etag ? { "If-Match": etag } : {} });
      tell("The limits hold for each claim from now on.");
      done();
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
    }
    setBusy(false);
  };
  /** @param {string} key @param {string} label @param {string} step */
  const field = (key, label, step) => html`<label key=${key}>${label} <input type="number" min="0" step=${step} placeholder="any" value=${fields[key]}
    onInput=${(/** @type {any} */ event) => setFields({ ...fields, [key]: event.currentTarget.value })} /></label>`;
  if (policy?.managed) return html`<p>A file of the operators declares the limits of this queue: ${limitsText(policy) || "none"}. Requests can pause it alone.</p>`;
  /** @param {[string, string]} names @param {string} option */
  const cliOption = ([limit], option) => `--${option} ${change[limit] === null ? "none" : typeof change[limit] === "object" ? `${change[limit].per_second}${change[limit].burst ? `/${change[limit].burst}` : ""}` : change[limit]}`;
  return html`<form onSubmit=${submit} class="fields">
    ${NUMBERS.map(([key, label]) => field(key, label, "1"))}
    ${RATES.map(([key, label]) => html`<span class="bar" key=${key}>${field(key, label, "any")} ${field(`${key}.burst`, "burst", "any")}</span>`)}
    <p class="quiet">An empty field is no limit; an empty burst is the jobs of one second. A limit that is lowered lets what runs run on.</p>
    <${ErrorMessage} error=${error} />
    <p class="bar"><button type="submit" class="primary" disabled=${busy || disabled}>Set the limits</button>
      <${AsCommand} commands=${{
        curl: { method: "PATCH", path: path, body: change },
        cli: `queues edit ${commands.quoted(name)} ${[...NUMBERS, ...RATES].map((names) => cliOption(names, names[0].replace("_", "-"))).join(" ")}`,
      }} /></p>
  </form>`;
}
