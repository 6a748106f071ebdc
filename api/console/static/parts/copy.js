// Copies a text, and shows a view or an act as a command.
import { html, lazy, useEffect, useRef, useState } from "../html.js";
import { hold } from "../client/live.js";

/** @typedef {import("./commands.js").Description} Description */

export const Commands = lazy(async () => (await import("./commands.js")).Commands);
const SHOWN_MS = 1_500;

/**
 * Copy a text to the clipboard. A page that is not served over https or from this machine has none: then by selection.
 * @param {string} text
 */
export async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** @param {{ text: string, label: string, children?: any }} props */
export function Copy({ text, label, children }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    await copyText(text);
    setCopied(true);
  };
  return html`<button type="button" class="copy" aria-label=${label} title=${label} onClick=${copy}>${copied ? "copied" : (children ?? "copy")}</button>`;
}

/** The same as curl, command line and Python. @param {{ commands: Description, label?: string }} props */
export function AsCommand({ commands, label = "As command" }) {
  const [open, setOpen] = useState(false);
  const details = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  useEffect(() => (open ? hold() : undefined), [open]);
  useEffect(() => {
    /** @param {Event} event */
    const close = (event) => {
      const inside = event.target instanceof globalThis.Node && details.current?.contains(event.target);
      if (details.current?.open && (event instanceof KeyboardEvent ? event.key === "Escape" : !inside)) details.current.open = false;
    };
    addEventListener("pointerdown", close);
    addEventListener("keydown", close);
    return () => {
      removeEventListener("pointerdown", close);
      removeEventListener("keydown", close);
    };
  }, []);
  return html`<details class="command" ref=${details} onToggle=${() => setOpen(details.current?.open ?? false)}>
    <summary data-key="command">${label}</summary>
    ${open && html`<div class="sheet"><${Commands} commands=${commands} /></div>`}
  </details>`;
}
