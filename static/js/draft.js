// What is being written, as part of the gauge: estimated here from its characters, and gone when the box is empty.

const BAR = 1000;
const PAUSE_MS = 120;
const BEYOND_LETTERS = /[\u0080-\u00bf\u2000-\u206f]/g;
const ALPHABETS = /[\u00c0-\u08ff\u1e00-\u1fff]/g;
const DENSE = /[0-9A-Z]+(?:(?<=[0-9])[a-z]{1,3})?/g;

const without = (text, pattern) => {
  const rest = text.replace(pattern, "");
  return [rest, text.length - rest.length];
};

// The same four classes as the server's, divided by what it has learnt of the model.
export const estimate = (text, [prose, code, dense, cjk]) => {
  const odd = text.replace(/[\u0000-\u007f]+/g, "");
  const [letters, marks] = without(odd, BEYOND_LETTERS);
  const [others, foreign] = without(letters, ALPHABETS);
  const plain = odd ? text.replace(/[^\u0000-\u007f]+/g, "") : text;
  const [rest, packed] = without(plain, DENSE);
  const words = rest.replace(/[^A-Za-z0-9 \t\n\r]/g, "").length;
  return Math.ceil(
    words / prose + (marks + rest.length - words) / code + (foreign + packed) / dense + others.length / cjk,
  );
};

export const drafting = (form) => {
  const box = form.elements.text;
  const language = document.documentElement.lang;
  let timer = 0;

  const shown = (tokens, unit) => {
    const digits = unit > 1 && tokens % 1000 ? 1 : 0;
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: unit === 1 };
    const text = new Intl.NumberFormat(language, options).format(unit > 1 ? tokens / 1000 : tokens);
    return unit > 1 ? `${text} k` : text;
  };

  // Files that wait beside the box go with it; each says what it holds.
  const attached = () => {
    const chips = [...document.querySelectorAll("#chips > :not([hidden])")].filter((chip) => Number(chip.dataset.tokens));
    const names = chips.map((chip) => chip.querySelector(".name")?.textContent ?? "");
    return { tokens: chips.reduce((sum, chip) => sum + Number(chip.dataset.tokens), 0), names };
  };

  const draw = () => {
    const gauge = document.querySelector("#gauge .gauge");
    if (!gauge) return;
    const { window: whole, used, exact, free, freeShare, unit: step, near, left, ratios, sayTitle, sayHover } = gauge.dataset;
    const files = attached();
    const unit = Number(step);
    const words = box.value.trim() ? estimate(box.value, ratios.split(" ").map(Number)) : 0;
    const tokens = words + files.tokens;
    const draft = tokens ? Math.max(unit, Math.round(tokens / unit) * unit) : 0;
    const total = Number(used) + draft;
    const about = draft ? "~" : near;
    const share = Math.round((total * 100) / Number(whole));
    const figures = { used: about + shown(total, unit), window: shown(Number(whole), unit), share };
    const fill = (words) => words.replace(/\{(\w+)\}/g, (_, name) => figures[name]);
    const title = fill(sayTitle);
    gauge.title = fill(sayHover) + left;
    const meter = gauge.querySelector("[role=meter]");
    meter.setAttribute("aria-valuetext", title + left);
    meter.setAttribute("aria-valuenow", Number(exact) + tokens);
    document.getElementById("gauge-figures").textContent = `${figures.used} / ${figures.window}`;
    document.getElementById("gauge-title").textContent = title;
    document.getElementById("gauge-now").textContent = figures.used;

    const row = document.getElementById("draft-row");
    row.hidden = !draft;
    const percent = (thousandths) => {
      const options = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
      return `${new Intl.NumberFormat(language, options).format(thousandths / 10)} %`;
    };
    const [, , detail, amount, part] = row.children;
    // The server's shares add up to a hundred: what the draft takes, it takes from what is free.
    const taken = Math.round((draft * 1000) / Number(whole));
    detail.textContent = files.names.join(", ");
    amount.textContent = `~${shown(draft, unit)}`;
    part.textContent = percent(taken);
    const rest = Math.max(0, Number(free) - draft);
    const [, , , spare, spareShare] = document.getElementById("free-row").children;
    spare.textContent = about + shown(rest, unit);
    spareShare.textContent = percent(Math.max(0, Number(freeShare) - taken));

    const tick = document.getElementById("now-tick");
    const from = Number(tick.dataset.x);
    const width = draft ? Math.min(BAR - from, Math.max(2, Math.round((draft * BAR) / Number(whole)))) : 0;
    document.getElementById("draft-bar").setAttribute("width", width);
    tick.setAttribute("d", `M${from + width} 14v6`);
  };

  const soon = () => {
    clearTimeout(timer);
    // Emptied, it holds nothing any more: whoever asks next, as /status does, is not told of what stood there.
    if (!box.value) return draw();
    timer = setTimeout(draw, PAUSE_MS);
  };
  form.addEventListener("input", soon);
  form.addEventListener("composer:changed", soon);
  document.addEventListener("htmx:oobAfterSwap", (event) => event.detail.target.id === "gauge" && draw());
  const chips = document.getElementById("chips");
  if (chips) new MutationObserver(soon).observe(chips, { childList: true, attributes: true, subtree: true });
  draw();
};
