// The stretch of a conversation that stands on the page. More of it is fetched before the reader comes to its edge; what
// is far from the reader goes meanwhile, so that a page through which somebody scrolls for an hour stays light.

import { button, reach } from "./settling.js";

// Turns on the page, if those are enough: when some come above the others, the browser goes through all of them.
const MOST = 70;
// Turns that are put in at once: what one frame has time for.
const SLICE = 3;
// How far from what is seen an edge may be before more is fetched, in heights of the box.
const AHEAD = 2;
// What is nearer stays, however short its turns are: else it would be fetched again at once.
const NEAR = AHEAD + 1;
const AGAIN_MS = 3_000;

const frame = () => new Promise((done) => requestAnimationFrame(done));
// A turn, and what is said after it.
const whole = (turn) => {
  const next = turn.nextElementSibling;
  return next?.matches(".after") ? [turn, next] : [turn];
};

export class Stretch {
  #loading = false;

  // leaving(turns): these go now; came(): others are there.
  constructor({ root, scroll, leaving, came }) {
    this.root = root;
    this.scroll = scroll;
    this.leaving = leaving;
    this.came = came;
    this.turns = root.getElementsByClassName("turn");
    this.template = document.getElementById("edges-template");
    const options = { root: scroll.box, rootMargin: `${AHEAD * 100}% 0px` };
    this.near = new IntersectionObserver((entries) => {
      const edge = entries.find((entry) => entry.isIntersecting && entry.target.isConnected)?.target;
      if (edge) this.#load(edge);
    }, options);
    this.watch();
  }

  // Older turns, or newer ones, that are not on the page: what stands in their place.
  get earlier() {
    const first = this.root.firstElementChild;
    return first?.matches(".earlier") ? first : null;
  }

  get later() {
    const last = this.root.lastElementChild;
    return last?.matches(".later") ? last : null;
  }

  // The edges may be other ones than before.
  watch() {
    this.near.disconnect();
    for (const edge of [this.earlier, this.later]) if (edge) this.near.observe(edge);
  }

  // Makes place for `count` more turns, at the end that is far from where they come.
  room(count, fromStart = true) {
    const over = Math.min(this.turns.length, this.turns.length + count - MOST);
    if (over <= 0) return;
    const outer = fromStart ? [...this.turns].slice(0, over) : [...this.turns].slice(-over);
    const going = outer.filter((turn) => this.#far(turn));
    if (!going.length) return;
    this.leaving(going);
    if (going.some((turn) => turn.contains(document.activeElement))) this.root.focus({ preventScroll: true });
    for (const turn of going) for (const part of whole(turn)) part.remove();
    this.#edge(fromStart ? "earlier" : "later");
  }

  #far(turn) {
    const seen = this.scroll.box.getBoundingClientRect();
    const { top, bottom } = turn.getBoundingClientRect();
    return Math.max(seen.top - bottom, top - seen.bottom) > NEAR * seen.height;
  }

  // The place of what is not here, with the number from which on it is missing.
  #edge(name) {
    const early = name === "earlier";
    const number = (early ? this.turns[0] : this.turns[this.turns.length - 1])?.dataset.number;
    if (!number) return;
    let edge = this[name];
    if (!edge) {
      edge = this.template.content.querySelector(`.${name}`).cloneNode(true);
      if (early) this.root.prepend(edge);
      else this.root.append(edge);
      this.near.observe(edge);
    }
    const link = edge.querySelector("a");
    for (const [owner, key] of [[edge, "data-more"], [link, "href"]]) {
      owner.setAttribute(key, owner.getAttribute(key).replace(/=\d+$/, `=${number}`));
    }
  }

  async #load(edge) {
    if (this.#loading) return;
    this.#loading = true;
    try {
      const answer = await fetch(edge.dataset.more, { headers: { "HX-Request": "true" } });
      if (!answer.ok) throw new Error(answer.status);
      const page = document.createElement("template");
      page.innerHTML = await answer.text();
      await this.#put(edge, page.content);
      this.#loading = false;
      this.came();
      this.watch();
    } catch {
      // Not reached. The link is there for who does not want to wait.
      this.#loading = false;
      setTimeout(() => this.watch(), AGAIN_MS);
    }
  }

  // A slice a frame, those next to the reader first: what is left of the edge always says truly what is missing.
  async #put(edge, page) {
    const early = edge.matches(".earlier");
    const more = page.querySelector(early ? ".earlier" : ".later");
    const turns = [...page.querySelectorAll(".turn")];
    while (turns.length) {
      await frame();
      // The path became another one meanwhile.
      if (!edge.isConnected) return;
      const slice = turns.splice(early ? -SLICE : 0, SLICE);
      this.#slip(edge, slice, early);
    }
    if (!more) edge.remove();
  }

  #slip(edge, slice, early) {
    const held = this.scroll.hold();
    this.room(slice.length, !early);
    const nodes = slice.flatMap(whole);
    if (early) edge.after(...nodes);
    else edge.before(...nodes);
    this.#edge(early ? "earlier" : "later");
    for (const part of nodes) htmx.process(part);
    slice.forEach(button);
    held();
    reach(...slice);
  }
}
