// One conversation on the page: which frame goes where, and what a message does on its way.

import { announce, announceReply } from "./announcing.js";
import { Composer } from "./composer.js";
import { Editing } from "./editing.js";
import { Socket } from "./socket.js";
import { Transcript } from "./transcript.js";
import { Waiting } from "./waiting.js";

// What takes so long that who only listens must know of it.
const SPOKEN = ["retrying", "compacting"];
// After these the page looks at once what is wrong with the service (condition.js).
const TROUBLE = ["unavailable", "storage"];
const OFFLINE_AFTER_MS = 2_000;
const STILL_TRYING_MS = 3_000;
const POST_AGAIN_MS = 5_000;
const ADOPT_AFTER_MS = 400;
const ASK_PAUSE_MS = 1_000;

export const converse = ({ main, form, scroll, post }) => {
  const say = main.dataset;
  const transcript = new Transcript(main, scroll, () => came());
  const offline = document.getElementById("offline");
  let offlineTimer = 0;
  let statusTimer = 0;
  let asked = -Infinity;

  const accepted = async (frame) => {
    const sent = composer.accepted(frame);
    if (!sent) return;
    const ours = { new: sent.text, edit: sent.text, continue: say.sayContinued };
    const prompt = ours[sent.op] ?? transcript.article(sent.of)?.querySelector(".user").textContent;
    editing.accepted(sent.of);
    if (transcript.short) await newest();
    transcript.begin(frame.turn, frame.number, prompt);
    if (!transcript.live) transcript.status(frame.turn, say.sayQueued);
    scroll.toEnd();
    composer.busy(Boolean(transcript.running));
    // It may have been answered already, while this page was away.
    if (frame.duplicate) socket.hello();
  };

  const rejected = (frame) => {
    const refused = composer.rejected(frame);
    if (refused) editing.lock(refused.of, false);
    if (TROUBLE.includes(frame.code)) document.dispatchEvent(new Event("trouble"));
    if (frame.code === "busy") socket.hello();
  };

  const byPost = async (message) => {
    try {
      const answer = await post(say.turns, message);
      const frame = { client_id: message.client_id, ...(await answer.json()) };
      if (answer.ok) accepted(frame);
      else rejected({ code: "failed", ...frame });
    } catch {
      // Not known whether it arrived: it stays pending, and is sent again with the same id.
      composer.tell(say.saySending);
      setTimeout(() => composer.again(), POST_AGAIN_MS);
    }
  };

  const large = (text) => new TextEncoder().encode(text).length > Number(say.textLimit);

  const composer = new Composer(form, {
    name: say.session,
    send: (message) => {
      const frame = { type: "send", base: transcript.head, ...message };
      if (large(message.text ?? "") || !socket.send(frame)) byPost(message);
    },
    stop: () => stop(),
  });

  const stop = () => {
    const turn = transcript.running;
    if (!turn) return;
    transcript.status(turn, say.sayStopping);
    if (!socket.send({ type: "stop", turn })) post(`${say.turns}${turn}/stop/`, {});
  };

  composer.queue(new Waiting({ name: say.session, composer, stop, failed: () => transcript.failed }));

  // Another version of a turn, or this one again: one at a time, and not while a reply runs.
  const open = (message) => {
    if (transcript.running || composer.pending) return composer.tell(say.sayRunning);
    editing.lock(message.of, true);
    composer.send(message);
  };

  const editing = new Editing({ name: say.session, send: open });

  const finished = async (frame) => {
    clearTimeout(statusTimer);
    await transcript.settle(frame.turn);
    const article = transcript.article(frame.turn);
    if (article && !article.hasAttribute("aria-busy")) announceReply(article);
  };
  document.addEventListener("htmx:afterSettle", () => composer.busy(Boolean(transcript.running)));

  // Turns of another device, or another branch: one after the other, and nothing where the path ends as it should.
  let renewing = Promise.resolve();
  const renew = ({ first, turn }) =>
    (renewing = renewing.then(async () => {
      if (transcript.newest === turn) return;
      await transcript.renew(first);
      came();
      composer.busy(Boolean(transcript.running));
      if (transcript.running) socket.hello();
    }));

  // The newest turns take the place of older ones on the page; without an answer the page itself is asked for.
  const newest = async () => {
    await scroll.toward(() => transcript.renew());
    if (transcript.short) return location.assign(location.pathname);
    history.replaceState(null, "", location.pathname);
    came();
  };
  scroll.fetching(newest);

  const switchTo = async (form, button) => {
    if (transcript.running) return composer.tell(say.sayRunning);
    const { number } = form.closest(".turn").dataset;
    const { title } = button;
    try {
      const answer = await post(form.action, { to: button.value });
      const done = await answer.json();
      if (done.code === "busy") return composer.tell(say.sayRunning);
      if (!answer.ok) throw new Error(done.code);
      composer.tell("");
      await renew(done);
    } catch {
      return composer.tell(say.sayNot_done);
    }
    const now = transcript.root.querySelector(`.turn[data-number="${number}"] .siblings`);
    const [same, other] = [...(now?.querySelectorAll("button") ?? [])].sort((one) => (one.title === title ? -1 : 1));
    (same?.disabled ? other : same)?.focus({ preventScroll: true });
    if (now) announce(`${say.sayVersion} ${now.querySelector(".num").textContent}`);
  };

  const status = (turn, phase, since) => {
    if (phase === "thought") return transcript.thought(turn, since);
    clearTimeout(statusTimer);
    if (phase === "retrying" && since < STILL_TRYING_MS) {
      // Most of it is over before anybody wonders.
      statusTimer = setTimeout(() => status(turn, phase, STILL_TRYING_MS), STILL_TRYING_MS - since);
      return;
    }
    if (!transcript.article(turn)) {
      // A message of another tab; one of this page is about to be acknowledged.
      setTimeout(() => transcript.article(turn) || transcript.adopt(turn), ADOPT_AFTER_MS);
      return;
    }
    composer.busy(Boolean(transcript.running));
    const text = say[`say${phase[0].toUpperCase()}${phase.slice(1)}`] ?? "";
    transcript.status(turn, text);
    if (SPOKEN.includes(phase)) announce(text);
  };

  // A frame that does not fit: the rest is asked for. The next one asks again, if need be.
  const missing = () => {
    if (performance.now() - asked < ASK_PAUSE_MS) return;
    asked = performance.now();
    socket.hello();
  };

  // A notice reaches who listens: one of the time before this socket, or between two, shows in the mark of the welcome.
  const missed = ({ around }) => {
    if (around && around !== document.getElementById("title").dataset.around) transcript.refresh();
  };

  const frames = {
    welcome: (frame) => {
      if (frame.turn && frame.turn !== transcript.newest) {
        if (frame.before !== transcript.newest) return renew(frame);
        transcript.begin(frame.turn, frame.head);
        // Answered already: told of the turn, the server says how it ended.
        if (!frame.live) socket.hello();
      }
      missed(frame);
      composer.again();
      composer.busy(Boolean(frame.live ?? transcript.running));
    },
    accepted,
    rejected,
    snapshot: (frame) => {
      clearTimeout(statusTimer);
      transcript.snapshot(frame);
      composer.busy(true);
    },
    delta: (frame) => {
      clearTimeout(statusTimer);
      if (!transcript.delta(frame)) missing();
    },
    block: (frame) => transcript.block(frame) || missing(),
    reset: (frame) => transcript.reset(frame),
    status: (frame) => status(frame.turn, frame.phase, frame.since_ms ?? 0),
    notice: ({ kind, range }) => {
      if (kind === "marked") {
        const numbers = [...transcript.root.querySelectorAll(".turn")].map((turn) => Number(turn.dataset.number));
        for (const number of numbers.filter((one) => range?.[0] <= one && one <= range[1])) {
          document.dispatchEvent(new CustomEvent("turn-changed", { detail: { number, elsewhere: true } }));
        }
      }
      return transcript.refresh();
    },
    branch: (frame) => renew(frame),
    done: finished,
    gone: () => end("gone"),
    error: (frame) => frame.code === "unavailable" && composer.tell(say.sayNot_stopped),
  };

  // On a page of older turns what is new belongs below others that are not here: it is asked for once they are.
  const runs = (turn) => {
    transcript.running = turn;
    composer.busy(Boolean(turn));
  };
  const apart = {
    welcome: (frame) => {
      transcript.head = frame.head;
      missed(frame);
      composer.again();
      runs(frame.live?.turn ?? 0);
    },
    accepted,
    rejected,
    status: (frame) => runs(frame.turn),
    notice: frames.notice,
    branch: (frame) => (frame.first > transcript.end ? (transcript.head = frame.head) : renew(frame)),
    done: () => runs(0),
    gone: frames.gone,
    error: frames.error,
  };

  let short = transcript.short;
  const came = () => {
    if (!document.querySelector(".turn .edit")) editing.resume();
    const before = short;
    short = transcript.short;
    if (before && !short) socket.hello();
  };

  // Nothing comes back from here: one sentence says why, and what to do. What was written stays in the box.
  const end = (reason) => {
    clearTimeout(offlineTimer);
    offline.hidden = true;
    document.getElementById(reason).hidden = false;
    composer.end();
  };

  const socket = new Socket(say.socket, {
    hello: () => ({ type: "hello", session: say.session, build: say.build, ...transcript.place }),
    frame: (frame) => (transcript.short ? apart : frames)[frame.type]?.(frame),
    up: () => {
      clearTimeout(offlineTimer);
      offlineTimer = 0;
      offline.hidden = true;
      if (transcript.owed) transcript.refresh();
    },
    down: (reason) => {
      if (reason !== "lost") return end(reason);
      offlineTimer ||= setTimeout(() => (offline.hidden = false), OFFLINE_AFTER_MS);
    },
  });
  // An answer may tell it before the socket does: what stands around the turns of a conversation is there while it is.
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const path = detail.pathInfo.requestPath;
    if (detail.xhr.status !== 404 || !path.startsWith(transcript.base)) return;
    detail.isError = false;
    if (path.endsWith("/around/")) end("gone");
    else transcript.refresh();
  });
  document.getElementById("reconnect").addEventListener("click", () => socket.now());
  for (const button of document.querySelectorAll(".reload")) button.addEventListener("click", () => location.reload());

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if ("switch" in form.dataset) {
      event.preventDefault();
      switchTo(form, event.submitter);
    } else if (["retry", "continue", "regenerate"].includes(form.dataset.op)) {
      event.preventDefault();
      open({ op: form.dataset.op, of: Number(form.elements.of.value) });
    }
  });
  // Without a bus between processes, a branch that was switched elsewhere is seen when somebody looks.
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && socket.hello());
  document.addEventListener("seen-from", (event) => transcript.fade(event.detail.value, event.detail.again));
  return composer;
};
