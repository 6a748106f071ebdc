// Sign-in by an API key or an OpenID provider. The key is sent once and not kept: the API answers with a cookie.
import { html, useEffect, useState } from "../html.js";
import { get } from "../client/api.js";
import { base } from "../client/router.js";
import { signIn } from "../client/session.js";
import { ErrorMessage } from "../parts/message.js";

export function Page() {
  const [key, setKey] = useState("");
  const [ways, setWays] = useState(/** @type {string[] | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    get("/console/session").then((answer) => setWays(/** @type {import("#api").components["schemas"]["SignInView"]} */ (answer).ways), setError);
  }, []);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(key.trim());
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
    }
    setBusy(false);
  };
  const back = encodeURIComponent(location.pathname + location.search + location.hash);
  return html`<section class="sign-in">
    <h1>Sign in</h1>
    ${ways?.includes("api_key") && html`<form onSubmit=${submit}>
      <label>API key <input type="password" name="key" autocomplete="current-password" required value=${key} onInput=${(/** @type {any} */ event) => setKey(event.currentTarget.value)} /></label>
      <button type="submit" class="primary" disabled=${busy}>Sign in</button>
    </form>`}
    <${ErrorMessage} error=${error} />
    ${ways?.includes("openid") && html`<p><a class="button" href=${`${base}/session/start?return_to=${back}`}>Sign in with the OpenID provider</a></p>`}
  </section>`;
}
