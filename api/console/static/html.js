// The view library: htm's templates on Preact, and its hooks.
import { Fragment, createContext, h, render } from "./vendor/preact.js";
import { useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { Fragment, createContext, render };
export { useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState };

/**
 * Return a component whose module is loaded when it is first drawn.
 * @param {() => Promise<any>} load
 */
export function lazy(load) {
  /** @type {any} */
  let Loaded = null;
  /** @param {any} props */
  return function Lazy(props) {
    const [, redraw] = useState(false);
    useEffect(() => {
      if (Loaded) return;
      void load().then((component) => {
        Loaded = component;
        redraw(true);
      });
    }, []);
    return Loaded && h(Loaded, props);
  };
}
