// The caller: name, tenant and scopes, from GET /me.
import { Problem, get, refusals, request } from "./api.js";
import { createStore } from "./store.js";

/** @typedef {import("#api").components["schemas"]["CallerView"]} Caller */
/** @typedef {import("#api").components["schemas"]["ConsoleSettingsView"]} Settings */
/** @typedef {{ caller: Caller | null, settings: Settings | null, signIn: boolean, error: Error | null }} Session */

export const session = createStore(/** @type {Session} */ ({ caller: null, settings: null, signIn: false, error: null }));

/** Ask who the caller is, and what the installation is called. A caller that the API does not know is asked to sign in. */
export async function identify() {
  try {
    const [caller, settings] = await Promise.all([get("/me"), get("/console/settings")]);
    session.set({ caller, settings, signIn: false, error: null });
  } catch (error) {
    const refused = error instanceof Problem && error.status === 401;
    session.set({ ...session.get(), signIn: refused, error: refused ? null : /** @type {Error} */ (error) });
  }
}

refusals.subscribe(() => {
  if (!session.get().signIn) session.set({ ...session.get(), signIn: true });
});

/**
 * Return true if the caller may do what needs a scope.
 * @param {import("#api").components["schemas"]["Scope"]} scope
 */
export function may(scope) {
  return session.get().caller?.scopes.includes(scope) ?? false;
}

/** Return true if the API takes requests without a key. */
export function isOpen() {
  return session.get().caller?.subject === null;
}

/**
 * Sign in with an API key. The API answers with a cookie that no script can read. Throws Problem if it refuses the key.
 * @param {string} key
 */
export async function signIn(key) {
  await request("POST", "/console/session", { headers: { Authorization: `Bearer ${key}` } });
  await identify();
}

/** End the session. */
export async function signOut() {
  await request("DELETE", "/console/session");
  session.set({ caller: null, settings: null, signIn: true, error: null });
}
