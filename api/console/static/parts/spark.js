// A small line of the newest values.
import { html, useId } from "../html.js";

const POINTS = 120;
const WIDTH = 120;
const HEIGHT = 24;
/** @type {Map<string, number[]>} */
const histories = new Map();

/**
 * Keep a value under a name, and return its last values. They are kept while the page is open, whatever page is shown.
 * @param {string} name
 * @param {number | null} value
 * @param {number} at when it was read; the same reading is kept once
 */
export function remember(name, value, at) {
  const history = histories.get(name) ?? [];
  histories.set(name, history);
  const times = histories.get(`${name}@`) ?? [];
  histories.set(`${name}@`, times);
  if (value !== null && at > 0 && times.at(-1) !== at) {
    history.push(value);
    times.push(at);
    if (history.length > POINTS) {
      history.shift();
      times.shift();
    }
  }
  return history;
}

/** @param {{ values: number[], label: string, format: (value: number) => string }} props */
export function Spark({ values, label, format }) {
  const id = useId();
  if (values.length < 2) return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />`;
  const top = Math.max(...values, 0) || 1;
  /** @param {number} value @param {number} at */
  const point = (value, at) => `${((at / (values.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(1)}`;
  const sentence = `${label}: ${format(values[0] ?? 0)} at first, ${format(values.at(-1) ?? 0)} now, at most ${format(top)}`;
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-labelledby=${id} preserveAspectRatio="none">
    <title id=${id}>${sentence}</title>
    <polygon points=${`0,${HEIGHT} ${values.map(point).join(" ")} ${WIDTH},${HEIGHT}`} />
    <polyline points=${values.map(point).join(" ")} />
  </svg>`;
}
