// The reply that is being written: finished blocks as the server rendered them, and a tail of plain text.

import { written } from "./merging.js";

// `end` counts code points, as the server does; a JavaScript string counts UTF-16 units.
const after = (text, points) => [...text].slice(points).join("");

export class Live {
  // `note` is said while there is nothing newer to say.
  constructor(article, turn, epoch, note = "") {
    this.article = article;
    this.turn = turn;
    this.epoch = epoch;
    this.note = note;
    this.end = 0;
    this.chunks = [];
    this.count = 0;
    this.blockEnd = 0;
    this.stale = false;
    this.blocks = article.querySelector(".blocks");
    this.tail = article.querySelector(".tail");
    this.phase = article.querySelector(".phase");
  }

  // Where this page stopped, as hello tells it.
  get place() {
    return { turn: this.turn, epoch: this.epoch, end: this.end, blocks: this.count, block_end: this.blockEnd };
  }

  snapshot({ text, end, blocks }) {
    this.end = end;
    this.chunks = text ? [{ start: 0, end, text }] : [];
    this.count = this.blockEnd = 0;
    // What an attempt said that broke off stays until the next one has said something.
    this.stale = !text;
    if (this.stale) return;
    this.#clear();
    for (const [blockEnd, html] of blocks) this.#commit(blockEnd, html);
    this.#draw();
  }

  // False when something is missing in between: then the page says hello again.
  delta({ epoch, start, end, text }) {
    if (epoch !== this.epoch || start !== this.end) return false;
    if (this.stale) this.#clear();
    this.end = end;
    this.chunks.push({ start, end, text });
    this.tail.append(text);
    this.say("");
    return true;
  }

  // False when one is missing. One that is here already came again after a hello.
  block({ epoch, index, end, html }) {
    if (epoch !== this.epoch || index > this.count) return false;
    if (index < this.count) return true;
    this.#commit(end, html);
    // What is left stands below the block: in an element of its own, because one that is pushed down counts as a jump.
    const tail = this.tail.cloneNode(false);
    this.tail.replaceWith(tail);
    this.tail = tail;
    this.#draw();
    return true;
  }

  say(text) {
    const said = text || this.note;
    if (this.phase.textContent !== said) this.phase.textContent = said;
  }

  #clear() {
    this.stale = false;
    this.blocks.replaceChildren();
    this.tail.textContent = "";
  }

  // The server sanitised the HTML with the one sanitiser there is.
  #commit(end, html) {
    const before = this.blocks.childElementCount;
    this.blocks.insertAdjacentHTML("beforeend", html);
    for (const block of [...this.blocks.children].slice(before)) written.set(block, block.outerHTML);
    this.count += 1;
    this.blockEnd = end;
    this.chunks = this.chunks.filter((chunk) => chunk.end > end);
    const first = this.chunks[0];
    if (first && first.start < end) {
      this.chunks[0] = { start: end, end: first.end, text: after(first.text, end - first.start) };
    }
  }

  #draw() {
    const text = this.chunks.map((chunk) => chunk.text).join("");
    // The line break that ended the last block belongs to it.
    this.tail.textContent = this.blocks.childElementCount ? text.replace(/^\n+/, "") : text;
    if (text) this.say("");
  }
}
