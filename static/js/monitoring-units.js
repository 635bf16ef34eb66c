// Figures in the one notation of the pages: units on every number, a real minus, a dash for what nobody knows.

const minus = (text) => text.replace("-", "\u2212");

const scaled = (value, digits) => {
  const size = Math.abs(value);
  if (size < 999.5) return value.toFixed(0);
  return size < 999_950 ? `${(value / 1e3).toFixed(digits)} k` : `${(value / 1e6).toFixed(digits ? 2 : 0)} M`;
};

const dollars = (value) => {
  const size = Math.abs(value);
  const digits = size === 0 ? 2 : size < 0.01 ? 4 : size < 1 ? 3 : 2;
  return `${value < 0 ? "-" : ""}$${size.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
};

const WRITE = {
  share: (value) => `${(value * 100).toFixed(1)} %`,
  change: (value) => `${value > 0.0005 ? "+" : ""}${(value * 100).toFixed(1)} %`,
  tokens: (value) => scaled(value, 1),
  dollars,
  ms: (value) => `${(value / 1000).toFixed(2)} s`,
  count: (value) => Math.round(value).toLocaleString("en"),
};

export const write = (value, unit) => (value === null || value === undefined ? "–" : minus(WRITE[unit](value)));

const trimmed = (value) => String(Number(value.toPrecision(3)));

const TICK = {
  share: (value) => `${trimmed(value * 100)} %`,
  change: (value) => `${value > 0 ? "+" : ""}${trimmed(value * 100)} %`,
  tokens: (value) => (value >= 1e6 ? `${trimmed(value / 1e6)} M` : value >= 1e3 ? `${trimmed(value / 1e3)} k` : trimmed(value)),
  dollars: (value) => `$${trimmed(value)}`,
  ms: (value) => `${trimmed(value / 1000)} s`,
  count: (value) => (Number.isInteger(value) ? value.toLocaleString("en") : ""),
};

// On an axis: no more digits than it takes to tell the ticks apart.
export const tick = (value, unit) => minus(TICK[unit](value));
