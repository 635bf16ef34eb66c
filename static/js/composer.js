// The message box: keeps a draft through reloads and refusals, and sends each message once, however often it tries.

import { Outbox } from "./outbox.js";

// After these nobody knows whether the message was stored.
const UNSURE = ["storage", "unavailable", "failed"];
const DAY_MS = 86_400_000;

const clock = (at) => {
  const far = at - Date.now() > DAY_MS / 2 ? { weekday: "long" } : {};
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "numeric", minute: "2-digit", ...far });
  return format.format(at);
};

export class Composer {
  // send(message) -> whether it left; message: { client_id, op, of, text }. stop() ends the running reply. `later`, once
  // it is there, keeps what is written meanwhile (waiting.js).
  //
  // Other modules hear of it by events of the form: "composer:submit" (cancelable: then the text is theirs; what they
  // put into its `fields` goes along) and "composer:changed", both with { text }; "composer:accepted" with { turn,
  // message }.
  constructor(form, { name, send, stop }) {
    this.form = form;
    this.box = form.elements.text;
    this.button = form.querySelector("#send");
    this.stopButton = form.querySelector("#stop");
    this.said = form.querySelector("#said");
    this.outbox = new Outbox(name);
    this.transmit = send;
    this.running = !this.stopButton.hidden;
    this.ended = false;
    this.later = null;
    this.timer = 0;
    this.say = document.getElementById("main").dataset;
    this.box.value ||= this.outbox.draft;
    this.box.addEventListener("input", () => this.#changed());
    this.box.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.stopButton.addEventListener("click", () => stop());
    this.#changed();
  }

  get pending() {
    return this.outbox.pending;
  }

  // From here on what is written while a reply runs is kept by `later`.
  queue(later) {
    this.later = later;
    this.#draw();
  }

  put(text) {
    this.box.value = text;
    this.#changed();
    this.box.focus();
  }

  submit() {
    const text = this.box.value;
    if (!text.trim() || this.ended || this.#mine) return;
    const event = new CustomEvent("composer:submit", { cancelable: true, detail: { text, fields: {} } });
    if (!this.form.dispatchEvent(event)) return;
    if (!this.running && !this.pending) return this.send({ op: "new", text, ...event.detail.fields });
    if (!this.later) return;
    this.#empty();
    this.later.add(text, event.detail.fields);
  }

  send(message) {
    clearTimeout(this.timer);
    this.outbox.hold(message);
    this.#tell("");
    this.#draw();
    this.later?.draw();
    this.transmit(this.outbox.leaves());
  }

  // Called whenever it may have been lost; it goes when its pause is over.
  again() {
    clearTimeout(this.timer);
    if (!this.pending || this.ended) return;
    const { pause } = this.outbox;
    if (pause) this.timer = setTimeout(() => this.again(), pause);
    else this.transmit(this.outbox.leaves());
  }

  accepted({ client_id: id, turn }) {
    const mine = this.#mine;
    const sent = this.outbox.release(id);
    if (!sent) return null;
    if (mine && this.box.value === sent.text) this.box.value = "";
    this.later?.sent(id);
    this.#tell("");
    this.#changed();
    this.form.dispatchEvent(new CustomEvent("composer:accepted", { detail: { turn, message: sent } }));
    return sent;
  }

  // Returns the message, if it was this tab's.
  rejected({ client_id: id, code, retry_after_ms: wait, reason }) {
    const mine = this.#mine;
    const sent = this.outbox.release(id, { unsure: UNSURE.includes(code) });
    if (!sent) return null;
    if (!mine) this.later?.refused(id, code);
    if (code === "busy" && sent.op === "new" && this.later) {
      // A reply of another tab or device: what was written waits for it, too.
      if (mine) this.later.add(sent.text, { documents: sent.documents });
      if (mine && this.box.value === sent.text) this.box.value = "";
      this.#changed();
      return sent;
    }
    if (mine && !this.box.value) this.box.value = sent.text;
    const general = `say${code[0].toUpperCase()}${code.slice(1)}`;
    const own = `${general}_${reason}`;
    const name = own in this.say || `${own}_until` in this.say ? own : general;
    const until = wait && this.say[`${name}_until`];
    this.#tell(until ? until.replace("{time}", clock(Date.now() + wait)) : (this.say[name] ?? this.say.sayFailed));
    this.#changed();
    return sent;
  }

  busy(running) {
    this.running = running;
    this.#draw();
    this.later?.next();
  }

  // This page gets no answers any more: what is written stays, and is not sent from here.
  end() {
    this.ended = true;
    this.running = false;
    this.#draw();
  }

  tell(text) {
    this.#tell(text);
  }

  #tell(text) {
    this.said.replaceChildren();
    if (!text) return;
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    mark.setAttribute("class", "i");
    mark.setAttribute("aria-hidden", "true");
    mark.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
    mark.firstChild.setAttribute("href", "#i-warn");
    this.said.append(mark, text);
  }

  // Whether what is on its way was written in this box, and stands there until it has arrived.
  get #mine() {
    return this.pending?.op === "new" && !this.later?.has(this.pending.client_id);
  }

  #empty() {
    this.box.value = "";
    this.#tell("");
    this.#changed();
  }

  #changed() {
    this.outbox.draft = this.box.value;
    this.#draw();
    this.form.dispatchEvent(new CustomEvent("composer:changed", { detail: { text: this.box.value } }));
  }

  #draw() {
    const queues = Boolean(this.later) && (this.running || (Boolean(this.pending) && !this.#mine));
    // Its name is always the same; what it does now is said beside it.
    const title = queues ? this.say.sayQueue : this.say.saySend;
    this.box.readOnly = this.#mine && !this.ended;
    this.stopButton.hidden = !this.running;
    this.button.disabled = this.#mine || this.ended || !this.box.value.trim();
    if (this.button.title !== title) {
      this.button.title = title;
      this.button.querySelector("use").setAttribute("href", queues ? "#i-queue" : "#i-send");
    }
    if (CSS.supports("field-sizing", "content")) return;
    this.box.style.setProperty("height", "auto");
    this.box.style.setProperty("height", `${this.box.scrollHeight}px`);
  }

  #key(event) {
    if (event.key === "Escape" && this.running) this.stopButton.click();
    // On a touch keyboard Enter is the only way to a new line.
    const touch = matchMedia("(hover: none) and (pointer: coarse)").matches;
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
    event.preventDefault();
    this.submit();
  }
}
