// What is done to a conversation from its row: one menu for all rows, renaming in place, undoing for a while.

import { announce } from "./announcing.js";

const GAP = 4;
const EDGE = 8;

const list = () => document.getElementById("list");
const rowOf = (id) => document.getElementById(`row-${id}`);
const itemsOf = (menu) => [...menu.querySelectorAll("button:not([hidden])")];

// A group that has lost its last row goes with its heading.
export const drop = (row) => {
  const group = row.parentElement;
  row.remove();
  if (group.childElementCount) return;
  if (group.previousElementSibling?.matches("h2")) group.previousElementSibling.remove();
  group.remove();
};

export const rows = () => {
  const menu = document.getElementById("row-menu");
  const place = document.getElementById("undo-place");
  const rail = document.getElementById("rail");
  if (!menu) return;
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  let opener = null;
  let timer = 0;

  const post = (url, values, options) => {
    const { current } = list().dataset;
    return htmx.ajax("POST", url, { values: { csrfmiddlewaretoken: token, current: current ?? "", ...values }, ...options });
  };
  const refresh = (url, values) => post(url, values, { source: place, target: "#list", swap: "outerHTML" });

  // --- the menu ---

  const open = (button) => {
    const row = button.closest("[data-row]");
    const pinned = "pinned" in row.dataset;
    menu.querySelector("[data-act=pin]").hidden = pinned;
    menu.querySelector("[data-act=unpin]").hidden = !pinned;
    opener = button;
    button.setAttribute("aria-expanded", "true");
    menu.showPopover();
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu;
    const below = at.bottom + GAP + height + EDGE <= innerHeight;
    const top = below ? at.bottom + GAP : at.top - GAP - height;
    menu.style.setProperty("--menu-top", `${Math.max(EDGE, top)}px`);
    menu.style.setProperty("--menu-left", `${Math.max(EDGE, Math.min(at.left, innerWidth - width - EDGE))}px`);
    itemsOf(menu)[0].focus({ preventScroll: true });
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".open-menu");
    if (button) open(button);
  });
  menu.addEventListener("toggle", (event) => {
    if (event.newState === "open" || !opener) return;
    opener.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement) || document.activeElement === document.body) opener.focus();
    opener = null;
  });
  menu.addEventListener("keydown", (event) => {
    const items = itemsOf(menu);
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") menu.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    items[(to + items.length) % items.length].focus();
  });
  menu.addEventListener("click", (event) => {
    const { act } = event.target.closest("[data-act]")?.dataset ?? {};
    const row = opener?.closest("[data-row]");
    menu.hidePopover();
    if (act && row) acts[act](row, `${menu.dataset.base}${row.dataset.row}/`);
  });

  // --- what can be done ---

  const remove = async (row, url, values = {}) => {
    await post(url, values, { source: place, target: place, swap: "innerHTML" });
    if (!place.childElementCount) return;
    const standing = rowOf(row.dataset.row);
    if (standing) drop(standing);
    tick();
    place.querySelector("button").focus();
  };
  const pin = async (row, url, pinned) => {
    await refresh(`${url}pin/`, { pinned });
    rowOf(row.dataset.row)?.querySelector(".open-menu").focus();
  };
  const acts = {
    rename: (row, url) => rename(row, url),
    pin: (row, url) => pin(row, url, "1"),
    unpin: (row, url) => pin(row, url, "0"),
    archive: (row, url) => remove(row, `${url}archive/`),
    delete: (row, url) => remove(row, `${url}delete/`),
  };

  const rename = (row, url) => {
    const copy = document.getElementById("rename-template").content.cloneNode(true);
    const form = copy.querySelector("form");
    const box = copy.querySelector("input");
    const before = row.querySelector(".row span").textContent;
    box.value = before;
    row.classList.add("renaming");
    row.append(copy);
    box.select();
    let done = false;
    const end = () => {
      done = true;
      form.remove();
      row.classList.remove("renaming");
    };
    const save = async (focus) => {
      if (done) return;
      const title = box.value.trim();
      end();
      if (title && title !== before) {
        await post(`${url}rename/`, { title }, { source: row, target: row, swap: "outerHTML" });
      }
      if (focus) rowOf(row.dataset.row)?.querySelector(".open-menu").focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      save(true);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      // Else it would close the drawer around it, too.
      event.preventDefault();
      event.stopPropagation();
      end();
      row.querySelector(".open-menu").focus();
    });
    box.addEventListener("blur", () => save(false));
  };
  // What arrives for a row meanwhile comes again; what is being typed would not, and an open menu would lose its row.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (event.detail.target.matches(".renaming, [data-row]:has(.open-menu[aria-expanded=true])")) {
      event.detail.shouldSwap = false;
    }
  });

  // --- undo: there as long as somebody may still reach for it ---

  const tick = () => {
    clearTimeout(timer);
    const bar = place.querySelector(".undo");
    // A press outside of an open drawer closes it: then the bar belongs inside.
    const home = rail.matches(":popover-open") ? rail : document.body;
    if (place.parentElement !== home) home.append(place);
    place.togglePopover(Boolean(bar));
    if (!bar) return;
    timer = setTimeout(() => {
      if (bar.matches(":hover, :focus-within")) return tick();
      place.replaceChildren();
    }, Number(bar.dataset.seconds) * 1000);
  };
  new MutationObserver(tick).observe(place, { childList: true });
  rail.addEventListener("toggle", tick);
  tick();
  // Whoever deleted the open conversation was led to this page: the way back has the focus here, too.
  place.querySelector("button")?.focus({ preventScroll: true });
  // The address need not say it once it is on the page.
  if (new URLSearchParams(location.search).has("undo")) history.replaceState(null, "", location.pathname);

  document.addEventListener("submit", async (event) => {
    if (!("undo" in event.target.dataset)) return;
    event.preventDefault();
    const { action } = event.target;
    const { undone } = place.firstElementChild.dataset;
    const archived = event.target.elements.archived?.value;
    place.replaceChildren();
    await refresh(action, archived === undefined ? {} : { archived });
    const row = rowOf(undone);
    row?.scrollIntoView({ block: "nearest" });
    row?.querySelector("a").focus();
  });
  for (const kind of ["htmx:responseError", "htmx:sendError"]) {
    place.addEventListener(kind, () => announce(place.dataset.sayFailed));
  }
};
