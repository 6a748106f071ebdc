// A JSON value as it is stored: as a tree or as text, with search, copied whole; two values side by side.
import { html, useMemo, useState } from "../html.js";
import { compact, parseExact, pretty } from "../client/exact.js";
import { Copy } from "./copy.js";

/** @typedef {import("../client/exact.js").Node} Node */

const OPEN_ENTRIES = 20;
const SHOWN_ITEMS = 200;
const TREE_CHARACTERS = 200_000;

/** @param {{ node: Node }} props */
function Leaf({ node }) {
  return html`<span class=${`json-${node.kind}`}>${compact(node)}</span>`;
}

/** @param {{ name: string | null, node: Node, depth: number, find: string }} props */
function Branch({ name, node, depth, find }) {
  const [limit, setLimit] = useState(SHOWN_ITEMS);
  const label = name === null ? null : html`<span class="json-name">${name}</span>: `;
  if (node.kind !== "object" && node.kind !== "array") return html`<div class="json-row">${label}<${Leaf} node=${node} /></div>`;
  /** @type {[string, Node][]} */
  const entries = node.kind === "object" ? node.entries : node.items.map((item, index) => [String(index), item]);
  const shown = find ? entries.filter(([key, child]) => `${key} ${compact(child)}`.toLowerCase().includes(find)) : entries;
  const size = node.kind === "object" ? `{${entries.length}}` : `[${entries.length}]`;
  if (entries.length === 0) return html`<div class="json-row">${label}${size === "{0}" ? "{}" : "[]"}</div>`;
  return html`<details class="json-branch" open=${find !== "" || depth < 2 || entries.length <= OPEN_ENTRIES}>
    <summary>${label}<span class="quiet">${size}</span></summary>
    ${shown.slice(0, limit).map(([key, child], index) => html`<${Branch} key=${`${key}.${index}`} name=${key} node=${child} depth=${depth + 1} find=${find} />`)}
    ${shown.length > limit && html`<button type="button" onClick=${() => setLimit(limit * 10)}>${shown.length - limit} more</button>`}
  </details>`;
}

/** A value as a tree or as text. @param {{ node: Node, label: string }} props */
export function Json({ node, label }) {
  const text = useMemo(() => pretty(node), [node]);
  const [view, setView] = useState(text.length > TREE_CHARACTERS ? "text" : "tree");
  const [find, setFind] = useState("");
  const isLeaf = node.kind !== "object" && node.kind !== "array";
  return html`<div class="json">
    <div class="bar">
      ${!isLeaf && html`<div class="switch" role="group" aria-label=${`View of the ${label}`}>
        ${["tree", "text"].map((name) => html`<button type="button" aria-pressed=${String(view === name)} onClick=${() => setView(name)}>${name}</button>`)}
      </div>
      <input type="search" placeholder="find" aria-label=${`Find in the ${label}`} value=${find} onInput=${(/** @type {any} */ event) => setFind(event.currentTarget.value)} />`}
      <${Copy} text=${text} label=${`Copy the ${label}`} />
    </div>
    ${view === "text" || isLeaf
      ? html`<pre tabindex="0" aria-label=${label}>${find ? text.split("\n").filter((line) => line.toLowerCase().includes(find.toLowerCase())).join("\n") : text}</pre>`
      : html`<div class="tree"><${Branch} name=${null} node=${node} depth=${0} find=${find.toLowerCase()} /></div>`}
  </div>`;
}

/**
 * Return the lines of two texts, each with whether the other has it there (longest common subsequence).
 * @param {string} before
 * @param {string} after
 * @returns {{ left: string | null, right: string | null, same: boolean }[]}
 */
export function difference(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  if (a.length * b.length > 4_000_000) return Array.from({ length: Math.max(a.length, b.length) }, (_, at) => ({ left: a[at] ?? null, right: b[at] ?? null, same: a[at] === b[at] }));
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      lengths[i * width + j] = a[i] === b[j] ? (lengths[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(lengths[(i + 1) * width + j] ?? 0, lengths[i * width + j + 1] ?? 0);
  const rows = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) rows.push({ left: a[i++] ?? null, right: b[j++] ?? null, same: true });
    else if (j >= b.length || (i < a.length && (lengths[(i + 1) * width + j] ?? 0) >= (lengths[i * width + j + 1] ?? 0))) rows.push({ left: a[i++] ?? null, right: null, same: false });
    else rows.push({ left: null, right: b[j++] ?? null, same: false });
  }
  return rows;
}

/** Two values side by side, changed lines marked. @param {{ before: Node, after: Node, titles: [string, string] }} props */
export function SideBySide({ before, after, titles }) {
  const rows = useMemo(() => difference(pretty(before), pretty(after)), [before, after]);
  const changed = rows.filter((row) => !row.same).length;
  return html`<div class="table-frame"><table class="compare">
    <caption>${changed === 0 ? "No line differs." : `${changed} lines differ.`}</caption>
    <thead><tr>${titles.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr class=${row.same ? "" : "changed"}>
      <td>${row.left === null ? "" : html`<pre>${row.same ? "  " : "− "}${row.left}</pre>`}</td>
      <td>${row.right === null ? "" : html`<pre>${row.same ? "  " : "+ "}${row.right}</pre>`}</td>
    </tr>`)}</tbody>
  </table></div>`;
}

/** Parse a text; null if it is no JSON. @param {string} text */
export function parsed(text) {
  try {
    return parseExact(text);
  } catch {
    return null;
  }
}
