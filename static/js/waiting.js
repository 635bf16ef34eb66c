// The queue above the message box: what waits for the end of a reply, and what can be done with it meanwhile.

import { announce } from "./announcing.js";
import { Queue } from "./queue.js";

const AGAIN_MS = 1_000;

export class Waiting {
  // composer: sends; stop(): ends the running reply; failed(): whether the newest reply is one that failed.
  constructor({ name, composer, stop, failed }) {
    this.queue = new Queue(name);
    this.composer = composer;
    this.stop = stop;
    this.failed = failed;
    this.say = document.getElementById("main").dataset;
    this.box = document.getElementById("queue");
    this.list = this.box.querySelector("ol");
    this.hint = this.box.querySelector("p");
    this.template = document.getElementById("queued-template");
    this.timer = 0;
    this.box.addEventListener("click", (event) => this.#click(event));
    addEventListener("storage", (event) => event.key === this.queue.key && this.next());
    this.draw();
  }

  // `fields` go along with the text: the documents that were attached to it.
  add(text, fields) {
    this.queue.add(text, fields);
    announce(this.say.sayQueue_waits);
    this.draw();
  }

  has(id) {
    return this.queue.has(id);
  }

  // Stored: by this tab or another one.
  sent(id) {
    this.queue.remove(id);
    this.draw();
  }

  // A reply that runs elsewhere is waited for; anything else is for its writer to decide.
  refused(id, code) {
    if (!this.queue.has(id)) return;
    if (code === "busy") this.#later();
    else this.queue.hold(id, code);
    this.draw();
  }

  // Send the first one, if it is its turn.
  next() {
    this.draw();
    const { composer } = this;
    const [item] = this.queue.items;
    if (!item || item.held || composer.running || composer.pending || composer.ended || this.timer) return;
    if (this.failed() && !item.now) return;
    // Another tab sends it. Should that tab be gone, this one does, under the same id.
    if (composer.outbox.flying(item.client_id)) return this.#later();
    composer.send({ client_id: item.client_id, op: "new", text: item.text, ...item.fields });
  }

  draw() {
    const { items } = this.queue;
    const shown = new Map([...this.list.children].map((line) => [line.dataset.id, line]));
    const lines = items.map((item) => shown.get(item.client_id) ?? this.#line(item));
    if (lines.length !== shown.size || lines.some((line, index) => line !== this.list.children[index])) {
      this.list.replaceChildren(...lines);
    }
    items.forEach((item, index) => {
      const flies = this.composer.outbox.flying(item.client_id);
      for (const button of lines[index].querySelectorAll("button")) button.disabled = flies;
    });
    this.box.hidden = !items.length;
    const hint = items.length ? this.#why(items[0]) : "";
    if (this.hint.textContent !== hint) this.hint.textContent = hint;
  }

  #why(item) {
    if (item.held) return this.say.sayQueue_held;
    if (this.composer.running) return item.now ? this.say.sayStopping : this.say.sayQueue_waits;
    return this.failed() && !item.now ? this.say.sayQueue_failed : "";
  }

  #line(item) {
    const line = this.template.content.cloneNode(true).firstElementChild;
    line.dataset.id = item.client_id;
    if (item.fields?.documents) line.dataset.documents = item.fields.documents;
    line.querySelector(".words").textContent = item.text;
    return line;
  }

  #click(event) {
    const action = event.target.closest("[data-queued]")?.dataset.queued;
    if (!action) return;
    const { id } = event.target.closest("li").dataset;
    const item = this.queue.items.find((one) => one.client_id === id);
    // It went a moment ago, from another tab.
    if (!item || this.composer.outbox.flying(id)) return this.draw();
    if (action === "now") this.#now(id);
    else this.queue.remove(id);
    if (action === "edit") {
      const draft = this.composer.box.value;
      this.composer.put(draft.trim() ? `${item.text}\n\n${draft}` : item.text);
    } else {
      this.composer.box.focus();
    }
    this.draw();
  }

  #now(id) {
    this.queue.hurry(id);
    if (this.composer.running) this.stop();
    else this.next();
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.next();
    }, AGAIN_MS);
  }
}
