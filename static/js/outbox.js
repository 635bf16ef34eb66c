// What one tab has written and the server has not acknowledged: a draft, and at most one message on its way.
//
// Both outlive a reload and a crash. A tab's own things come first (sessionStorage says which they are); what a closed
// tab left behind is taken over by the next one, under the same client id, so that it is stored once whoever sends it.

const ORPHAN_AFTER_MS = 10_000;
// What is on its way goes again no sooner than this after the last time, and each time twice as late.
const LEAST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 20_000;

// Storage may be full or forbidden; what can't be kept is no reason not to write.
const quietly = (work) => {
  try {
    return work();
  } catch {
    return null;
  }
};
const get = (storage, key) => quietly(() => storage().getItem(key));
const set = (storage, key, value) =>
  quietly(() => (value ? storage().setItem(key, value) : storage().removeItem(key)));
const everywhere = () => localStorage;
const here = () => sessionStorage;

export const uuid = () => {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
};

export class Outbox {
  #pending = null;
  #unsure = null;
  #times = 0;
  #went = 0;

  constructor(name) {
    this.draftKey = `draft:${name}`;
    this.sendingKey = `sending:${name}`;
    this.#pending = this.#read(get(here, this.sendingKey)) ?? this.#orphan();
    if (this.#pending) set(here, this.sendingKey, this.#pending.client_id);
  }

  get draft() {
    return get(here, this.draftKey) ?? get(everywhere, this.draftKey) ?? "";
  }

  set draft(text) {
    // Another tab's draft is not this one's to remove.
    if (text || get(here, this.draftKey) === get(everywhere, this.draftKey)) set(everywhere, this.draftKey, text);
    set(here, this.draftKey, text);
  }

  get pending() {
    return this.#pending;
  }

  // Whether a tab that may still be there has this message on its way.
  flying(id) {
    if (this.#pending?.client_id === id) return true;
    const kept = quietly(() => JSON.parse(get(everywhere, this.#key(id))));
    return Boolean(kept) && Date.now() - kept.at <= ORPHAN_AFTER_MS;
  }

  // The message goes now.
  leaves() {
    this.#times += 1;
    this.#went = performance.now();
    return this.#pending;
  }

  // In how many milliseconds it may go again. A server that hangs up on this very message would otherwise get it at
  // once, each time that it lets the page in.
  get pause() {
    if (!this.#times) return 0;
    const least = Math.min(MOST_PAUSE_MS, LEAST_PAUSE_MS * 2 ** (this.#times - 1));
    return Math.max(0, this.#went + least - performance.now());
  }

  // Kept until the server has answered. The same words after an answer that left it open go under the same id.
  hold(message) {
    const { client_id: _, ...unsure } = this.#unsure ?? {};
    const known = this.#unsure && JSON.stringify(unsure) === JSON.stringify(message) ? this.#unsure.client_id : null;
    const whole = { client_id: known ?? uuid(), ...message };
    this.#pending = whole;
    this.#unsure = null;
    this.#times = 0;
    set(everywhere, this.#key(whole.client_id), JSON.stringify({ ...whole, at: Date.now() }));
    set(here, this.sendingKey, whole.client_id);
    return whole;
  }

  // Answered: returns the message if it was this tab's. `unsure`: the server does not know whether it was stored.
  release(id, { unsure = false } = {}) {
    set(everywhere, this.#key(id), "");
    if (this.#pending?.client_id !== id) return null;
    const sent = this.#pending;
    this.#pending = null;
    this.#unsure = unsure ? sent : null;
    set(here, this.sendingKey, "");
    return sent;
  }

  #key(id) {
    return `${this.sendingKey}:${id}`;
  }

  #read(id) {
    const kept = id && quietly(() => JSON.parse(get(everywhere, this.#key(id))));
    if (!kept) return null;
    const { at: _, ...message } = kept;
    return message;
  }

  // Left by a tab that is gone. One that only waits would lose nothing: both would be told of the same turn.
  #orphan() {
    const keys = quietly(() => Object.keys(localStorage)) ?? [];
    const ids = keys.filter((key) => key.startsWith(`${this.sendingKey}:`)).map((key) => key.split(":").at(-1));
    const old = ids.find((id) => {
      const kept = quietly(() => JSON.parse(get(everywhere, this.#key(id))));
      return kept && Date.now() - kept.at > ORPHAN_AFTER_MS;
    });
    return this.#read(old);
  }
}
