// The message box: keeps a draft through reloads and refusals, and sends each message once, however often it tries.

const uuid = () => {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
};

// Storage may be full or forbidden; a draft that can't be kept is no reason not to write.
const store = {
  get: (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set: (key, value) => {
    try {
      if (value) localStorage.setItem(key, value);
      else localStorage.removeItem(key);
    } catch {
      /* kept in the box only */
    }
  },
};

export class Composer {
  // send(message) -> whether it left; message: { client_id, op, of, text }
  constructor(form, { name, send, stop }) {
    this.form = form;
    this.box = form.elements.text;
    this.button = form.querySelector("#send");
    this.stopButton = form.querySelector("#stop");
    this.said = form.querySelector("#said");
    this.keys = { draft: `draft:${name}`, sending: `sending:${name}` };
    this.transmit = send;
    this.running = !this.stopButton.hidden;
    this.say = document.getElementById("main").dataset;
    this.box.value ||= store.get(this.keys.draft) ?? "";
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
    const kept = store.get(this.keys.sending);
    return kept ? JSON.parse(kept) : null;
  }

  put(text) {
    this.box.value = text;
    this.#changed();
    this.box.focus();
  }

  submit() {
    const text = this.box.value;
    if (!text.trim() || this.running || this.pending) return;
    this.send({ op: "new", text });
  }

  // Kept until the server has answered, so that a lost answer is asked for again, with the same id.
  send(message) {
    const whole = { client_id: uuid(), ...message };
    store.set(this.keys.sending, JSON.stringify(whole));
    this.#tell("");
    this.#draw();
    this.transmit(whole);
  }

  again() {
    if (this.pending) this.transmit(this.pending);
  }

  accepted({ client_id: id }) {
    const sent = this.pending;
    if (sent?.client_id !== id) return null;
    store.set(this.keys.sending, "");
    if (sent.op === "new" && this.box.value === sent.text) this.box.value = "";
    this.#changed();
    return sent;
  }

  rejected(id, code) {
    const sent = this.pending;
    if (sent?.client_id !== id) return;
    store.set(this.keys.sending, "");
    if (sent.op === "new" && !this.box.value) this.box.value = sent.text;
    this.#tell(this.say[`say${code[0].toUpperCase()}${code.slice(1)}`] ?? this.say.sayFailed);
    this.#changed();
  }

  busy(running) {
    this.running = running;
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
    store.set(this.keys.draft, this.box.value);
    this.#draw();
  }

  #draw() {
    const waiting = Boolean(this.pending);
    this.box.readOnly = waiting;
    this.stopButton.hidden = !this.running;
    this.button.disabled = this.running || waiting || !this.box.value.trim();
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
