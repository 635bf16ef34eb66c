// The one owner of the scroll position: follows the end of the transcript until somebody scrolls up.

const UNPIN_PX = 3;
const REPIN_PX = 24;

export class Scroll {
  constructor(box, inner, jump) {
    this.box = box;
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
    if (!sought) return this.#follow();
    this.#pin(false);
    sought.scrollIntoView({ block: "start" });
    this.last = this.box.scrollTop;
  }

  // Newer turns follow that are not on this page: its end is not the end.
  get #short() {
    return Boolean(this.box.querySelector(".later"));
  }

  #numbered(number) {
    return /^\d+$/.test(number ?? "") ? this.box.querySelector(`.turn[data-number="${number}"]`) : null;
  }

  toEnd() {
    if (this.#short) return location.assign(location.pathname);
    this.#pin(true);
    this.#follow();
  }

  // Changes above the reader must not move what is being read: returns what puts it back.
  hold() {
    if (this.pinned) return () => this.#follow();
    const top = this.box.getBoundingClientRect().top;
    const seen = [...this.box.querySelectorAll(".turn")].find((turn) => turn.getBoundingClientRect().bottom > top);
    if (!seen) return () => {};
    const { id } = seen;
    const before = seen.getBoundingClientRect().top;
    return () => {
      const now = document.getElementById(id);
      if (now) this.#go(this.box.scrollTop + now.getBoundingClientRect().top - before);
    };
  }

  #distance() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  #moved() {
    const top = this.box.scrollTop;
    if (this.#distance() <= REPIN_PX) this.#pin(true);
    else if (top < this.last - UNPIN_PX) this.#pin(false);
    this.last = top;
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
