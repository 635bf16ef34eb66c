// Draws what Chart.js does not: limit lines with their names, the lane of marks, direct labels, the crosshair.

export const LINE = 15; // px between two labels
const FAR = 10; // px that a name may stand off its line before it is written on the line itself
const LANE = 34; // px from the lane's middle down to the top of the plot

export const shapes = {
  compaction(context, x, y) {
    context.beginPath();
    context.moveTo(x - 5, y - 4);
    context.lineTo(x + 5, y - 4);
    context.lineTo(x, y + 4);
    context.fill();
  },
  trim(context, x, y) {
    context.beginPath();
    context.moveTo(x - 4.5, y - 4.5);
    context.lineTo(x + 4.5, y + 4.5);
    context.moveTo(x + 4.5, y - 4.5);
    context.lineTo(x - 4.5, y + 4.5);
    context.stroke();
  },
  recovery(context, x, y) {
    context.beginPath();
    context.moveTo(x, y - 5.5);
    context.lineTo(x + 5.5, y);
    context.lineTo(x, y + 5.5);
    context.lineTo(x - 5.5, y);
    context.fill();
  },
  surgery(context, x, y) {
    context.strokeRect(x - 4.5, y - 4.5, 9, 9);
  },
};

// Labels keep their order and their distance, from the lowest up. `floor` is where the lowest may stand.
function pushApart(labels, floor) {
  let free = floor;
  return [...labels]
    .sort((one, other) => other.y - one.y)
    .map((label) => {
      const at = Math.min(label.y, free);
      const fits = label.y - at <= FAR;
      if (fits) free = at - LINE;
      return { ...label, at, fits };
    });
}

export function line(context, area, y, color, dash = [5, 3]) {
  context.save();
  context.strokeStyle = color;
  context.lineWidth = 1.25;
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(area.left, y);
  context.lineTo(area.right, y);
  context.stroke();
  context.restore();
}

export function write(context, text, x, y, color, { bold = false, align = "left", halo = null } = {}) {
  context.font = `${bold ? "600 " : ""}${context.canvas.dataset.font}`;
  context.textAlign = align;
  context.textBaseline = "middle";
  if (halo) {
    // A plate, not an outline: a line of the grid would go on between the letters.
    const width = context.measureText(text).width;
    context.fillStyle = halo;
    context.fillRect((align === "right" ? x - width : x) - 2, y - 6.5, width + 4, 12);
  }
  context.fillStyle = color;
  context.fillText(text, x, y);
}

// As much of a name as there is room for.
export function fitted(context, text, room) {
  context.font = context.canvas.dataset.font;
  let kept = text;
  while (kept && context.measureText(kept === text ? text : `${kept}…`).width > room) kept = kept.slice(0, -1);
  return kept === text ? text : `${kept}…`;
}

function compactsAt(chart, model, color) {
  const { ctx: context, chartArea: area, scales } = chart;
  context.save();
  context.strokeStyle = color;
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  context.beginPath();
  let last = null;
  model.bars.forEach((bar, index) => {
    if (!bar.compactsAt) {
      last = null;
      return;
    }
    const y = scales.y.getPixelForValue(bar.compactsAt);
    const next = model.bars[index + 1];
    const end = next ? scales.x.getPixelForValue(next.number - 0.5) : area.right;
    const start = index ? scales.x.getPixelForValue(bar.number - 0.5) : area.left;
    if (last === null) context.moveTo(start, y);
    else context.lineTo(start, y);
    context.lineTo(end, y);
    last = y;
  });
  context.stroke();
  context.restore();
  return last;
}

function reserve(chart, model, color) {
  const { ctx: context, chartArea: area, scales } = chart;
  const newest = model.bars.at(-1);
  if (!newest?.reserve) return;
  const top = scales.y.getPixelForValue(100);
  context.fillStyle = color;
  context.fillRect(area.left, top, area.right - area.left, scales.y.getPixelForValue(100 - newest.reserve) - top);
}

