// A message in a box in its own place, to be sent as another version of itself. What is written there outlives a
// reload, and goes only when the server has it.

const grow = (box) => {
  if (CSS.supports("field-sizing", "content")) return;
  box.style.setProperty("height", "auto");
  box.style.setProperty("height", `${box.scrollHeight}px`);
};

export class Editing {
  // send(message): as the composer does it. One box at a time.
  constructor({ name, send }) {
    this.key = `edit:${name}`;
    this.send = send;
    this.template = document.getElementById("edit-template");
    document.addEventListener("submit", (event) => this.#submit(event));
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("keydown", (event) => this.#press(event));
    document.addEventListener("input", (event) => {
      if (event.target.form?.dataset.op === "edit") this.#keep(event.target);
    });
    this.resume();
  }

  // What was being written before the page was loaded again.
  resume() {
    const kept = this.#kept();
    const article = kept && document.getElementById(`turn-${kept.turn}`);
    if (article) this.#open(article, kept.text, false);
  }

  // A version was accepted: nothing is being written any more.
  accepted(turn) {
    if (this.#kept()?.turn === turn) this.#forget();
  }

  // While it is on its way, or not.
  lock(turn, locked) {
    const form = document.querySelector(`#turn-${turn} .edit`);
    if (!form) return;
    form.elements.text.readOnly = locked;
    form.querySelector(".primary").disabled = locked;
  }

  #open(article, text, focus = true) {
    document.querySelectorAll(".edit").forEach((form) => this.#close(form, false));
    const form = this.template.content.cloneNode(true).querySelector("form");
    const box = form.elements.text;
    const asked = article.querySelector(".asked");
    form.elements.of.value = article.dataset.turn;
    box.value = text ?? asked.querySelector(".user").textContent;
    asked.hidden = true;
    asked.before(form);
    grow(box);
    if (focus) {
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
    }
  }

  #close(form, focus = true) {
    const asked = form.parentElement.querySelector(".asked");
    form.remove();
    asked.hidden = false;
    if (focus) asked.querySelector("[data-edit] button")?.focus();
    this.#forget();
  }

  #submit(event) {
    const form = event.target;
    if ("edit" in form.dataset) {
      event.preventDefault();
      this.#open(form.closest(".turn"));
    } else if (form.dataset.op === "edit") {
      event.preventDefault();
      const text = form.elements.text.value;
      if (!text.trim()) return;
      this.#keep(form.elements.text);
      this.send({ op: "edit", of: Number(form.elements.of.value), text });
    }
  }

  #click(event) {
    const cancel = event.target.closest?.(".edit [data-cancel]");
    if (!cancel) return;
    event.preventDefault();
    this.#close(cancel.closest(".edit"));
  }

  #press(event) {
    const form = event.target.form;
    if (form?.dataset.op !== "edit" || event.target.localName !== "textarea") return;
    if (event.key === "Escape") {
      event.stopPropagation();
      this.#close(form);
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) form.requestSubmit();
  }

  #keep(box) {
    grow(box);
    const kept = { turn: Number(box.form.elements.of.value), text: box.value };
    try {
      sessionStorage.setItem(this.key, JSON.stringify(kept));
    } catch {
      // Storage is full or forbidden: it is kept as long as the page is.
    }
  }

  #kept() {
    try {
      return JSON.parse(sessionStorage.getItem(this.key));
    } catch {
      return null;
    }
  }

  #forget() {
    try {
      sessionStorage.removeItem(this.key);
    } catch {
      // Nothing could be kept there.
    }
  }
}
