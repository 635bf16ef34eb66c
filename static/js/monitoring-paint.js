// Colours as a canvas wants them, out of the page's custom properties.

export const TINTS = {
  system: "--c-system",
  documents: "--c-documents",
  facts: "--c-facts",
  summaries: "--c-summaries",
  recall: "--c-recalled",
  tool_results: "--c-tools",
  history: "--c-history",
  current: "--c-draft",
  soft: "--ink-soft",
  warn: "--warn",
  danger: "--danger",
};

// A custom property holds what was written, light-dark() and all; only a computed colour can be painted with.
export function computed(value) {
  const probe = document.createElement("i");
  document.body.append(probe);
  probe.style.color = value;
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

export const named = (name) => computed(`var(${name})`);

export const tint = (code) => named(TINTS[code] ?? "--c-history");

// The same colour, that far through.
export const thin = (code, percent) =>
  computed(`color-mix(in oklab, var(${TINTS[code] ?? "--c-history"}) ${percent}%, transparent)`);
