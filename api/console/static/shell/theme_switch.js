// The theme: as the system, light or dark. Stored in this browser.
import { html } from "../html.js";
import { createStore, useStore } from "../client/store.js";

const STORED = "jobproc.theme";
const THEMES = ["system", "light", "dark"];
const theme = createStore(localStorage.getItem(STORED) ?? "system");

/** @param {string} name */
function choose(name) {
  if (name === "system") {
    localStorage.removeItem(STORED);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(STORED, name);
    document.documentElement.dataset.theme = name;
  }
  theme.set(name);
}

/** Go on to the next theme. */
export function nextTheme() {
  choose(THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length] ?? "system");
}

export function ThemeSwitch() {
  const name = useStore(theme);
  return html`<select aria-label="Theme" value=${name} onChange=${(/** @type {any} */ event) => choose(event.currentTarget.value)}>
    ${THEMES.map((value) => html`<option key=${value} value=${value}>${value}</option>`)}
  </select>`;
}