function lane(chart, model, colors) {
  const { ctx: context, chartArea: area, scales } = chart;
  const y = area.top - LANE;
  const heights = new Map(model.bars.map((bar) => [bar.number, bar.share]));
  const groups = new Map();
  for (const mark of model.marks) groups.set(mark.number, [...(groups.get(mark.number) ?? []), mark]);
  for (const [number, marks] of groups) {
    const middle = scales.x.getPixelForValue(number);
    context.strokeStyle = colors.soft;
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    context.beginPath();
    context.moveTo(Math.round(middle) + 0.5, y + 8);
    context.lineTo(Math.round(middle) + 0.5, scales.y.getPixelForValue(heights.get(number) ?? 0) - 2);
    context.stroke();
    context.globalAlpha = 1;
    marks.forEach((mark, index) => {
      const color = mark.kind === "recovery" ? colors.danger : colors.ink;
      context.fillStyle = color;
      context.strokeStyle = color;
      context.lineWidth = 1.75;
      shapes[mark.kind]?.(context, middle + (index - (marks.length - 1) / 2) * 14, y);
    });
  }
}

function crosshair(chart, model, colors) {
  const bar = model.bars[model.selected];
  if (!bar) return;
  const { ctx: context, chartArea: area, scales } = chart;
  const x = Math.round(scales.x.getPixelForValue(bar.number)) + 0.5;
  context.strokeStyle = colors.ink;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, area.top - LANE + 8);
  context.lineTo(x, area.bottom);
  context.stroke();
  const drawn = chart.getDatasetMeta(0).data[model.selected];
  if (!drawn) return;
  const top = scales.y.getPixelForValue(bar.share);
  const width = Math.max(3, drawn.width) + 4;
  context.lineWidth = 1.5;
  context.strokeRect(x - width / 2, top - 2, width, area.bottom - top + 2);
}

// On a phone a name stands over its own line, at the left or else at the right; a third one at that height is left out.
function inside(context, area, names, halo) {
  const taken = { left: [], right: [] };
  for (const label of names) {
    const y = label.y - 8;
    const align = ["left", "right"].find((side) => taken[side].every((other) => Math.abs(other - y) >= LINE));
    if (!align) continue;
    taken[align].push(y);
    write(context, label.name, align === "left" ? area.left + 4 : area.right - 4, y, label.tint, { bold: label.bold, align, halo });
  }
}

// `model` is read anew for every frame; `colors` likewise, since the scheme can change.
export function overlay(model, colors) {
  return {
    id: "overlay",
    beforeDatasetsDraw(chart) {
      reserve(chart, model(), colors().band);
    },
    afterDatasetsDraw(chart) {
      const { ctx: context, chartArea: area, scales } = chart;
      const data = model();
      const color = colors();
      if (!data.bars.length) return;
      const names = [];
      for (const [share, tint, name] of [
        [data.watch * 100, color.warn, data.words.watch],
        [data.alert * 100, color.danger, data.words.alert],
      ]) {
        const y = scales.y.getPixelForValue(share);
        line(context, area, y, tint);
        names.push({ y, name, tint, bold: true });
      }
      const y = compactsAt(chart, data, color.soft);
      const newest = data.bars.at(-1);
      if (y !== null) {
        names.push({ y, name: `${Math.round(newest.compactsAt)} % ${data.words.compacts}`, tint: color.soft });
      }
      if (newest.reserve) {
        const middle = scales.y.getPixelForValue(100 - newest.reserve / 2);
        names.push({ y: middle, name: data.words.reserve, tint: color.soft });
      }
      lane(chart, data, color);
      crosshair(chart, data, color);
      write(context, data.words.quantity.replace("{window}", data.window), area.left, area.top - 12, color.soft, { halo: color.card });
      if (data.narrow) {
        inside(context, area, names, color.card);
        return;
      }
      const x = area.right + 8;
      const parts = [...data.components].reverse();
      parts.forEach((part, index) => {
        const at = area.bottom - LINE * (parts.length - index) + LINE / 2;
        context.fillStyle = color.parts[part.code];
        context.beginPath();
        context.roundRect(x, at - 5, 10, 10, 2);
        context.fill();
        write(context, part.tokens, chart.width - 2, at, color.soft, { align: "right" });
        const room = chart.width - 10 - context.measureText(part.tokens).width - x - 15;
        write(context, fitted(context, part.name, room), x + 15, at, color.ink);
      });
      for (const label of pushApart(names, area.bottom - LINE * (parts.length + 0.5))) {
        if (label.fits) write(context, label.name, x, label.at, label.tint, { bold: label.bold });
        else write(context, label.name, area.left + 4, label.y - 8, label.tint, { bold: label.bold, halo: color.card });
      }
    },
  };
}
