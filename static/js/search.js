// The search box of the sidebar: results take the place of the list while something is written in it.

export const search = ({ scroll }) => {
  const form = document.getElementById("search");
  const box = document.getElementById("query");
  const found = document.getElementById("found");
  if (!found) return;
  const rail = document.getElementById("rail");
  const scope = () => form.elements.scope;

  const hits = () => [...found.querySelectorAll("a, button")];
  const show = () => rail.classList.toggle("searching", Boolean(box.value.trim()));
  const clear = () => {
    box.value = "";
    if (scope()) scope().value = "";
    found.replaceChildren();
    show();
  };

  const go = (here) => {
    if (rail.matches("[popover]:not(:popover-open)") && getComputedStyle(rail).display === "none") rail.showPopover();
    if (here && scope()) scope().value = "here";
    box.focus();
    box.select();
    if (box.value.trim()) box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  box.addEventListener("input", show);
  // A result of words that stand there no more, or of a box that is empty by now.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target === found && !box.value.trim()) event.detail.shouldSwap = false;
  });
  form.addEventListener("htmx:configRequest", (event) => {
    if (!box.value.trim()) event.preventDefault();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && box.value) {
      event.preventDefault();
      event.stopPropagation();
      clear();
      box.focus();
    } else if (event.key === "ArrowDown" && event.target === box) {
      event.preventDefault();
      hits()[0]?.focus();
    }
  });
  found.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") return box.focus();
    if (!step) return;
    event.preventDefault();
    const all = hits();
    const to = all.indexOf(document.activeElement) + step;
    (to < 0 ? box : (all[to] ?? all.at(-1))).focus();
  });

  // A turn that stands on this page already needs no new page.
  found.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-turn]");
    const turn = link && document.getElementById(`turn-${link.dataset.turn}`);
    if (!turn || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (rail.matches(":popover-open")) rail.hidePopover();
    const { hash } = new URL(link.href);
    if (location.hash === hash) location.hash = "";
    location.hash = hash;
    scroll.show(turn);
  });

  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    go(event.shiftKey);
  });
  show();
};
