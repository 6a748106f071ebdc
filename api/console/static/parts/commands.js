// A view or an act as commands: curl, command line, Python.
import { html } from "../html.js";
import { cli, curl, pythonCall } from "../client/commands.js";
import { isOpen } from "../client/session.js";
import { Copy } from "./copy.js";

/** @typedef {{ method: string, path: string, query?: import("../client/api.js").Options["query"], body?: unknown, text?: string }} Request */
/**
 * The requests of a view or an act, and its words on the command line and in Python, without the URL of the API.
 * @typedef {{ curl: Request | Request[], cli?: string, python?: string }} Description
 */

/** @param {{ commands: Description }} props */
export function Commands({ commands }) {
  const requests = Array.isArray(commands.curl) ? commands.curl : [commands.curl];
  const rows = /** @type {[string, string][]} */ ([
    ["curl", requests.map(({ method, path, ...rest }) => curl(method, path, { ...rest, isOpen: isOpen() })).join("\n")],
    ["CLI", commands.cli ? cli(commands.cli) : ""],
    ["Python", commands.python ? pythonCall(commands.python) : ""],
  ]);
  return html`<dl class="commands">
    ${rows.filter(([, text]) => text).map(([name, text]) => html`<dt key=${name}>${name}</dt><dd><pre tabindex="0">${text}</pre><${Copy} text=${text} label=${`Copy as ${name}`} /></dd>`)}
  </dl>`;
}
