// Keeps a polled page honest and still: it says when the server stopped answering, and what was open, focused or
// scrolled stays so.

const live = document.getElementById("live");

function tell(stale) {
  if (!live || live.classList.contains("stale") === stale) return;
  live.classList.toggle("stale", stale);
  live.textContent = stale ? live.dataset.stale : live.dataset.live;
}

let open = [];
let focused = null;
let scrolled = [];

const areas = () => [...document.querySelectorAll(".scroll")];

// What finds an element again in the next version of its part of the page: its id, where it leads, what it sends.
function selector(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const name = element.localName;
  const form = element.closest("form[action]");
  if (element.hasAttribute("href")) return `${name}[href="${CSS.escape(element.getAttribute("href"))}"]`;
  if (form) return `form[action="${CSS.escape(form.getAttribute("action"))}"] ${name}`;
  return element.hasAttribute("tabindex") ? `${name}[tabindex]` : name;
}

document.addEventListener("htmx:beforeSwap", () => {
  const element = document.activeElement;
  const within = element?.parentElement?.closest("[id]");
  open = [...document.querySelectorAll("details[open][id]")].map((details) => details.id);
  focused = within ? [within.id, selector(element)] : null;
  scrolled = areas().map((area) => [area.scrollLeft, area.scrollTop]);
});

// After all parts of an answer are in place, and before the browser paints.
document.addEventListener("htmx:afterRequest", (event) => {
  tell(!event.detail.successful);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused && document.activeElement === document.body) {
    document.getElementById(focused[0])?.querySelector(focused[1])?.focus({ preventScroll: true });
  }
  const now = areas();
  if (now.length === scrolled.length) {
    scrolled.forEach(([left, top], index) => (left || top) && now[index].scrollTo(left, top));
  }
  open = [];
  focused = null;
  scrolled = [];
});
document.addEventListener("htmx:sendError", () => tell(true));
document.addEventListener("htmx:timeout", () => tell(true));
