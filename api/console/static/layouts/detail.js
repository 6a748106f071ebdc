// A page about one thing: what was read of it, its facts and figures, and its acts.
import { html } from "../html.js";
import { post } from "../client/api.js";
import { connection } from "../client/connection.js";
import { may } from "../client/session.js";
import { useStore } from "../client/store.js";
import { ask } from "../parts/asking.js";
import { ErrorMessage } from "../parts/message.js";
import { Loading } from "./list.js";

/** What was read, or that it is on its way, or why it could not be. @param {{ read: import("../client/live.js").Read<any>, title: string, children: (data: any) => any }} props */
export function Detail({ read: { data, error, refresh }, title, children }) {
  if (!data) return html`<h1>${title}</h1>${error ? html`<${ErrorMessage} error=${error} retry=${refresh} />` : html`<${Loading} />`}`;
  return html`${children(data)}<${ErrorMessage} error=${error} retry=${refresh} />`;
}

/** Facts that are there. @param {{ rows: [string, any][] }} props */
export function Facts({ rows }) {
  return html`<dl class="facts">${rows.filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "").map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** Numbers, with their names. @param {{ rows: [string, any][] }} props */
export function Figures({ rows }) {
  return html`<div class="figures">${rows.map(([name, value]) => html`<div class="figure" key=${name}><span class="quiet">${name}</span><b>${value}</b></div>`)}</div>`;
}

/** A button that only those see who may use it. @param {{ scope: import("#api").components["schemas"]["Scope"], run: () => void, children: any, kind?: string, label?: string, disabled?: boolean }} props */
export function Act({ scope, run, children, kind = "", label, disabled = false }) {
  const { away } = useStore(connection);
  return may(scope) ? html`<button type="button" class=${kind} aria-label=${label} title=${label} disabled=${disabled || away} onClick=${run}>${children}</button>` : null;
}

/**
 * Ask before an act that is one POST.
 * @param {{ title: string, text: any, button: string, path: string, cli?: string, done: (answer: any) => void, told: string, body?: unknown, danger?: boolean }} act
 */
export function askPost({ title, text, button, path, cli, done, told, body, danger = false }) {
  ask({
    title,
    text: html`<p>${text}</p>`,
    button,
    danger,
    commands: { curl: { method: "POST", path, body }, ...(cli && { cli }) },
    run: async () => {
      done(await post(path, body));
      return told;
    },
  });
}
