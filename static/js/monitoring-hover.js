// The card of a chart: by pointer or by arrow keys, one point at a time; Escape closes it. What it shows is also spoken.
import { write } from "./monitoring-units.js";
import { TINTS } from "./monitoring-paint.js";

function row(name, value, { swatch = "", classes = "" } = {}) {
  const paragraph = document.createElement("p");
  paragraph.className = classes;
  if (swatch) {
    const box = document.createElement("i");
    box.className = `c-${swatch}`;
    paragraph.append(box);
  }
  for (const text of [name, value]) {
    const part = document.createElement("span");
    part.textContent = text;
    paragraph.append(part);
  }
  return paragraph;
}

function card(model, index) {
  const values = model.rows[index];
  const bins = model.uprights.length > 0;
  const head = row(bins ? model.times[index] : `${model.times[index]} ${model.words.utc}`, "", { classes: "first" });
  const lines = model.columns.map((column, at) => ({ ...column, value: values[at] }));
  const stacked = lines.filter((line) => line.draw === "stack" && line.value).reverse();
  const bad = (line) => line.code === "danger" || line.code === "warn";
  const none = (line) => !line.draw && (line.value === null || (line.unit === "count" && !line.value));
  const rest = lines.filter((line) => line.draw !== "stack" && !bad(line) && !none(line) && (!bins || line.value));
  const last = lines.filter((line) => bad(line) && line.value);
  const marks = model.marks.filter(([where]) => where === index);
  return [
    head,
    ...stacked.map((line) => row(line.name, write(line.value, line.unit), { swatch: line.code in TINTS ? line.code : "history" })),
    ...rest.map((line) => row(line.name, write(line.value, line.unit))),
    ...marks.map(([, kind, n]) => row(model.words[kind], String(n))),
    ...last.map((line) => row(line.name, write(line.value, line.unit), { classes: line.code === "danger" ? "alert" : "watch" })),
  ];
}

// Give `canvas` its card. `entry` holds the chart and the model, which change.
export function hoverable(canvas, entry) {
  const tip = canvas.parentElement.querySelector(".tip");
  const spoken = canvas.parentElement.querySelector(".spoken");
  let frame = 0;

  // On the older side of its point, so that the newest data stay in view.
  function place() {
    const x = entry.chart.scales.x.getPixelForValue(entry.model.selected);
    const left = x - tip.offsetWidth - 12;
    const inside = left >= 0 ? left : Math.min(x + 12, canvas.clientWidth - tip.offsetWidth);
    tip.style.left = `${Math.max(0, inside)}px`;
    tip.style.top = `${Math.max(-8, Math.min(entry.chart.chartArea.top, canvas.clientHeight - tip.offsetHeight))}px`;
  }

  function select(index) {
    entry.model.selected = index;
    tip.hidden = index < 0;
    if (index >= 0) {
      tip.replaceChildren(...card(entry.model, index));
      place();
    }
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => entry.chart.draw());
  }

  function speak() {
    const lines = entry.model.selected < 0 ? [] : [...tip.children];
    spoken.textContent = lines.map((line) => [...line.querySelectorAll("span")].map((part) => part.textContent).join(" ").trim()).join(", ");
  }

  canvas.addEventListener("pointermove", (event) => {
    const at = Math.round(entry.chart.scales.x.getValueForPixel(event.offsetX));
    const index = at >= 0 && at < entry.model.rows.length ? at : -1;
    if (index !== entry.model.selected) select(index);
  });
  canvas.addEventListener("pointerleave", () => select(-1));
  canvas.addEventListener("blur", () => select(-1));
  canvas.addEventListener("keydown", (event) => {
    const last = entry.model.rows.length - 1;
    const now = entry.model.selected;
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
}
