// Where a floating panel stands: by the button that opened it. On a phone the sheet makes a bottom sheet of it.

const GAP = 8;

const place = (panel) => {
  const button = document.querySelector(`[popovertarget="${panel.id}"]`);
  if (!button || !panel.dataset.place) return;
  const frame = (button.closest(".composer") ?? button).getBoundingClientRect();
  panel.style.setProperty("--pop-start", `${Math.max(GAP, frame.left)}px`);
  panel.style.setProperty("--pop-end", `${Math.max(GAP, innerWidth - frame.right)}px`);
  // On the welcome page the message box stands in the middle, with more room below it.
  const above = panel.dataset.place === "above" && frame.top > innerHeight - frame.bottom;
  panel.style.removeProperty(above ? "--pop-top" : "--pop-bottom");
  if (above) panel.style.setProperty("--pop-bottom", `${innerHeight - frame.top + GAP}px`);
  else panel.style.setProperty("--pop-top", `${frame.bottom + GAP}px`);
};

export const popovers = () => {
  // `toggle` does not bubble, but it is captured.
  document.addEventListener(
    "beforetoggle",
    (event) => event.newState === "open" && event.target.matches(".pop") && place(event.target),
    true,
  );
  document.addEventListener(
    "toggle",
    (event) => {
      if (!event.target.matches?.("[popover]")) return;
      for (const button of document.querySelectorAll(`[popovertarget="${event.target.id}"]`)) {
        button.setAttribute("aria-expanded", String(event.newState === "open"));
      }
    },
    true,
  );
  // The ring stands over its button and opens the same panel. A press outside of an open panel closes it before the
  // click comes, so that the click must not open it again.
  let wasOpen = false;
  let pressed = null;
  const ring = (event) => event.target.closest?.(".gauge [role=meter]");
  const show = () => wasOpen || document.getElementById("context")?.showPopover();
  document.addEventListener(
    "pointerdown",
    (event) => {
      pressed = ring(event);
      if (pressed) wasOpen = Boolean(document.querySelector("#context:popover-open"));
    },
    true,
  );
  document.addEventListener("click", (event) => ring(event) && show());
  // A gauge that was replaced under the finger gets no click, and its panel does not know of the press outside.
  document.addEventListener("pointerup", (event) => {
    if (!pressed || pressed.isConnected || !ring(event)) return;
    setTimeout(() => document.getElementById("context")?.togglePopover(!wasOpen));
  });
  addEventListener("resize", () => document.querySelectorAll(".pop:popover-open").forEach(place));
  // The gauge is replaced after each reply: who was reading it goes on reading, and who was on it stays on it.
  let open = false;
  let held = false;
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.id !== "gauge") return;
    open = Boolean(document.querySelector("#context:popover-open"));
    held = event.detail.target.contains(document.activeElement);
  });
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id !== "gauge") return;
    if (held) document.querySelector(".gauge button")?.focus({ preventScroll: true });
    if (open) document.getElementById("context")?.showPopover();
  });
};
