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
  // send(message) -> whether it left; message: { client_id, op, of, text }
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

  put(text) {
    this.box.value = text;
    this.#changed();
    this.box.focus();
  }

  submit() {
    const text = this.box.value;
    if (!text.trim() || this.running || this.pending || this.ended) return;
    this.send({ op: "new", text });
  }

  send(message) {
    const whole = this.outbox.hold(message);
    this.#tell("");
    this.#draw();
    this.transmit(whole);
  }

  again() {
    if (this.pending && !this.ended) this.transmit(this.pending);
  }

  accepted({ client_id: id }) {
    const sent = this.outbox.release(id);
    if (!sent) return null;
    if (sent.op === "new" && this.box.value === sent.text) this.box.value = "";
    this.#tell("");
    this.#changed();
    return sent;
  }

  rejected({ client_id: id, code, retry_after_ms: wait, reason }) {
    const sent = this.outbox.release(id, { unsure: UNSURE.includes(code) });
    if (!sent) return;
    if (sent.op === "new" && !this.box.value) this.box.value = sent.text;
    const general = `say${code[0].toUpperCase()}${code.slice(1)}`;
    const own = `${general}_${reason}`;
    const name = own in this.say || `${own}_until` in this.say ? own : general;
    const until = wait && this.say[`${name}_until`];
    this.#tell(until ? until.replace("{time}", clock(Date.now() + wait)) : (this.say[name] ?? this.say.sayFailed));
    this.#changed();
  }

  busy(running) {
    this.running = running;
    this.#draw();
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

  #changed() {
    this.outbox.draft = this.box.value;
    this.#draw();
  }

  #draw() {
    const waiting = Boolean(this.pending);
    this.box.readOnly = waiting && !this.ended;
    this.stopButton.hidden = !this.running;
    this.button.disabled = this.running || waiting || this.ended || !this.box.value.trim();
    this.button.title = this.running ? this.say.sayRunning : this.say.saySend;
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
