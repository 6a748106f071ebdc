// A table of rows that stay where they are: selected, walked by keys, with the acts of each row.
import { html, useMemo, useRef } from "../html.js";
import { useKeys } from "./keyboard.js";

/**
 * @template T
 * @typedef {Object} Column
 * @property {string} key
 * @property {string} title
 * @property {(row: T) => any} cell
 * @property {boolean} [right] numbers
 * @property {boolean} [link] its text leads to where the row leads
 * @property {string} [describes] the full title, for a screen reader
 */
/**
 * @template T
 * @typedef {Object} TableProps
 * @property {string} caption what the table has, for a screen reader
 * @property {Column<T>[]} columns
 * @property {T[]} rows
 * @property {(row: T) => string} id
 * @property {(row: T) => string} [href] where a row leads to
 * @property {(row: T) => string} [name] what the row is called, for a screen reader
 * @property {Set<string>} [selected]
 * @property {(selected: Set<string>) => void} [onSelect]
 * @property {(row: T) => any} [acts]
 * @property {(row: T) => string} [state] a name by which rows look different
 * @property {(row: T, verb: string) => void} [onKey] an act by a key on the row that has the focus
 * @property {Record<string, string>} [keys] the keys of onKey, and what they do
 * @property {boolean} [dimmed] the rows are of before
 */

/**
 * @template T
 * @param {TableProps<T>} props
 */
export function Table(props) {
  const { caption, columns, rows, id, selected, onSelect, acts, onKey, keys = {}, dimmed = false } = props;
  const body = useRef(/** @type {HTMLTableSectionElement | null} */ (null));
  const last = useRef(-1);
  const shown = useMemo(() => new Map(), [columns, acts]);

  const links = () => /** @type {HTMLElement[]} */ ([...(body.current?.querySelectorAll("[data-row-focus]") ?? [])]);
  const current = () => links().findIndex((link) => link.closest("tr")?.contains(document.activeElement));
  /** @param {number} step */
  const move = (step) => {
    const all = links();
    const at = current();
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
    all[next]?.focus();
    all[next]?.scrollIntoView({ block: "nearest" });
  };
  /** Kept for rows that are not drawn again. */
  const latest = useRef((/** @type {number} */ _at, /** @type {boolean} */ _range) => {});
  /** @param {number} at @param {boolean} range */
  const toggle = (at, range) => {
    if (!selected || !onSelect || at < 0) return;
    const next = new Set(selected);
    const from = range && last.current >= 0 ? Math.min(last.current, at) : at;
    const to = range && last.current >= 0 ? Math.max(last.current, at) : at;
    const on = range || !next.has(id(/** @type {T} */ (rows[at])));
    for (const row of rows.slice(from, to + 1)) {
      if (on) next.add(id(row));
      else next.delete(id(row));
    }
    last.current = at;
    onSelect(next);
  };
  latest.current = toggle;
  const all = () => onSelect?.(selected && selected.size >= rows.length ? new Set() : new Set(rows.map(id)));
  useKeys({
    j: { text: "next row", run: () => move(1) },
    k: { text: "previous row", run: () => move(-1) },
    ...(onSelect && {
      x: { text: "select the row", run: () => toggle(current(), false) },
      X: { text: "select up to this row", run: () => toggle(current(), true) },
      "*": { text: "select all rows of the page", run: all },
    }),
    ...Object.fromEntries(Object.entries(keys).map(([key, text]) => [key, {
      text,
      run: () => {
        const row = rows[current()];
        if (row !== undefined) onKey?.(row, key);
      },
    }])),
  });
  return html`<div class=${`table-frame ${dimmed ? "dimmed" : ""}`}><table>
    <caption class="hidden">${caption}</caption>
    <thead><tr>
      ${onSelect && html`<th class="select"><input type="checkbox" aria-label="Select all rows of the page" checked=${rows.length > 0 && selected?.size === rows.length} onChange=${all} /></th>`}
      ${columns.map(({ key, title, right, describes }) => html`<th key=${key} scope="col" class=${`${key} ${right ? "right" : ""}`} title=${describes}>${title}</th>`)}
      ${acts && html`<th scope="col"><span class="hidden">Acts</span></th>`}
    </tr></thead>
    <tbody ref=${body}>
      ${rows.map((row, at) => {
        // The same row gives the same element, so that only rows that changed are drawn.
        const isSelected = selected?.has(id(row)) ?? false;
        const before = shown.get(id(row));
        if (before && before.row === row && before.isSelected === isSelected && before.at === at) return before.element;
        const element = html`<${Row} key=${id(row)} row=${row} table=${props} at=${at} isSelected=${isSelected} toggle=${(/** @type {number} */ index, /** @type {boolean} */ range) => latest.current(index, range)} />`;
        shown.set(id(row), { row, isSelected, at, element });
        return element;
      })}
    </tbody>
  </table></div>`;
}

/**
 * @template T
 * @param {{ row: T, table: TableProps<T>, at: number, isSelected: boolean, toggle: (at: number, range: boolean) => void }} props
 */
function Row({ row, table, at, isSelected, toggle }) {
  const { columns, id, href, name, onSelect, acts, state } = table;
  return html`<tr class=${isSelected ? "selected" : ""} data-state=${state?.(row)} data-id=${id(row)}>
    ${onSelect && html`<td class="select"><input type="checkbox" checked=${isSelected} aria-label=${`Select ${name?.(row) ?? id(row)}`}
      onClick=${(/** @type {MouseEvent} */ event) => toggle(at, event.shiftKey)} /></td>`}
    ${columns.map(({ key, cell, right, link }, index) => {
      const content = cell(row);
      return html`<td key=${key} class=${`${key} ${right ? "right" : ""}`}>${href && (link ?? (index === 0 && !columns.some((column) => column.link))) ? html`<a href=${href(row)} data-row-focus aria-label=${name?.(row)}>${content}</a>` : content}</td>`;
    })}
    ${acts && html`<td class="acts">${acts(row)}</td>`}
  </tr>`;
}
