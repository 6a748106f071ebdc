// The shell of the console: navigation, connection, the page of the URL.
import { html, lazy, render, useEffect, useErrorBoundary, useState } from "./html.js";
import { WARN_FROM_MS, skew } from "./client/clock.js";
import { connection, outdated, ping } from "./client/connection.js";
import { clock, duration } from "./client/format.js";
import { following, useInterval } from "./client/live.js";
import { base, go, pageUrl, usePlace } from "./client/router.js";
import { identify, may, session } from "./client/session.js";
import { useStore } from "./client/store.js";
import { useSecond } from "./client/ticking.js";
import { Asked, Notice } from "./parts/asking.js";
import { helpShown, paletteShown, setPageKeys, useKeys } from "./parts/keyboard.js";
import { Empty, ErrorMessage, NoPermission } from "./parts/message.js";
import { match, routes } from "./routes.js";

const SIGN_IN = { path: "", title: "Sign in", page: () => import("./shell/sign_in.js") };
const KeyHelp = lazy(async () => (await import("./shell/key_help.js")).KeyHelp);
const Palette = lazy(async () => (await import("./shell/palette.js")).Palette);
const CallerSheet = lazy(async () => (await import("./shell/caller.js")).CallerSheet);
const IDENTIFY_S = 30;
const INTERVALS_S = [1, 2, 5, 10, 30, 60];

setPageKeys(Object.fromEntries(routes.flatMap(({ key, title, path }) => (key ? [[key, { text: `go to ${title.toLowerCase()}`, run: () => go(pageUrl(path)) }]] : []))));

function ConnectionBar() {
  useSecond();
  const { away, since, lastSeen, nextTry } = useStore(connection);
  const isOutdated = useStore(outdated);
  const ahead = useStore(skew);
  return html`<div class="bars" role="status" aria-live="polite">
    ${away && html`<p class="bar-away">No connection since ${clock(since)}. What you see is of ${clock(lastSeen)}. Trying again in ${Math.max(0, Math.ceil((nextTry - Date.now()) / 1_000))} s.
      <button type="button" onClick=${() => void ping()}>Now</button></p>`}
    ${isOutdated && html`<p class="bar-outdated">The console was updated. <button type="button" onClick=${() => location.reload()}>Reload</button></p>`}
    ${Math.abs(ahead) >= WARN_FROM_MS && html`<p class="bar-clock">This machine's clock is ${duration(Math.abs(ahead) / 1_000)} ${ahead > 0 ? "behind" : "ahead of"} the server's. Ages are by the server's.</p>`}
  </div>`;
}

function Following() {
  const { interval, paused } = useStore(following);
  const { away } = useStore(connection);
  const text = away ? "no connection" : paused ? "paused" : "live";
  return html`<span class="following">
    <button type="button" aria-pressed=${String(!paused)} title="Follow or pause ( . )" onClick=${() => following.set({ interval, paused: !paused })}><span class=${`dot ${away ? "away" : paused ? "paused" : ""}`} aria-hidden="true"></span>${text}</button>
    <select aria-label="Seconds between two reads" value=${String(interval)} onChange=${(/** @type {any} */ event) => following.set({ paused, interval: Number(event.currentTarget.value) })}>
      ${INTERVALS_S.map((seconds) => html`<option key=${seconds} value=${String(seconds)}>${seconds} s</option>`)}
    </select>
  </span>`;
}

function Header() {
  const { path } = usePlace();
  const { caller, settings } = useStore(session);
  const [open, setOpen] = useState(false);
  const environment = settings?.environment;
  return html`<header class="shell">
    <a class="brand" href=${base}>jobproc</a>
    ${environment?.name && html`<span class="environment" style=${environment.colour ? { borderColor: environment.colour } : {}}>${environment.name}</span>`}
    <nav aria-label="Pages">${routes.filter(({ nav, scope }) => nav && (!scope || !caller || may(scope))).map((route) => html`<a key=${route.path} href=${pageUrl(route.path)}
      aria-current=${(route.path === "" ? path === "" : path === route.path || path.startsWith(`${route.path}/`)) ? "page" : null}>${route.nav}</a>`)}</nav>
    <span class="grow"></span>
    <${Following} />
    <button type="button" title="Go to ( Ctrl K )" onClick=${() => paletteShown.set(true)}>Go to…</button>
    <button type="button" class="plain" aria-label="Keys" title="Keys ( ? )" onClick=${() => helpShown.set(true)}>?</button>
    ${caller && html`<details class="caller" onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}><summary>${caller.name ?? caller.subject ?? "anyone"}</summary>${open && html`<${CallerSheet} />`}</details>`}
  </header>`;
}

/** @param {{ route: import("./routes.js").Route, params: Record<string, string> }} props */
function Loaded({ route, params }) {
  const [loaded, setLoaded] = useState(/** @type {{ route: any, Page: any, error: Error | null }} */ ({ route: null, Page: null, error: null }));
  useEffect(() => {
    let left = false;
    route.page().then(
      ({ Page }) => left || setLoaded({ route, Page, error: null }),
      () => left || setLoaded({ route, Page: null, error: new Error("This page could not be loaded: the console may have been updated. Reload it.") }),
    );
    return () => {
      left = true;
    };
  }, [route]);
  if (loaded.error) return html`<${ErrorMessage} error=${loaded.error} retry=${() => location.reload()} />`;
  return loaded.route === route ? html`<${loaded.Page} params=${params} />` : null;
}

function Content() {
  const { path } = usePlace();
  const { caller, settings, signIn, error } = useStore(session);
  const [broken, reset] = useErrorBoundary();
  const found = match(path);
  useEffect(() => {
    document.title = `${found?.route.title ?? "Nothing here"} · ${settings?.environment.name || "jobproc"}`;
  }, [path, settings]);
  if (signIn) return html`<${Loaded} key="sign-in" route=${SIGN_IN} params=${{}} />`;
  if (broken) return html`<${ErrorMessage} error=${broken} /><button type="button" onClick=${reset}>Draw the page again</button>`;
  if (!found) return html`<h1>Nothing here</h1><${Empty} title=${`There is no page ${path}.`}><p><a href=${base}>To the overview</a></p><//>`;
  if (!caller) return error ? html`<h1>${found.route.title}</h1><${ErrorMessage} error=${error} retry=${identify} />` : null;
  if (found.route.scope && !may(found.route.scope)) return html`<h1>${found.route.title}</h1><${NoPermission} scope=${found.route.scope} what="This page" />`;
  return html`<${Loaded} key=${path} route=${found.route} params=${found.params} />`;
}

function Console() {
  useInterval(() => void identify(), IDENTIFY_S);
  const helps = useStore(helpShown);
  const palette = useStore(paletteShown);
  useKeys({
    "?": { text: "this help", run: () => helpShown.set(true) },
    ".": { text: "follow or pause", run: () => following.set({ ...following.get(), paused: !following.get().paused }) },
    t: { text: "theme", run: () => void import("./shell/theme_switch.js").then(({ nextTheme }) => nextTheme()) },
  });
  return html`<a class="skip" href="#content">Skip to the content</a>
    <${Header} /><${ConnectionBar} /><main id="content" tabindex="-1"><${Content} /></main>
    ${palette && html`<${Palette} />`}<${Asked} />${helps && html`<${KeyHelp} />`}<${Notice} />`;
}

// The icon of the shell has a relative URL, which would follow the place.
const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector('link[rel="icon"]'));
if (icon) icon.href = icon.href;
const host = document.createElement("div");
host.id = "console";
document.body.append(host);
render(html`<${Console} />`, host);
void identify();
