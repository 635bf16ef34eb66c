// One websocket to one conversation: opened again for as long as the page lives, unless the server says not to.

const SILENCE_MS = 45_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;
const FINAL = { 4401: "signed-out", 4404: "gone", 4409: "version" };

export class Socket {
  #socket = null;
  #tries = 0;
  #timer = 0;
  #beat = 0;
  #heard = 0;
  #final = false;
  #after = 0;

  // on: { hello() -> frame, frame(frame), up(), down(reason) }
  constructor(path, on) {
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.on = on;
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.now());
    addEventListener("pagehide", () => this.#socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.now());
    this.#open();
  }

  get up() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // Whether it left this page; what became of it, the answer tells.
  send(frame) {
    if (!this.up) return false;
    this.#socket.send(JSON.stringify({ v: 1, ...frame }));
    return true;
  }

  hello() {
    this.send(this.on.hello());
  }

  now() {
    if (this.#final || this.up || this.#socket?.readyState === WebSocket.CONNECTING) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  #open() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#heard = performance.now();
      this.hello();
    });
    socket.addEventListener("message", (event) => {
      this.#heard = performance.now();
      this.#take(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => socket === this.#socket && this.#closed(event.code));
  }

  #take(frame) {
    if (frame.type === "welcome") {
      this.#tries = 0;
      clearInterval(this.#beat);
      this.#beat = setInterval(() => this.#check(), frame.heartbeat_s * 1000);
      this.on.up();
    } else if (frame.type === "bye") {
      this.#after = frame.reconnect_after_ms ?? 0;
    }
    this.on.frame(frame);
  }

  #check() {
    if (performance.now() - this.#heard > SILENCE_MS) this.#socket.close();
    else this.send({ type: "ping", t: Math.round(performance.now()) });
  }

  #closed(code) {
    clearInterval(this.#beat);
    const reason = FINAL[code];
    this.#final = Boolean(reason);
    this.on.down(reason ?? "lost");
    if (this.#final) return;
    // Full jitter: after a restart not every page comes back in the same instant.
    const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#tries++);
    const wait = this.#after || Math.max(FIRST_WAIT_MS, Math.random() * most);
    this.#after = 0;
    this.#timer = setTimeout(() => this.#open(), wait);
  }
}
