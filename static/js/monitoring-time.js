// Every chart over time of a page: made out of Chart.js, redrawn when the width, the data or the colour scheme changes.
import { hoverable } from "./monitoring-hover.js";
import { thin, tint, named } from "./monitoring-paint.js";
import { around, ticksOf } from "./monitoring-around.js";
import { tick } from "./monitoring-units.js";

const NARROW = 345; // px of plot, a phone's: under it names are written above the chart
const charts = new Map();

function read(canvas) {
  const raw = JSON.parse(document.getElementById(canvas.dataset.plot).dataset.chart);
  const columns = raw.columns.map(([name, unit, draw, code, says]) => ({ name, unit, draw, code, says }));
  return { ...raw, columns, narrow: canvas.parentElement.clientWidth < NARROW, selected: -1 };
}

function paint(model) {
  const found = {
    ink: named("--ink"), soft: named("--ink-soft"), line: named("--line"), card: named("--card"),
    warn: named("--warn"), danger: named("--danger"), reserve: named("--c-reserve"),
  };
  return { ...found, of: model.columns.map((column) => tint(column.code)), band: thin("history", 10) };
}

const values = (model, index) => model.rows.map((row, x) => ({ x, y: row[index] }));

// A point between two gaps would draw no line at all.
const alone = (data) => data.map((point, x) => (point.y !== null && (data[x - 1]?.y ?? null) === null && (data[x + 1]?.y ?? null) === null ? 2.5 : 0));

function dataset(model, colors, column, index) {
  const data = values(model, index);
  const color = colors.of[index];
  const base = { label: column.name, data, borderColor: color, backgroundColor: color, column: index };
  if (column.draw === "bar") {
    return { ...base, type: "bar", stack: "all", barPercentage: model.uprights.length ? 0.92 : 0.8, categoryPercentage: 1, maxBarThickness: 26 };
  }
  if (column.draw === "stack") {
    return { ...base, type: "line", fill: index ? "-1" : "origin", borderColor: colors.card, borderWidth: 1, pointRadius: 0, stack: "all" };
  }
  const width = column.draw === "line" ? 2 : 1.25;
  return {
    ...base, type: "line", borderWidth: width, borderDash: column.draw === "dash" ? [4, 3] : [], pointRadius: alone(data),
    fill: column.draw === "band" ? 0 : false, backgroundColor: column.draw === "band" ? colors.band : color,
    borderJoinStyle: "round",
  };
}

const DRAWN = ["line", "band", "thin", "dash", "stack", "bar"];

function datasets(model, colors) {
  return model.columns
    .map((column, index) => (DRAWN.includes(column.draw) ? dataset(model, colors, column, index) : null))
    .filter(Boolean);
}

function scales(model, colors) {
  const font = { size: 12 };
  const stacked = model.columns.some((column) => column.draw === "stack" || column.draw === "bar");
  const signed = model.unit === "change";
  const known = signed ? model.rows.flat().filter((value) => value !== null).map(Math.abs) : [];
  const reach = signed ? Math.ceil(Math.max(0.05, ...known) * 20) / 20 : 0;
  return {
    x: {
      type: "linear", min: -0.5, max: Math.max(0.5, model.rows.length - 0.5), offset: false,
      grid: { display: false }, border: { color: colors.soft },
      afterBuildTicks: (axis) => { axis.ticks = ticksOf(model, axis.width).map((value) => ({ value })); },
      ticks: { autoSkip: false, maxRotation: 0, color: colors.soft, font, callback: (value) => around.label(model, value) },
    },
    y: {
      stacked, min: signed ? -reach : 0, max: signed ? reach : model.top ?? undefined,
      grace: model.top ? 0 : "8%", suggestedMax: model.unit === "count" ? 4 : undefined,
      grid: { color: colors.line, drawTicks: false }, border: { display: false },
      ticks: {
        padding: 8, color: colors.soft, font, maxTicksLimit: 5, stepSize: model.top === 1 ? 0.25 : undefined,
        precision: model.unit === "count" ? 0 : undefined, callback: (value) => tick(value, model.unit),
      },
    },
  };
}

function options(model, colors) {
  return {
    animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true, events: [],
    layout: { padding: around.padding(model) },
    plugins: { legend: { display: false }, tooltip: { enabled: false }, filler: { propagate: true } },
    scales: scales(model, colors),
  };
}

function show(canvas) {
  const kept = charts.get(canvas);
  const model = read(canvas);
  const nothing = canvas.parentElement.querySelector(".nothing");
  nothing.textContent = model.nothing;
  nothing.hidden = !model.nothing;
  canvas.hidden = Boolean(model.nothing);
  if (model.nothing) return;
  const colors = paint(model);
  if (kept) {
    model.selected = Math.min(kept.model.selected, model.rows.length - 1);
    Object.assign(kept, { model, colors });
    kept.chart.data.datasets = datasets(model, colors);
    kept.chart.options = options(model, colors);
    kept.chart.update("none");
    return;
  }
  const font = getComputedStyle(document.body).fontFamily;
  canvas.dataset.font = `12px ${font}`; // the one size at every width: text is never scaled
  window.Chart.defaults.font.family = font;
  const entry = { model, colors, chart: null };
  charts.set(canvas, entry);
  entry.chart = new window.Chart(canvas, {
    type: "line",
    data: { datasets: datasets(model, colors) },
    options: options(model, colors),
    plugins: [around.plugin(entry)],
  });
  hoverable(canvas, entry);
}

const all = () => document.querySelectorAll("canvas[data-plot]").forEach(show);

// Names move into or out of the plot with its width.
const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const canvas = target.querySelector("canvas");
    const entry = charts.get(canvas);
    if (entry && entry.model.narrow !== target.clientWidth < NARROW) show(canvas);
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
new MutationObserver(all).observe(document.documentElement, { attributes: true });
document.addEventListener("htmx:oobAfterSwap", (event) => {
  const canvas = document.querySelector(`canvas[data-plot="${event.detail.target?.id}"]`);
  if (canvas) show(canvas);
});
all();
document.querySelectorAll(".time-chart .plot").forEach((plot) => watcher.observe(plot));
