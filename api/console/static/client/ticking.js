// The second that passes: ages are drawn again without the rows that have them.
import { createStore, useStore } from "./store.js";

const second = createStore(0);
setInterval(() => {
  if (!document.hidden) second.set(second.get() + 1);
}, 1_000);

/** Draw the component again each second. */
export function useSecond() {
  useStore(second);
}
