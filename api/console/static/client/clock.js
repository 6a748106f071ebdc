// The server's clock, from the Date headers of its responses.
import { createStore } from "./store.js";

const SAMPLES = 9;
export const WARN_FROM_MS = 2_000;

/** @type {number[]} */
const offsets = [];
/** Milliseconds by which the server's clock is ahead of the browser's. */
export const skew = createStore(0);

/**
 * Take the Date header of a response in. It has whole seconds, so the middle of its second is meant.
 * @param {string | null} date
 * @param {number} sentAt
 * @param {number} receivedAt
 */
export function learn(date, sentAt, receivedAt) {
  const parsed = date === null ? NaN : Date.parse(date);
  if (Number.isNaN(parsed)) return;
  offsets.push(parsed + 500 - (sentAt + receivedAt) / 2);
  if (offsets.length > SAMPLES) offsets.shift();
  const sorted = [...offsets].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  // Below the resolution of the header there is nothing to correct.
  skew.set(Math.abs(median) < 1_000 ? 0 : Math.round(median));
}

/** Return the server's time in milliseconds since 1970. */
export function serverNow() {
  return Date.now() + skew.get();
}
