// The one owner of the scroll position: follows the end of the transcript until somebody scrolls up. Whoever wants a
// turn or a notice to be looked at asks here (`show`), and whoever changes what stands above the reader does so between
// `hold` and what it returns.

const UNPIN_PX = 3;
const REPIN_PX = 24;
// What is looked at stands so far below the top of the box, whose first rem fades; the same as for a fragment (list.css).
const MARGIN_PX = 24;

export class Scroll {
  #newest = () => location.assign(location.pathname);
  #ending = false;

  constructor(box, inner, jump) {
    this.box = box;
    this.inner = inner;
    this.jump = jump;
    this.pinned = true;
    this.last = 0;
    box.addEventListener("scroll", () => this.#moved(), { passive: true });
    jump.addEventListener("click", () => this.toEnd());
    const watch = new ResizeObserver(() => this.pinned && this.#follow());
    watch.observe(inner);
    watch.observe(box);
  }

  // The sheet starts a page at its end; from here on the position is ours.
  start() {
    this.box.classList.remove("fresh");
    const number = new URLSearchParams(location.search).get("turn");
    const sought = this.box.querySelector(".turn:target") ?? this.#numbered(number);
    if (sought) this.show(sought);
    else this.#follow();
  }

  // Where the newest turns are not on this page: how they are brought.
  fetching(newest) {
    this.#newest = newest;
  }

  async toEnd() {
    if (this.#short) await this.#newest();
    this.#pin(true);
    this.#follow();
  }

  // Until `work` is done the reader is on the way to the end: what comes at the other one must not drive it out again.
  async toward(work) {
    this.#ending = true;
    try {
      await work();
    } finally {
      this.#ending = false;
    }
  }

  // Something in the transcript is looked at from now on: its beginning, or, `centre`, its middle.
  show(element, { centre = false } = {}) {
    this.#pin(false);
    const box = this.box.getBoundingClientRect();
    const own = element.getBoundingClientRect();
    const above = centre ? Math.max(MARGIN_PX, (box.height - own.height) / 2) : MARGIN_PX;
    this.#go(this.box.scrollTop + own.top - box.top - above);
    if (this.#distance() <= REPIN_PX) this.#pin(true);
  }

  // Changes above the reader must not move what is being read: returns what puts it back.
  hold() {
    if (this.pinned || this.#ending) return () => (this.pinned || this.#ending) && this.#follow();
    const seen = this.#first();
    if (!seen) return () => {};
    const { id } = seen;
    const before = seen.getBoundingClientRect().top;
    return () => {
      const now = document.getElementById(id);
      const moved = now ? now.getBoundingClientRect().top - before : 0;
      if (moved) this.#go(this.box.scrollTop + moved);
    };
  }

  // Newer turns follow that are not on this page: its end is not the end.
  get #short() {
    return Boolean(this.inner.lastElementChild?.matches(".later"));
  }

  #numbered(number) {
    return /^\d+$/.test(number ?? "") ? this.box.querySelector(`.turn[data-number="${number}"]`) : null;
  }

  // The first turn that is in view, if only its end: they stand in order.
  #first() {
    const { top } = this.box.getBoundingClientRect();
    const turns = this.inner.getElementsByClassName("turn");
    let [from, to] = [0, turns.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (turns[middle].getBoundingClientRect().bottom > top) to = middle;
      else from = middle + 1;
    }
    return turns[from];
  }

  #distance() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  #moved() {
    const top = this.box.scrollTop;
    const left = this.#distance();
    // At the very end also whoever did not scroll, but whose page became shorter.
    if (left < 1) this.#pin(true);
    else if (top < this.last - UNPIN_PX) this.#pin(false);
    else if (top > this.last && left <= REPIN_PX) this.#pin(true);
    // Slowly upward is upward, too: what counts is the way from where it was followed.
    if (!this.pinned || top > this.last) this.last = top;
  }

  #pin(pinned) {
    this.pinned = pinned && !this.#short;
    this.jump.hidden = this.pinned;
  }

  #follow() {
    this.#go(this.box.scrollHeight);
  }

  #go(top) {
    this.box.scrollTop = top;
    this.last = this.box.scrollTop;
  }
}
