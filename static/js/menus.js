// The floating panel of a turn: fetched when its button is pressed, and put beside it. Without script it is a page.

import { announce } from "./announcing.js";

const ITEMS = "button, a[href], input:not([type=hidden])";
const GAP = 4;
const EDGE = 8;

const place = (panel, button) => {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = panel;
  const below = at.bottom + GAP + height + EDGE <= innerHeight || at.top < innerHeight - at.bottom;
  const top = below ? at.bottom + GAP : at.top - GAP - height;
  panel.style.setProperty("--menu-top", `${Math.max(EDGE, Math.min(top, innerHeight - height - EDGE))}px`);
  panel.style.setProperty("--menu-left", `${Math.max(EDGE, Math.min(at.left, innerWidth - width - EDGE))}px`);
};

export const menus = ({ post, main }) => {
  const panel = document.getElementById("turn-menu");
  if (!panel) return;
  let opener = null;

  const open = async (button, url) => {
    if (opener === button && panel.matches(":popover-open")) return panel.hidePopover();
    panel.hidePopover();
    panel.replaceChildren();
    await htmx.ajax("GET", url, { source: panel, target: panel, swap: "innerHTML" });
    if (!panel.childElementCount) return;
    opener = button;
    button.setAttribute("aria-expanded", "true");
    panel.setAttribute("aria-label", button.getAttribute("aria-label"));
    panel.showPopover();
    place(panel, button);
    panel.querySelector(ITEMS)?.focus({ preventScroll: true });
  };

  panel.addEventListener("toggle", (event) => {
    if (event.newState === "open" || !opener) return;
    // The turn may have been put here anew meanwhile.
    const button = opener.isConnected ? opener : document.getElementById(opener.id);
    button?.setAttribute("aria-expanded", "false");
    if (panel.contains(document.activeElement) || document.activeElement === document.body) {
      button?.focus({ preventScroll: true });
    }
    opener = null;
  });
  document.getElementById("scroll").addEventListener("scroll", () => panel.hidePopover(), { passive: true });
  addEventListener("resize", () => panel.hidePopover());

  // Arrows go from one item to the next, as in any menu.
  panel.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...panel.querySelectorAll(ITEMS)];
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
  });

  const judge = async (form, reason) => {
    const turn = document.getElementById(`turn-${form.dataset.feedback}`);
    panel.hidePopover();
    try {
      const answer = await post(form.action, { reason });
      if (!answer.ok) throw new Error(answer.status);
      turn?.querySelector("[data-bad]")?.setAttribute("aria-pressed", String(Boolean((await answer.json()).reason)));
      announce(reason ? main.dataset.sayThanks : main.dataset.sayTaken_back);
    } catch {
      announce(main.dataset.sayNot_done);
    }
  };

  document.addEventListener("submit", (event) => {
    const { dataset } = event.target;
    if ("menu" in dataset) {
      event.preventDefault();
      open(event.submitter, event.target.action);
    } else if (dataset.feedback) {
      event.preventDefault();
      judge(event.target, event.submitter.value);
    }
  });
};
