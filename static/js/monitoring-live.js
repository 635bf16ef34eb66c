// Keeps a polled page honest and still: it says when the server stopped answering, and what was open stays open.

const live = document.getElementById("live");

function tell(stale) {
  if (!live || live.classList.contains("stale") === stale) return;
  live.classList.toggle("stale", stale);
  live.textContent = stale ? live.dataset.stale : live.dataset.live;
}

let open = [];

document.addEventListener("htmx:beforeSwap", () => {
  open = [...document.querySelectorAll("details[open][id]")].map((details) => details.id);
});

// After all parts of an answer are in place, and before the browser paints.
document.addEventListener("htmx:afterRequest", (event) => {
  tell(!event.detail.successful);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  open = [];
});
document.addEventListener("htmx:sendError", () => tell(true));
document.addEventListener("htmx:timeout", () => tell(true));
