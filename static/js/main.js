// Puts the page together: which frame goes where, and what a message does on its way.

import { Composer } from "./composer.js";
import { copying } from "./copying.js";
import { popovers } from "./popovers.js";
import { Scroll } from "./scroll.js";
import { settle } from "./settling.js";
import { Socket } from "./socket.js";
import { Transcript } from "./transcript.js";

const OFFLINE_AFTER_MS = 2000;

const main = document.getElementById("main");
const say = main.dataset;
const form = document.getElementById("composer");
const scroll = new Scroll(
  document.getElementById("scroll"),
  document.getElementById("transcript"),
  document.getElementById("jump"),
);

const post = (url, fields) => {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) body.set(name, value);
  return fetch(url, { method: "POST", body, headers: { Accept: "application/json" } });
};

// --- a conversation -------------------------------------------------------------------------------------------

const converse = () => {
  const transcript = new Transcript(main, scroll);
  const offline = document.getElementById("offline");
  let offlineTimer = 0;

  const accepted = (frame) => {
    const sent = composer.accepted(frame);
    if (!sent) return;
    const prompt = sent.op === "new" ? sent.text : transcript.article(sent.of)?.querySelector(".user").textContent;
    transcript.begin(frame.turn, frame.number, prompt);
    if (!transcript.live) transcript.status(frame.turn, say.sayQueued);
    scroll.toEnd();
    composer.busy(Boolean(transcript.running));
    if (frame.duplicate) socket.hello();
  };

  const rejected = (frame) => {
    composer.rejected(frame.client_id, frame.code);
    if (frame.code === "busy") socket.hello();
  };

  const byPost = async (message) => {
    try {
      const answer = await post(say.turns, message);
      const frame = await answer.json();
      if (answer.ok) accepted(frame);
      else rejected({ client_id: message.client_id, code: frame.code ?? "failed" });
    } catch {
      // Not known whether it arrived: it stays pending, and is sent again with the same id.
      composer.tell(say.sayFailed);
    }
  };

  const large = (text) => new TextEncoder().encode(text).length > Number(say.textLimit);

  const composer = new Composer(form, {
    name: say.session,
    send: (message) => {
      const frame = { type: "send", base: transcript.head, ...message };
      if (large(message.text ?? "") || !socket.send(frame)) byPost(message);
    },
    stop: () => {
      const turn = Number(transcript.running?.dataset.turn);
      if (!turn) return;
      transcript.status(turn, say.sayStopping);
      if (!socket.send({ type: "stop", turn })) post(`${say.turns}${turn}/stop/`, {});
    },
  });

  const finished = (frame) => transcript.settle(frame.turn);
  document.addEventListener("htmx:afterSettle", () => composer.busy(Boolean(transcript.running)));

  const frames = {
    welcome: (frame) => {
      const shown = transcript.running;
      // It ended while this page was away.
      if (shown && frame.live?.turn !== Number(shown.dataset.turn)) finished({ turn: Number(shown.dataset.turn) });
      else if (frame.head > transcript.head && !frame.live) location.reload();
      composer.busy(Boolean(frame.live ?? transcript.running));
      composer.again();
    },
    accepted,
    rejected,
    snapshot: (frame) => {
      transcript.snapshot(frame);
      composer.busy(true);
    },
    delta: (frame) => transcript.delta(frame) || socket.hello(),
    block: (frame) => transcript.block(frame),
    reset: (frame) => transcript.status(frame.turn, say.sayRestarted),
    status: (frame) => transcript.status(frame.turn, say[`say${frame.phase[0].toUpperCase()}${frame.phase.slice(1)}`] ?? ""),
    notice: () => transcript.refresh(),
    done: finished,
    gone: () => location.assign("/"),
  };

  const socket = new Socket(say.socket, {
    hello: () => {
      const { live } = transcript;
      const where = live ? { turn: live.turn, epoch: live.epoch, end: live.end } : {};
      return { type: "hello", session: say.session, build: say.build, ...where };
    },
    frame: (frame) => frames[frame.type]?.(frame),
    up: () => {
      clearTimeout(offlineTimer);
      offline.hidden = true;
    },
    down: (reason) => {
      if (reason === "signed-out") composer.tell(say.saySignedOut);
      else if (reason === "gone") location.assign("/");
      else if (reason === "version") location.reload();
      clearTimeout(offlineTimer);
      offlineTimer = setTimeout(() => (offline.hidden = false), OFFLINE_AFTER_MS);
    },
  });
  document.getElementById("reconnect").addEventListener("click", () => socket.now());

  document.addEventListener("submit", (event) => {
    const turn = event.target.dataset.retry;
    if (!turn) return;
    event.preventDefault();
    if (!composer.pending && !transcript.running) composer.send({ op: "retry", of: Number(turn) });
  });
  document.addEventListener("seen-from", (event) => transcript.fade(event.detail.value));
  return composer;
};

// --- the first message ----------------------------------------------------------------------------------------

const welcome = () => {
  const composer = new Composer(form, {
    name: "new",
    send: async (message) => {
      try {
        const answer = await post(form.action, message);
        const body = await answer.json();
        if (!answer.ok) return composer.rejected(message.client_id, body.code ?? "failed");
        composer.accepted(message);
        location.assign(body.url);
      } catch {
        composer.rejected(message.client_id, "failed");
      }
    },
    stop: () => {},
  });
  return composer;
};

// --- all pages ------------------------------------------------------------------------------------------------

scroll.start();
popovers();
const said = document.createElement("p");
said.className = "vh";
said.setAttribute("role", "status");
said.dataset.copied = say.sayCopied;
document.body.append(said);
copying(said);
settle(document);

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.cookie = `zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;

const composer = say.session ? converse() : welcome();
main.classList.add("ready");

let release = () => {};
document.addEventListener("htmx:beforeSwap", () => (release = scroll.hold()));
document.addEventListener("htmx:afterSettle", (event) => {
  settle(event.detail.elt);
  release();
});
// The first reply gives a conversation its title; the menu must not offer the old one.
document.addEventListener("htmx:oobAfterSwap", (event) => {
  const box = document.getElementById("id_title");
  if (event.detail.target.id === "title" && box && box !== document.activeElement) {
    box.value = document.getElementById("title").textContent;
    document.title = box.value;
  }
});
document.addEventListener("click", (event) => {
  const start = event.target.closest?.("[data-start]");
  if (start) composer.put(start.dataset.start);
});
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
