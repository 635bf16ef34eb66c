// The banner about the service: asked for now and then while somebody looks, more often while something is wrong, and
// at once when a message could not be taken. It goes away by itself.

const WELL_MS = 60_000;
const TROUBLE_MS = 10_000;
const SOON_MS = 1_500;

export const condition = () => {
  const place = document.getElementById("condition");
  if (!place) return;
  let timer = 0;

  const next = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(look, wait ?? (place.dataset.trouble ? TROUBLE_MS : WELL_MS));
  };

  const look = async () => {
    if (document.visibilityState !== "visible") return;
    try {
      const answer = await fetch(place.dataset.condition, { headers: { "HX-Request": "true" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = answer.ok && page.getElementById("condition");
      // The same words again would be spoken again.
      if (fresh && fresh.dataset.trouble !== place.dataset.trouble) {
        place.dataset.trouble = fresh.dataset.trouble;
        place.replaceChildren(...fresh.childNodes);
      }
    } catch {
      // Not reachable: that has a banner of its own.
    }
    next();
  };

  document.addEventListener("trouble", () => next(SOON_MS));
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && next(0));
  next();
};
