// The reply that is being written: finished blocks as the server rendered them, and a tail of plain text.

// `end` counts code points, as the server does; a JavaScript string counts UTF-16 units.
const after = (text, points) => [...text].slice(points).join("");

export class Live {
  constructor(article, turn, epoch) {
    this.article = article;
    this.turn = turn;
    this.epoch = epoch;
    this.end = 0;
    this.chunks = [];
    this.blocks = article.querySelector(".blocks");
    this.tail = article.querySelector(".tail");
    this.phase = article.querySelector(".phase");
  }

  snapshot({ text, end, blocks }) {
    this.end = end;
    this.chunks = text ? [{ start: 0, end, text }] : [];
    this.blocks.replaceChildren();
    for (const [blockEnd, html] of blocks) this.#commit(blockEnd, html);
    this.#draw();
  }

  // False when something is missing in between: then the page says hello again.
  delta({ epoch, start, end, text }) {
    if (epoch !== this.epoch || start !== this.end) return false;
    this.end = end;
    this.chunks.push({ start, end, text });
    this.tail.append(text);
    this.say("");
    return true;
  }

  block({ epoch, end, html }) {
    if (epoch !== this.epoch) return;
    this.#commit(end, html);
    this.#draw();
  }

  say(text) {
    if (this.phase.textContent !== text) this.phase.textContent = text;
  }

  // The server sanitised the HTML with the one sanitiser there is.
  #commit(end, html) {
    this.blocks.insertAdjacentHTML("beforeend", html);
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
