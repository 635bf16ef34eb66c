// Utilisation by turn: stacked bars out of Chart.js, redrawn when the width, the data or the colour scheme changes.
import { overlay } from "./monitoring-marks.js";
import { computed, named, TINTS } from "./monitoring-paint.js";

const canvas = document.getElementById("canvas");
const tip = document.getElementById("tip");
const spoken = document.getElementById("spoken");
const NARROW = 560; // px of plot under which names move into the plot
let model = null;
let colors = null;
let chart = null;

function read() {
  const raw = JSON.parse(document.getElementById("chart-head").dataset.chart);
  const kept = model?.bars[model.selected]?.number;
  const bars = raw.bars.map(([number, at, window, size, output, cached, compactsAt, reserve, ...parts]) => ({
    number, at, window, size, output, cached, parts,
    share: (size / window) * 100,
    compactsAt: (compactsAt / window) * 100,
    reserve: (reserve / window) * 100,
  }));
  const components = raw.components.map(([code, name, tokens]) => ({ code, name, tokens }));
  const marks = raw.marks.map(([number, kind, before, after]) => ({ number, kind, before, after }));
  const selected = kept === undefined ? -1 : bars.findIndex((bar) => bar.number === kept);
  return { ...raw, bars, components, marks, selected, narrow: canvas.parentElement.clientWidth < NARROW };
}

function palette() {
  return {
    ink: named("--ink"),
    soft: named("--ink-soft"),
    line: named("--line"),
    card: named("--card"),
    warn: named("--warn"),
    danger: named("--danger"),
    band: computed("color-mix(in oklab, var(--c-reserve) 28%, transparent)"),
    parts: Object.fromEntries(model.components.map(({ code }) => [code, named(TINTS[code] ?? "--c-history")])),
  };
}

// The first, the last, and round numbers between, none nearer than 44 px to the next.
function ticks(axis) {
  const { first, last } = model;
  const room = Math.max(2, Math.floor(axis.width / 60));
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000].find((size) => (last - first) / size <= room) ?? 1000;
  const gap = ((last - first) / Math.max(1, axis.width)) * 44;
  const between = [];
  for (let number = Math.ceil((first + 1) / step) * step; number < last; number += step) {
    if (number - first > gap && last - number > gap) between.push(number);
  }
  return [first, ...between, last].map((value) => ({ value }));
}

function datasets() {
  return model.components.map((component, index) => ({
    label: component.name,
    data: model.bars.map((bar) => ({ x: bar.number, y: (bar.parts[index] / bar.window) * 100 })),
    backgroundColor: colors.parts[component.code],
    barPercentage: 0.82,
    categoryPercentage: 1,
    maxBarThickness: 26,
    stack: "context",
  }));
}

function scales() {
  const peak = Math.max(100, ...model.bars.map((bar) => Math.ceil(bar.share / 25) * 25));
  const font = { size: 12 };
  return {
    x: {
      type: "linear",
      stacked: true,
      offset: false,
      min: model.first - 0.5,
      max: model.last + 0.5,
      grid: { display: false, offset: false },
      border: { color: colors.soft },
      afterBuildTicks: (axis) => {
        axis.ticks = ticks(axis);
      },
      ticks: {
        autoSkip: false,
        maxRotation: 0,
        color: colors.soft,
        font,
        callback: (value) => (value === model.first ? `${model.words.turn} ${value}` : `${value}`),
      },
    },
    y: {
      stacked: true,
      min: 0,
      max: peak,
      grid: { color: colors.line, drawTicks: false },
      border: { display: false },
      ticks: { stepSize: 25, padding: 8, color: colors.soft, font, callback: (value) => `${value} %` },
    },
  };
}

const padding = () => ({ top: 44, right: model.narrow ? 6 : 132 });

function options() {
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    parsing: false,
    normalized: true,
    events: [],
    layout: { padding: padding() },
    plugins: { legend: { display: false }, tooltip: { enabled: false } },
    scales: scales(),
    onResize: (_, { width }) => {
      if (!chart || model.narrow === width < NARROW) return;
      model.narrow = width < NARROW;
      chart.options.layout.padding = padding();
    },
  };
}

