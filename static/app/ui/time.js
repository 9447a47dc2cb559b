// Formats times in the language and time zone of the browser.

import { texts } from '../texts.js';

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const short = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

const startOf = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

function daysAgo(date) {
  // Rounded, because the day on which daylight saving time begins has 23 hours.
  return Math.round((startOf(new Date()) - startOf(date)) / 86_400_000);
}

export function clockOf(time) {
  return clock.format(new Date(time));
}

export function dayOf(time) {
  const date = new Date(time);
  return [texts.time.today, texts.time.yesterday][daysAgo(date)] ?? day.format(date);
}

// A time of today as a clock time, another time as a date.
export function shortOf(time) {
  const date = new Date(time);
  return daysAgo(date) === 0 ? clock.format(date) : short.format(date);
}

export function fullOf(time) {
  return full.format(new Date(time));
}

export function isSameDay(one, other) {
  return startOf(new Date(one)) === startOf(new Date(other));
}
