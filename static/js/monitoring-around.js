// What stands around the data of a chart over time: ticks, limit lines with their names, lanes, direct labels, crosshair.
import { fitted, LINE, line, shapes, write } from "./monitoring-marks.js";

const MARGIN = 114; // px at the right for the names of lines
const LANE = 16; // px high, below the axis
const MARKS = 18; // px for the marks above the plot
const MINUTES = [5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440];
const TICK = 52; // px that a tick needs

const laneOf = (model) => model.columns.findIndex((column) => column.draw === "lane");
const failsOf = (model) => model.columns.findIndex((column) => column.draw === "fails");
const named = (model) => model.columns.some((column) => column.says || column.draw === "stack");

// "Sun 22 Nov 14:05" -> minutes of the day
const minute = (time) => {
  const [hours, minutes] = time.slice(-5).split(":").map(Number);
  return hours * 60 + minutes;
};

// Round times, as many as there is room for; bins at round shares.
export function ticksOf(model, width) {
  const indexes = model.times.map((_, index) => index);
  if (model.uprights.length) return indexes.filter((index) => index % 4 === 0).map((index) => index - 0.5).concat(model.times.length - 0.5);
  const days = model.times.length > 1 && model.long;
  const room = Math.max(2, Math.floor(width / TICK));
  if (days) {
    const starts = indexes.filter((index) => index === 0 ? minute(model.times[0]) === 0 : model.times[index].slice(0, -6) !== model.times[index - 1].slice(0, -6));
    const step = Math.ceil(starts.length / room);
    return starts.filter((_, at) => at % step === 0);
  }
  for (const step of MINUTES) {
    const found = indexes.filter((index) => minute(model.times[index]) % step === 0);
    if (found.length <= room) return found;
  }
  return [];
}

function label(model, value) {
  if (model.uprights.length) return `${Math.round(((value + 0.5) / model.times.length) * 100)} %`;
  const time = model.times[value] ?? "";
  return model.long ? time.slice(4, -6) : time.slice(-5);
}

const padding = (model) => ({
  top: 24 + (model.marks.length ? MARKS : 0),
  right: model.narrow || !named(model) ? 10 : MARGIN,
  bottom: laneOf(model) < 0 ? 0 : LANE + 6,
});

// The name of a line stands on it, or hangs from it where the next line is too near.
function limits(chart, model, colors) {
  const { ctx: context, chartArea: area, scales } = chart;
  const lines = model.limits.map(([value, name, code]) => ({ y: scales.y.getPixelForValue(value), name, tint: colors[code] }));
  for (const { y, name, tint } of lines) {
    const hangs = lines.some((other) => y > other.y && y - other.y < LINE + 3);
    line(context, area, y, tint);
    write(context, name, area.left + 4, hangs ? y + 9 : y - 8, tint, { bold: true, halo: colors.card });
  }
  if (model.unit === "change") line(context, area, scales.y.getPixelForValue(0), colors.soft, []);
  model.uprights.forEach(([index, name, code], at) => {
    const x = Math.round(scales.x.getPixelForValue(index - 0.5)) + 0.5;
    context.save();
    context.strokeStyle = colors[code];
    context.lineWidth = 1.25;
    context.setLineDash([5, 3]);
    context.beginPath();
    context.moveTo(x, area.top + at * 18);
    context.lineTo(x, area.bottom);
    context.stroke();
    context.restore();
    const room = area.right - x > 84;
    write(context, name, room ? x + 5 : x - 5, area.top + 7 + at * 18, colors[code], { bold: true, halo: colors.card, align: room ? "left" : "right" });
  });
}

