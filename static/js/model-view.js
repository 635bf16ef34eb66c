// "What the model sees": what the dialog and its page do beside fetching. The address of a segment is a link like any.

import { announce } from "./announcing.js";
import { write } from "./copying.js";

const DONE_MS = 1500;

const done = (button, said) => {
  const use = button.querySelector("use");
  use.setAttribute("href", "#i-done");
  announce(said);
  setTimeout(() => use.setAttribute("href", "#i-copy"), DONE_MS);
};

const copyBody = async (link) => {
  try {
    const answer = await fetch(link.dataset.copyBody, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    await write(await answer.text());
    done(link, link.dataset.said);
  } catch {
    announce(link.dataset.failed);
  }
};

const copySegment = async (button) => {
  const texts = [...button.closest(".segment").querySelectorAll("pre")].map((one) => one.textContent);
  await write(texts.join("\n\n"));
  done(button, button.dataset.said);
};

// A turn that the page shows is gone to; another one is found by following the link.
const goTo = (event, link, scroll) => {
  const turn = document.querySelector(`.transcript .turn[data-number="${link.dataset.goto}"]`);
  const dialog = link.closest("dialog");
  if (!turn || !dialog) return;
  event.preventDefault();
  dialog.addEventListener(
    "close",
    () => {
      turn.tabIndex = -1;
      scroll.show(turn);
      turn.focus({ preventScroll: true });
    },
    { once: true },
  );
  dialog.close();
};

// On a phone the text of a segment covers the list.
const back = (view) => {
  view.classList.remove("open");
  view.querySelector("tr[aria-current] a")?.focus();
};

// The page of its own has no transcript to scroll.
export const modelView = ({ scroll } = {}) => {
  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest?.(selector);
    if (at("[data-copy-body]")) {
      event.preventDefault();
      copyBody(at("[data-copy-body]"));
    } else if (at("[data-copy-segment]")) copySegment(at("[data-copy-segment]"));
    else if (at("[data-goto]")) goTo(event, at("[data-goto]"), scroll);
    else if (at("[data-preview-back]")) back(at(".seen"));
    else if (at(".seg a")) {
      for (const row of at("table").querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
      at(".seg").setAttribute("aria-current", "true");
      at(".seen").classList.add("open");
    }
  });
  // What is behind the dialog says nothing while it waits.
  document.getElementById("model-view")?.addEventListener("close", (event) => {
    event.target.querySelector(".seen").classList.remove("open");
  });
  // Escape leaves the text before it leaves the dialog.
  document.addEventListener(
    "cancel",
    (event) => {
      const view = event.target.matches?.(".model-view") && event.target.querySelector(".seen.open");
      if (!view || !matchMedia("(max-width: 48rem)").matches) return;
      event.preventDefault();
      back(view);
    },
    true,
  );
};
