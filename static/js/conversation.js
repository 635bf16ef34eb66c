// One conversation on the page: which frame goes where, and what a message does on its way.

import { Composer } from "./composer.js";
import { Socket } from "./socket.js";
import { Transcript } from "./transcript.js";

const OFFLINE_AFTER_MS = 2_000;
const STILL_TRYING_MS = 3_000;
const POST_AGAIN_MS = 5_000;
const ADOPT_AFTER_MS = 400;
const ASK_PAUSE_MS = 1_000;
const RELOAD_PAUSE_MS = 5_000;

export const converse = ({ main, form, scroll, post }) => {
  const say = main.dataset;
  const transcript = new Transcript(main, scroll);
  const offline = document.getElementById("offline");
  let offlineTimer = 0;
  let statusTimer = 0;
  let asked = -Infinity;

  const accepted = (frame) => {
    const sent = composer.accepted(frame);
    if (!sent) return;
    const ours = { new: sent.text, continue: say.sayContinued };
    const prompt = ours[sent.op] ?? transcript.article(sent.of)?.querySelector(".user").textContent;
    transcript.begin(frame.turn, frame.number, prompt);
    if (!transcript.live) transcript.status(frame.turn, say.sayQueued);
    scroll.toEnd();
    composer.busy(Boolean(transcript.running));
    // It may have been answered already, while this page was away.
    if (frame.duplicate) socket.hello();
  };

  const rejected = (frame) => {
    composer.rejected(frame);
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
    stop: () => {
      const turn = Number(transcript.running?.dataset.turn);
      if (!turn) return;
      transcript.status(turn, say.sayStopping);
      if (!socket.send({ type: "stop", turn })) post(`${say.turns}${turn}/stop/`, {});
    },
  });

  const finished = (frame) => {
    clearTimeout(statusTimer);
    transcript.settle(frame.turn);
  };
  document.addEventListener("htmx:afterSettle", () => composer.busy(Boolean(transcript.running)));

  // The page lacks more than a reply: turns of another device, or another branch. Never twice in a row, whatever it is.
  const reload = () => {
    const last = Number(sessionStorage.getItem("reloaded") ?? 0);
    if (Date.now() - last < RELOAD_PAUSE_MS) return;
    sessionStorage.setItem("reloaded", Date.now());
    location.reload();
  };

  const status = (turn, phase, since) => {
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
    transcript.status(turn, say[`say${phase[0].toUpperCase()}${phase.slice(1)}`] ?? "");
  };

  // A frame that does not fit: the rest is asked for. The next one asks again, if need be.
  const missing = () => {
    if (performance.now() - asked < ASK_PAUSE_MS) return;
    asked = performance.now();
    socket.hello();
  };

  const frames = {
    welcome: (frame) => {
      if (frame.turn && frame.turn !== transcript.newest) {
        if (frame.head !== transcript.head + 1) return reload();
        transcript.begin(frame.turn, frame.head);
        // Answered already: told of the turn, the server says how it ended.
        if (!frame.live) socket.hello();
      }
      composer.busy(Boolean(frame.live ?? transcript.running));
      composer.again();
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
    notice: () => transcript.refresh(),
    done: finished,
    gone: () => end("gone"),
    error: (frame) => frame.code === "unavailable" && composer.tell(say.sayNot_stopped),
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
    frame: (frame) => frames[frame.type]?.(frame),
    up: () => {
      clearTimeout(offlineTimer);
      offlineTimer = 0;
      offline.hidden = true;
    },
    down: (reason) => {
      if (reason !== "lost") return end(reason);
      offlineTimer ||= setTimeout(() => (offline.hidden = false), OFFLINE_AFTER_MS);
    },
  });
  document.getElementById("reconnect").addEventListener("click", () => socket.now());
  for (const button of document.querySelectorAll(".reload")) button.addEventListener("click", () => location.reload());

  document.addEventListener("submit", (event) => {
    const { op } = event.target.dataset;
    if (!op) return;
    event.preventDefault();
    if (composer.pending || transcript.running) return;
    composer.send({ op, of: Number(event.target.elements.of.value) });
  });
  document.addEventListener("seen-from", (event) => transcript.fade(event.detail.value));
  return composer;
};
