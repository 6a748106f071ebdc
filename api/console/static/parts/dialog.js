// Asks before an act: what it will do to how many, and the same as a command.
import { html, useEffect, useRef, useState } from "../html.js";
import { hold } from "../client/live.js";
import { asked, tell } from "./asking.js";
import { Commands } from "./copy.js";
import { ErrorMessage } from "./message.js";

/** A modal dialog of the platform. @param {{ title: string, close: () => void, children?: any, wide?: boolean, stays?: boolean }} props `stays`: only a button closes it */
export function Dialog({ title, close, children, wide = false, stays = false }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const release = hold();
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      release();
      // The platform gives the focus back when a dialog is closed, not when it is taken away.
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  /** @param {MouseEvent} event */
  const outside = (event) => {
    if (event.target === dialog.current && !stays) close();
  };
  /** @param {Event} event */
  const cancel = (event) => {
    if (stays) event.preventDefault();
  };
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-label=${title} onClose=${close} onCancel=${cancel} onClick=${outside}>
    <div class="dialog">
      <header><h2>${title}</h2><button type="button" class="plain" aria-label="Close" onClick=${close}>✕</button></header>
      ${children}
    </div>
  </dialog>`;
}

/** @param {{ question: import("./asking.js").Question }} props */
export function Confirm({ question }) {
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const close = () => asked.set(null);
  /** @param {Event} event */
  const run = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const text = await question.run();
      close();
      if (text) tell(text);
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${question.title} close=${close}>
    <form onSubmit=${run}>
      <div class="text">${question.text}</div>
      <${ErrorMessage} error=${error} />
      <footer>
        <button type="button" onClick=${close}>Leave it</button>
        <button type="submit" class=${question.danger ? "danger" : "primary"} disabled=${busy} autofocus>${question.button}</button>
      </footer>
      ${question.commands && html`<details><summary>As command</summary><${Commands} commands=${question.commands} /></details>`}
    </form>
  <//>`;
}
