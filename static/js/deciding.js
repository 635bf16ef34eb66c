// Decisions about the context: what a refusal says, where one looks after a change, and the card that asks.

// Of one tab: whoever said "later" is asked again at the next mark.
const LATER = "later:";
const LOOKED_AT_MS = 800;
const OWN_MS = 2_000;
const MARKING = /\/turns\/(\d+)\/(?:pin|exclude)\//;
const ORDER = ["soft", "high", "hard"];

export const deciding = ({ main, composer, scroll }) => {
  const { session } = main.dataset;
  if (!session) return;

  document.addEventListener("refused", (event) => composer.tell(event.detail.text));

  // The part that was acted on is gone: what stands in its place is looked at next, also by a screen reader. Parts that
  // arrive at the same time hold the scroll position as it was before them, so that it is looked at after them, too.
  let place = "";
  let until = 0;
  const look = () => {
    const found = document.getElementById(place);
    const own = found?.matches("summary, button, a") ? found : found?.querySelector(".notice");
    if (!own || performance.now() > until) return;
    if (own.tabIndex < 0) own.tabIndex = -1;
    own.focus({ preventScroll: true });
    scroll.show(own, { centre: true });
  };
  document.addEventListener("look-at", (event) => {
    place = event.detail.id;
    until = performance.now() + LOOKED_AT_MS;
    look();
  });
  document.addEventListener("htmx:afterSettle", () => queueMicrotask(look));

  // A turn was pinned or left out, here or in another tab. What this page asked for itself comes with its answer: were
  // the turn fetched once more meanwhile, one of the two would find it gone.
  const own = new Map();
  document.addEventListener("htmx:beforeRequest", (event) => {
    const turn = MARKING.exec(event.detail.pathInfo.requestPath)?.[1];
    if (turn) own.set(turn, performance.now());
  });
  document.addEventListener("turn-changed", (event) => {
    const { number, elsewhere } = event.detail;
    const article = document.querySelector(`.turn[data-number="${number}"]`);
    if (!article || article.getAttribute("aria-busy")) return;
    const { turn } = article.dataset;
    if (elsewhere && performance.now() - (own.get(turn) ?? -Infinity) < OWN_MS) return;
    htmx.ajax("GET", `${main.dataset.turns}${turn}/`, { source: article, target: article, swap: "outerHTML" });
  });

  // A notice that speaks of the same summaries is the same: whoever reads one that is open goes on reading.
  const ids = (root) => [...root.querySelectorAll(".notice")].map(({ id, dataset }) => id + dataset.of).join();
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    if (!target.matches(".after")) return;
    const fresh = fragment.querySelector?.(".after") ?? fragment;
    if (ids(fresh) && ids(fresh) === ids(target)) event.detail.shouldSwap = false;
  });

  // A menu whose item did something closes.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const menu = event.target.dataset?.closes;
    if (menu) document.getElementById(menu)?.hidePopover();
  });

  // Originals and sources that are on the page are shown there; others are on a page of their own.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-show]");
    const turn = link && document.querySelector(`.turn[data-number="${link.dataset.show}"]`);
    if (!turn) return;
    event.preventDefault();
    link.closest("[popover]")?.hidePopover();
    turn.tabIndex = -1;
    scroll.show(turn);
    turn.focus({ preventScroll: true });
  });

  // --- asking ---

  const draw = () => {
    const card = document.querySelector("#ask .ask");
    if (!card) return;
    const said = sessionStorage.getItem(LATER + session);
    card.hidden = ORDER.indexOf(card.dataset.ask) <= ORDER.indexOf(said);
  };
  document.addEventListener("click", (event) => {
    const card = event.target.closest?.("[data-later]")?.closest(".ask");
    if (!card) return;
    sessionStorage.setItem(LATER + session, card.dataset.ask);
    card.hidden = true;
    document.getElementById("message").focus();
  });
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id !== "ask") return;
    if (!document.querySelector("#ask .ask")) sessionStorage.removeItem(LATER + session);
    draw();
  });
  draw();
};

// Opens the preview of compressing by hand: what /compact does. `keep` is put in its field.
export const compactNow = async (keep = "") => {
  const dialog = document.getElementById("compact");
  if (!dialog) return;
  dialog.addEventListener("close", () => document.getElementById("message").focus(), { once: true });
  dialog.showModal();
  const address = document.querySelector('[data-dialog="compact"]').href;
  await htmx.ajax("GET", address, { target: "#compact-body", swap: "outerHTML" });
  const field = document.getElementById("compact-keep");
  if (field && keep) field.value = keep;
};