function show() {
  model = read();
  const empty = model.bars.length === 0;
  const nothing = document.getElementById("nothing");
  nothing.hidden = !empty;
  nothing.textContent = model.nothing;
  canvas.hidden = empty;
  if (empty) return;
  colors = palette();
  if (!chart) {
    // The one size at every width: text is never scaled.
    canvas.dataset.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    window.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    chart = new window.Chart(canvas, {
      type: "bar",
      data: { datasets: datasets() },
      options: options(),
      plugins: [overlay(() => model, () => colors)],
    });
  } else {
    chart.data.datasets = datasets();
    chart.options.scales = scales();
    chart.options.layout.padding = padding();
    chart.update("none");
  }
  select(model.selected);
}

const thousands = (tokens) =>
  tokens < 999.5 ? `${tokens}` : tokens < 999950 ? `${(tokens / 1000).toFixed(1)} k` : `${(tokens / 1e6).toFixed(2)} M`;

function row(label, value, { swatch = "", classes = "" } = {}) {
  const paragraph = document.createElement("p");
  paragraph.className = classes;
  if (swatch) {
    const box = document.createElement("i");
    box.className = `c-${swatch}`;
    paragraph.append(box);
  }
  for (const text of [label, value]) {
    const part = document.createElement("span");
    part.textContent = text;
    paragraph.append(part);
  }
  return paragraph;
}

function card(bar) {
  const { words } = model;
  const pressure = bar.share >= model.alert * 100 ? "alert" : bar.share >= model.watch * 100 ? "watch" : "";
  const title = `${words.turn[0].toUpperCase()}${words.turn.slice(1)} ${bar.number}, ${bar.at} UTC`;
  const head = row(title, `${bar.share.toFixed(1)} %`, { classes: "first" });
  head.lastChild.className = pressure;
  const parts = model.components
    .map((component, index) => [component, bar.parts[index]])
    .filter(([, tokens]) => tokens > 0)
    .reverse()
    .map(([component, tokens]) => row(component.name, thousands(tokens), { swatch: component.code }));
  const done = model.marks
    .filter((mark) => mark.number === bar.number)
    .map((mark) => row(words[mark.kind], `${thousands(mark.before)} → ${thousands(mark.after)}`));
  return [
    head,
    ...parts,
    row(words.size, thousands(bar.size), { classes: "rule" }),
    row(words.cached, `${Math.round((bar.cached / bar.size) * 100)} %`),
    row(words.output, thousands(bar.output)),
    ...done,
  ];
}

// The card stands on the older side of its turn, so that the newest data stay in view.
function place(bar) {
  const x = chart.scales.x.getPixelForValue(bar.number);
  const left = x - tip.offsetWidth - 16;
  const inside = left >= 0 ? left : Math.min(x + 16, canvas.clientWidth - tip.offsetWidth);
  tip.style.left = `${Math.max(0, inside)}px`;
  tip.style.top = `${Math.max(0, Math.min(chart.chartArea.top, canvas.clientHeight - tip.offsetHeight))}px`;
}

let frame = 0;

function select(index) {
  model.selected = index;
  const bar = model.bars[index];
  tip.hidden = !bar;
  if (bar) {
    tip.replaceChildren(...card(bar));
    place(bar);
  }
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => chart?.draw());
}

function speak() {
  const bar = model.bars[model.selected];
  spoken.textContent = bar ? [...tip.children].map((line) => [...line.querySelectorAll("span")].map((part) => part.textContent).join(" ")).join(", ") : "";
}

function nearest(event) {
  const wanted = chart.scales.x.getValueForPixel(event.offsetX);
  let best = -1;
  model.bars.forEach((bar, index) => {
    if (best < 0 || Math.abs(bar.number - wanted) < Math.abs(model.bars[best].number - wanted)) best = index;
  });
  return best >= 0 && Math.abs(model.bars[best].number - wanted) <= 1.5 ? best : -1;
}

canvas.addEventListener("pointermove", (event) => {
  if (!chart) return;
  const index = nearest(event);
  if (index !== model.selected) select(index);
});
canvas.addEventListener("pointerleave", () => chart && select(-1));
canvas.addEventListener("blur", () => chart && select(-1));
canvas.addEventListener("keydown", (event) => {
  if (!chart) return;
  const last = model.bars.length - 1;
  const now = model.selected;
  const next = {
    ArrowLeft: now < 0 ? last : Math.max(0, now - 1),
    ArrowRight: now < 0 ? 0 : Math.min(last, now + 1),
    Home: 0,
    End: last,
    Escape: -1,
  }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  select(next);
  speak();
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
new MutationObserver(show).observe(document.documentElement, { attributes: true });
document.addEventListener("htmx:oobAfterSwap", (event) => {
  if (event.detail.target?.id === "chart-head") show();
});
show();
