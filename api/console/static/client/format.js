// Numbers, times and durations for people.
import { serverNow } from "./clock.js";

const UNITS = /** @type {[number, string][]} */ ([[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]]);
const integer = new Intl.NumberFormat("en-US");

/**
 * Return a number with separators: 12,408.
 * @param {number} value
 */
export function count(value) {
  return integer.format(value);
}

/**
 * Return a rate a second: 310, 1.2, 0.03.
 * @param {number} value
 */
export function rate(value) {
  return value >= 100 ? count(Math.round(value)) : value >= 10 ? value.toFixed(0) : value === 0 ? "0" : value >= 0.1 ? value.toFixed(1) : value.toFixed(2);
}

/**
 * Return a duration: 28 ms, 4.2 s, 3 min 20 s, 2 h.
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return "< 1 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const index = UNITS.findIndex(([size]) => seconds >= size);
  const [size, unit] = UNITS[index] ?? [1, "s"];
  const [smaller, smallerUnit] = UNITS[index + 1] ?? [1, "s"];
  const whole = Math.floor(seconds / size);
  const rest = Math.floor((seconds - whole * size) / smaller);
  return rest > 0 && whole < 10 ? `${whole} ${unit} ${rest} ${smallerUnit}` : `${whole} ${unit}`;
}

/**
 * Return a duration of whole seconds: 4 s, 3 min 20 s.
 * @param {number} seconds
 */
export function whole(seconds) {
  const rounded = Math.max(0, Math.floor(seconds));
  return rounded < 60 ? `${rounded} s` : duration(rounded);
}

/**
 * Return the seconds from one time to another; the second defaults to now by the server's clock.
 * @param {string} from
 * @param {string | null} [to]
 */
export function secondsBetween(from, to) {
  return ((to ? Date.parse(to) : serverNow()) - Date.parse(from)) / 1_000;
}

/**
 * Return how long ago a time was, or in how long it will be: 3 min, in 40 s.
 * @param {string} at
 */
export function age(at) {
  const seconds = Math.floor(secondsBetween(at));
  if (seconds < -1) return `in ${whole(-seconds)}`;
  return seconds < 1 ? "now" : whole(seconds);
}

/**
 * Return a time in the browser's zone, to the millisecond.
 * @param {string} at
 */
export function absolute(at) {
  const date = new Date(at);
  /** @param {number} value @param {number} [digits] */
  const pad = (value, digits = 2) => String(value).padStart(digits, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/**
 * Return the time of day of a time.
 * @param {string | number} at
 */
export function clock(at) {
  return new Date(at).toTimeString().slice(0, 8);
}

/**
 * Return "1 job", "2 jobs".
 * @param {number} value
 * @param {string} noun
 * @param {string} [plural]
 */
export function plural(value, noun, plural = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/**
 * Return an amount of memory in MiB.
 * @param {number} mebibytes
 */
export function memory(mebibytes) {
  return mebibytes >= 1_024 ? `${(mebibytes / 1_024).toFixed(1)} GiB` : `${mebibytes.toFixed(mebibytes < 10 ? 1 : 0)} MiB`;
}

/**
 * Return the part of an id by which people tell it from others.
 * @param {string} id
 */
export function shortId(id) {
  return id.slice(-12);
}
