// The list stays true without reloading: rows that change while something runs are asked for every few seconds; else
// only when somebody comes back to the tab. Nothing is asked while nobody looks.

import { drop } from "./rows.js";

const PERIOD_MS = 3_000;
// A title comes a moment after the reply has ended.
const AFTER = 2;

const groupFor = (list, heading, pinned) => {
  const known = [...list.querySelectorAll("[data-group]")].find((group) => group.dataset.group === heading);
  if (known) return known;
  const title = document.createElement("h2");
  title.textContent = heading;
  const group = document.createElement("ul");
  group.dataset.group = heading;
  const before = pinned ? null : list.querySelector("li[data-pinned]")?.parentElement;
  if (before) before.after(title, group);
  else list.prepend(title, group);
  return group;
};

const put = (list, row) => {
  const old = document.getElementById(row.id);
  if (old?.matches(".renaming") || old?.querySelector("[aria-expanded=true]")) return;
  const focused = old?.contains(document.activeElement) && document.activeElement.className;
  const moved = Number(row.dataset.moved);
  const group = groupFor(list, row.dataset.heading, "pinned" in row.dataset);
  const stays = old?.parentElement === group && Number(old.dataset.moved) === moved;
  const following = [...group.children].find((other) => other !== old && Number(other.dataset.moved) < moved);
  if (stays) old.replaceWith(row);
  else {
    // Below the last row of what is shown it may belong to a page that is not here yet.
    if (old) drop(old);
    if (group.isConnected) group.insertBefore(row, following ?? null);
    else put(list, row);
  }
  if (focused) row.querySelector(focused.includes("open-menu") ? ".open-menu" : "a").focus({ preventScroll: true });
};

export const states = () => {
  let timer = 0;
  let rounds = 0;
  const list = () => document.getElementById("list");
  if (!list()) return;
  const running = () => document.querySelector('#list .spin, .turn[aria-busy="true"]');

  const ask = async () => {
    clearTimeout(timer);
    const { states: url, at, current } = list().dataset;
    const query = new URLSearchParams({ since: at });
    if (current) query.set("current", current);
    for (const row of list().querySelectorAll("li:has(.spin, .dot)")) query.append("row", row.dataset.row);
    try {
      const answer = await fetch(`${url}?${query}`, { headers: { "HX-Request": "true" } });
      if (answer.status === 200) show(await answer.text());
    } catch {
      // Not reached: the next round asks for the same.
    }
    rounds = running() ? AFTER : rounds - 1;
    if (rounds >= 0 && document.visibilityState === "visible") timer = setTimeout(ask, PERIOD_MS);
  };

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("ul");
    if (!fresh) return;
    list().dataset.at = fresh.dataset.at;
    for (const id of fresh.dataset.gone.split(" ").filter(Boolean)) {
      const row = document.getElementById(`row-${id}`);
      if (row) drop(row);
    }
    for (const row of [...fresh.children]) put(list(), row);
    list().querySelector(":scope > p")?.remove();
  };

  const soon = (ms) => {
    clearTimeout(timer);
    rounds = AFTER;
    timer = setTimeout(ask, ms);
  };
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && soon(0));
  // A reply begins on this page, or goes on in another one.
  const transcript = document.getElementById("transcript");
  if (transcript) {
    new MutationObserver((changes) => {
      const begun = changes.some((one) => [...one.addedNodes].some((node) => node.matches?.('[aria-busy="true"]')));
      if (begun) soon(300);
    }).observe(transcript, { childList: true });
  }
  if (running()) soon(PERIOD_MS);
};
