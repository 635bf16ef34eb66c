// The turns on the page: new ones from a template, live ones as they are written, settled ones fetched as they are stored.

import { Live } from "./live.js";
import { merging } from "./merging.js";
import { lay } from "./path.js";
import { settle } from "./settling.js";
import { Stretch } from "./stretch.js";

export class Transcript {
  #live = null;
  #restarted = new Set();
  // The newest turn, once it has left the page, and the one that runs, where it is not on the page.
  #left = null;
  #away = 0;
  // Whether what stands around the turns could not be fetched when it should have been.
  owed = false;

  // came(): turns are there that were not, older or newer ones.
  constructor(main, scroll, came) {
    this.main = main;
    this.scroll = scroll;
    this.root = document.getElementById("transcript");
    this.template = document.getElementById("turn-template");
    this.base = main.dataset.turns;
    merging();
    const leaving = (turns) => this.#leaving(turns);
    // So that what comes back with an answer has its place here.
    document.addEventListener("htmx:configRequest", ({ detail }) => {
      const [first] = this.stretch.turns;
      if (first) detail.headers["X-Turns"] = `${first.dataset.number}-${this.end}`;
    });
    this.stretch = new Stretch({ root: this.root, scroll, leaving, came: () => { this.#forget(); came(); } });
  }

  // The number of the newest turn there is.
  get head() {
    if (this.short) return Number(this.#left?.number ?? this.main.dataset.head);
    return Number(this.#last?.dataset.number ?? this.main.dataset.head ?? 0);
  }

  set head(number) {
    this.#left = { ...this.#left, number };
  }

  // Newer turns follow that are not on this page.
  get short() {
    return Boolean(this.stretch.later);
  }

  // The id of the newest turn here, 0 without one.
  get newest() {
    return Number(this.#last?.dataset.turn ?? 0);
  }

  // The number of the newest turn here.
  get end() {
    return Number(this.#last?.dataset.number ?? 0);
  }

  // What hello tells of this page: the reply that it waits for, and how far it has it.
  get place() {
    if (this.#live) return this.#live.place;
    const { running } = this;
    return running ? { turn: running } : {};
  }

  get live() {
    return this.#live;
  }

  // The id of the turn that runs as far as this page knows, 0 without one. It is the newest, on the page or not.
  get running() {
    const last = this.#last;
    return last?.getAttribute("aria-busy") === "true" ? Number(last.dataset.turn) : this.short ? this.#away : 0;
  }

  // Where the newest turns are not on the page: which one runs, as the socket tells it.
  set running(turn) {
    this.#away = turn;
  }

  article(turn) {
    return document.getElementById(`turn-${turn}`);
  }

  // Whether the newest reply is one that failed.
  get failed() {
    return (this.short ? this.#left?.status : this.#last?.dataset.status) === "failed";
  }

  // A turn that was just accepted here, or seen starting elsewhere (then its prompt is fetched).
  begin(turn, number, prompt) {
    const known = this.article(turn);
    if (known) {
      if (prompt !== undefined) this.#showPrompt(known.querySelector(".user"), prompt);
      return known;
    }
    const copy = this.template.content.cloneNode(true);
    const article = copy.querySelector(".turn");
    const label = article.getAttribute("aria-label").replace("0", number);
    article.id = `turn-${turn}`;
    article.setAttribute("aria-label", label);
    article.setAttribute("aria-busy", "true");
    Object.assign(article.dataset, { turn, number, status: "queued" });
    copy.querySelector(".after").id = `after-${number}`;
    const user = article.querySelector(".user");
    if (prompt === undefined) this.#fetchPrompt(turn, user);
    else this.#showPrompt(user, prompt);
    // A turn that is tried again takes the place of the old one; what followed it is on another branch now.
    for (const old of this.root.querySelectorAll(".turn")) {
      if (Number(old.dataset.number) < number) continue;
      document.getElementById(`after-${old.dataset.number}`)?.remove();
      old.remove();
    }
    this.stretch.room(1);
    this.root.append(copy);
    this.main.classList.remove("first");
    document.getElementById("title").classList.remove("vh");
    return article;
  }

  snapshot(frame) {
    const article = this.begin(frame.turn, frame.number);
    if (!article.querySelector(".tail")) return;
    const note = this.#restarted.has(frame.turn) ? this.main.dataset.sayRestarted : "";
    this.#live = new Live(article, frame.turn, frame.epoch, note);
    this.#live.snapshot(frame);
    if (!frame.text) this.#live.say(note || this.main.dataset.sayWaiting);
  }

  // The next attempt begins; what the last one said stays until it has something to say.
  reset({ turn }) {
    this.#restarted.add(turn);
    this.status(turn, this.main.dataset.sayRestarted);
  }

  // A turn that began elsewhere and of which nothing is here yet.
  async adopt(turn) {
    const page = await this.#get(`${this.base}${turn}/`);
    const found = page?.querySelector(".turn");
    if (found && !this.article(turn)) this.begin(turn, Number(found.dataset.number), this.#promptOf(page));
  }

  // False when a frame is missing: the page must say hello again.
  delta(frame) {
    return this.#settled(frame.turn) || (this.#live?.turn === frame.turn && this.#live.delta(frame));
  }

  block(frame) {
    return this.#settled(frame.turn) || (this.#live?.turn === frame.turn && this.#live.block(frame));
  }

  status(turn, text) {
    if (this.#live?.turn === turn) return this.#live.say(text);
    const phase = this.article(turn)?.querySelector(".phase");
    if (phase) phase.textContent = text;
  }

  // Thinking has ended, after so many milliseconds; the line stands where the stored turn has it.
  thought(turn, since) {
    const line = this.article(turn)?.querySelector("p.thought");
    if (!line) return;
    line.textContent = this.main.dataset.sayThought.replace("{seconds}", Math.max(1, Math.round(since / 1000)));
    line.hidden = false;
  }

  // What is stored of the turn is put around what was written live; its notices and the gauge come with it.
  async settle(turn) {
    if (this.#live?.turn === turn) this.#live = null;
    this.#restarted.delete(turn);
    const article = this.article(turn);
    if (!article) return;
    // Each turn is the source of its own request: htmx lets requests of one source wait for, or replace, each other.
    try {
      await htmx.ajax("GET", `${this.base}${turn}/`, { source: article, target: article, swap: "merge" });
    } catch {
      // Not reached: it is waited for as before, and what answers the next hello says once more how it ended.
    }
  }

  // The path from number `first` on is another one, or, without a number, nobody knows what is missing here.
  async renew(first) {
    const page = await this.#get(`${this.base}rest/${first ? `?from=${first}` : ""}`);
    if (!page) return;
    const held = this.scroll.hold();
    this.stretch.room(page.querySelectorAll(".turn").length);
    lay(this.root, page, first);
    this.stretch.watch();
    this.#forget();
    if (this.#live && !this.article(this.#live.turn)?.querySelector(".tail")) this.#live = null;
    htmx.process(this.root);
    settle(this.root);
    held();
    await this.refresh();
  }

  // What is said around the turns may have changed without any new turn: a compaction in the background. Nobody tells it
  // twice: what could not be fetched stays owed until the server is back.
  async refresh() {
    this.owed = false;
    try {
      await htmx.ajax("GET", `${this.base}around/`, { source: this.root, target: this.root, swap: "none" });
    } catch {
      this.owed = true;
    }
  }

  // Turns below `from` are not seen word for word any more, save for pinned ones and those that came back `again`.
  fade(from, again = []) {
    for (const turn of this.root.querySelectorAll(".turn")) {
      const number = Number(turn.dataset.number);
      const seen = number >= from || turn.matches(".pinned") || again.some(([a, b]) => a <= number && number <= b);
      turn.classList.toggle("past", !seen);
    }
  }

  get #last() {
    return this.stretch.turns[this.stretch.turns.length - 1];
  }

  // Turns far from the reader go. Of the newest is kept what else must be asked for.
  #leaving(turns) {
    const last = this.#last;
    if (this.short || !turns.includes(last)) return;
    const { number, status } = last.dataset;
    this.#left = { number, status };
    this.#away = this.running;
    this.#live = null;
  }

  // What is on the page needs no note beside it.
  #forget() {
    if (this.short) return;
    this.#left = null;
    this.#away = 0;
  }

  // It stands here as it is stored: what comes of it is older.
  #settled(turn) {
    const article = this.article(turn);
    return Boolean(article) && !article.querySelector(".tail");
  }

  #showPrompt(user, prompt) {
    user.textContent = prompt;
    user.classList.toggle("continues", prompt === this.main.dataset.sayContinued);
    user.hidden = false;
  }

  // The reply of a turn from elsewhere may come first; so may that of our own, before its message is acknowledged.
  async #fetchPrompt(turn, user) {
    user.hidden = true;
    const page = await this.#get(`${this.base}${turn}/`);
    if (page) this.#showPrompt(user, this.#promptOf(page));
  }

  #promptOf(page) {
    return page.querySelector(".user")?.textContent ?? "";
  }

  async #get(url) {
    try {
      const answer = await fetch(url, { headers: { "HX-Request": "true" } });
      return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    } catch {
      return null;
    }
  }
}
