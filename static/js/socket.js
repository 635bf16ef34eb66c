// One websocket to one conversation: opened again for as long as the page lives, unless the server says not to.
// The protocol is described in docs/protocol.md.

const DEAD_MS = 45_000;
const PROBE_MS = 5_000;
const LEAST_WAIT_MS = 500;
const MOST_WAIT_MS = 20_000;
const STEADY_MS = 10_000;
const ACK_CHARS = 16 * 1024;
const ACK_MS = 2_000;
const FINAL = { 4401: "signed-out", 4404: "gone", 4409: "outdated" };
const OF_A_REPLY = ["snapshot", "delta", "block", "done"];

// Calls `tick` every few seconds, in a hidden tab too.
const ticking = (tick) => {
  try {
    new Worker(new URL("./ticking.js", import.meta.url)).addEventListener("message", tick);
  } catch {
    setInterval(tick, PROBE_MS);
  }
};

export class Socket {
  #socket = null;
  #tries = 0;
  #timer = 0;
  #beat = 15_000;
  #heard = 0;
  #pinged = 0;
  #since = Infinity;
  #final = false;
  #after = 0;
  #greeting = false;
  #owed = 0;
  #newest = null;
  #acked = 0;
  #most = 64 * 1024;
  #ackTimer = 0;

  // on: { hello() -> frame, frame(frame), up(), down(reason) }
  constructor(path, on) {
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.on = on;
    for (const name of ["online", "offline"]) addEventListener(name, () => this.now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.now());
    addEventListener("pagehide", () => this.#socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.now());
    ticking(() => this.#tick());
    this.#open();
  }

  get up() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // Whether it left this page; what became of it, the answer tells. One that is too long never leaves: it would close
  // the socket. Signs that JSON escapes make a frame longer than its text.
  send(frame) {
    if (!this.up) return false;
    const text = JSON.stringify({ v: 1, ...frame });
    if (text.length * 3 > this.#most && new TextEncoder().encode(text).length > this.#most) return false;
    this.#socket.send(text);
    return true;
  }

  // Says where this page stopped, and gets what is missing. One at a time: the answer is the welcome.
  hello() {
    if (!this.#greeting && this.up) {
      this.#greeting = true;
      this.send(this.on.hello());
    }
  }

  // The network or the user is back: connect at once, or find out whether the connection is still one.
  now() {
    if (this.#final || this.#socket?.readyState === WebSocket.CONNECTING) return;
    if (this.up) {
      const asked = performance.now();
      this.#ping();
      const socket = this.#socket;
      setTimeout(() => socket === this.#socket && this.#heard < asked && this.#lost(), PROBE_MS);
    } else {
      clearTimeout(this.#timer);
      this.#open();
    }
  }

  #open() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.#greeting = false;
    this.#owed = 0;
    socket.addEventListener("open", () => {
      this.#heard = performance.now();
      this.hello();
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.#socket) return;
      this.#heard = performance.now();
      this.#take(JSON.parse(event.data), event.data.length);
    });
    socket.addEventListener("close", (event) => socket === this.#socket && this.#closed(event.code));
  }

  #take(frame, size) {
    if (frame.type === "welcome") {
      this.#greeting = false;
      this.#since = performance.now();
      this.#beat = frame.heartbeat_s * 1000;
      this.#most = frame.limits.frame;
      this.on.up();
    } else if (frame.type === "bye") {
      this.#after = frame.reconnect_after_ms ?? 0;
    }
    this.on.frame(frame);
    if (OF_A_REPLY.includes(frame.type)) this.#owe(frame, size);
  }

  // Without acknowledgements the server sends no more. They go with the frames that come, because a timer may be slow.
  #owe({ type, turn, end }, size) {
    this.#owed += size;
    // Blocks lag behind the text; the end of the newest text covers them.
    const before = type === "block" && this.#newest?.turn === turn ? this.#newest.end : 0;
    this.#newest = { turn, end: Math.max(before, end) };
    const due = performance.now() - this.#acked >= ACK_MS;
    if (type === "done" || this.#owed >= ACK_CHARS || due) this.#ack();
    else this.#ackTimer ||= setTimeout(() => this.#ack(), ACK_MS);
  }

  #ack() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = 0;
    if (!this.#owed || !this.send({ type: "ack", ...this.#newest })) return;
    this.#owed = 0;
    this.#acked = performance.now();
  }

  #ping() {
    this.#pinged = performance.now();
    this.send({ type: "ping", t: Math.round(this.#pinged) });
  }

  #tick() {
    if (!this.up) return;
    const now = performance.now();
    if (now - this.#heard > DEAD_MS) return this.#lost();
    if (now - this.#pinged >= this.#beat) this.#ping();
    if (now - this.#acked >= ACK_MS) this.#ack();
  }

  // A connection that is only half there would take minutes to close: it is left behind.
  #lost() {
    const socket = this.#socket;
    this.#closed(1006);
    socket.close();
  }

  #closed(code) {
    this.#socket = null;
    const reason = FINAL[code];
    this.#final = Boolean(reason);
    this.on.down(reason ?? "lost");
    if (this.#final) return;
    // A server that welcomes and then breaks, again and again, is not asked more often for it.
    if (performance.now() - this.#since > STEADY_MS) this.#tries = 0;
    this.#since = Infinity;
    // Full jitter: after a restart not every page comes back in the same instant.
    const least = this.#after || LEAST_WAIT_MS;
    const most = Math.min(MOST_WAIT_MS - LEAST_WAIT_MS, LEAST_WAIT_MS * 2 ** this.#tries++);
    this.#after = 0;
    this.#timer = setTimeout(() => this.#open(), least + Math.random() * Math.max(most, least));
  }
}