// Counts as small bars under the axis, with a cross where one failed.
function lane(chart, model, colors) {
  const at = laneOf(model);
  if (at < 0) return;
  const { ctx: context, chartArea: area, scales, height } = chart;
  const bottom = height - 2;
  const counts = model.rows.map((row) => row[at] ?? 0);
  const most = Math.max(1, ...counts);
  const width = Math.max(1.5, (area.right - area.left) / model.rows.length - 1.5);
  context.fillStyle = colors.soft;
  counts.forEach((count, x) => {
    if (count) context.fillRect(scales.x.getPixelForValue(x) - width / 2, bottom - (count / most) * LANE, width, (count / most) * LANE);
  });
  context.fillStyle = colors.ink;
  shapes.compaction(context, area.left - 14, bottom - LANE / 2);
  const failed = failsOf(model);
  context.strokeStyle = colors.danger;
  context.lineWidth = 1.75;
  model.rows.forEach((row, x) => {
    if (failed >= 0 && row[failed]) shapes.trim(context, scales.x.getPixelForValue(x), bottom - LANE / 2);
  });
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!model.narrow) write(context, `${total} ${model.columns[at].name}`, area.right + 8, bottom - LANE / 2, colors.soft);
}

function marks(chart, model, colors) {
  const { ctx: context, chartArea: area, scales } = chart;
  const y = area.top - 30;
  for (const [index, kind] of model.marks) {
    const x = scales.x.getPixelForValue(index);
    const color = kind === "recovery" ? colors.danger : colors.ink;
    context.strokeStyle = colors.soft;
    context.lineWidth = 1;
    context.globalAlpha = 0.3;
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, y + 8);
    context.lineTo(Math.round(x) + 0.5, area.bottom);
    context.stroke();
    context.globalAlpha = 1;
    context.fillStyle = color;
    context.strokeStyle = color;
    context.lineWidth = 1.75;
    shapes[kind]?.(context, x, y);
  }
}

// A line is named at its right end, at the height of its newest value; parts in the order in which they are stacked.
function names(chart, model, colors) {
  if (model.narrow) return;
  const { ctx: context, chartArea: area, scales } = chart;
  const x = area.right + 8;
  const stacked = model.columns.map((column, index) => ({ ...column, index })).filter((column) => column.draw === "stack").reverse();
  stacked.forEach((column, row) => {
    const y = area.bottom - LINE * (stacked.length - row) + LINE / 2;
    context.fillStyle = colors.of[column.index];
    context.beginPath();
    context.roundRect(x, y - 5, 10, 10, 2);
    context.fill();
    write(context, fitted(context, column.name, MARGIN - 23), x + 15, y, colors.ink);
  });
  const labels = [];
  model.columns.forEach((column, index) => {
    if (!column.says) return;
    const newest = model.rows.findLast((row) => row[index] !== null);
    if (newest) labels.push({ y: scales.y.getPixelForValue(newest[index]), name: column.says, tint: column.code === "soft" ? colors.soft : colors.of[index], bold: column.draw === "line" });
  });
  let free = area.bottom - 4;
  for (const one of labels.sort((left, right) => right.y - left.y)) {
    const at = Math.min(one.y, free);
    // What is wider than the margin begins earlier: a figure must not lose its end.
    context.font = `${one.bold ? "600 " : ""}${context.canvas.dataset.font}`;
    const start = Math.min(x, chart.width - 2 - context.measureText(one.name).width);
    write(context, one.name, start, at, one.tint, { bold: one.bold, halo: colors.card });
    free = at - LINE;
  }
}

function crosshair(chart, model, colors) {
  if (model.selected < 0) return;
  const { ctx: context, chartArea: area, scales, height } = chart;
  const x = Math.round(scales.x.getPixelForValue(model.selected)) + 0.5;
  context.strokeStyle = colors.ink;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, area.top - 6);
  context.lineTo(x, laneOf(model) < 0 ? area.bottom : height);
  context.stroke();
}

// `entry` is read anew for every frame: its model and its colours change.
const plugin = (entry) => ({
  id: "around",
  beforeDatasetsDraw: (chart) => marks(chart, entry.model, entry.colors),
  afterDatasetsDraw(chart) {
    const { model, colors } = entry;
    limits(chart, model, colors);
    lane(chart, model, colors);
    names(chart, model, colors);
    crosshair(chart, model, colors);
    write(chart.ctx, model.quantity, chart.chartArea.left, chart.chartArea.top - 12, colors.soft, { halo: colors.card });
  },
});

export const around = { label, padding, plugin };
