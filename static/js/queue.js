// Messages that were written while a reply ran: they go when it is done, in order, each once.
//
// They are kept for all tabs of a browser together, under the client ids that they will be sent with: whichever tab
// sends one, it is stored once. One that is on its way is marked by the outbox of the tab that sends it.

import { uuid } from "./outbox.js";

export class Queue {
  // Instead of the storage, once that is full or forbidden: then they are kept as long as the page is.
  #memory = null;

  constructor(name) {
    this.key = `queue:${name}`;
  }

  // Oldest first: { client_id, text, fields, held, now }. `held`: why it waits although it could go; `now`: it goes all the same.
  get items() {
    if (this.#memory) return this.#memory;
    try {
      return JSON.parse(localStorage.getItem(this.key)) ?? [];
    } catch {
      return [];
    }
  }

  add(text, fields) {
    this.#write([...this.items, { client_id: uuid(), text, fields }]);
  }

  remove(id) {
    this.#write(this.items.filter((item) => item.client_id !== id));
  }

  has(id) {
    return this.items.some((item) => item.client_id === id);
  }

  hold(id, held) {
    this.#write(this.items.map((item) => (item.client_id === id ? { ...item, held, now: false } : item)));
  }

  // Before all others, and whatever became of the reply before it.
  hurry(id) {
    const { items } = this;
    const rest = items.filter((item) => item.client_id !== id);
    const urgent = items.filter((item) => item.client_id === id).map((item) => ({ ...item, held: "", now: true }));
    this.#write([...urgent, ...rest]);
  }

  #write(items) {
    if (this.#memory) {
      this.#memory = items;
      return;
    }
    try {
      if (items.length) localStorage.setItem(this.key, JSON.stringify(items));
      else localStorage.removeItem(this.key);
    } catch {
      this.#memory = items;
    }
  }
}
