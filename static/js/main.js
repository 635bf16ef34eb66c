// Puts the page together.

import { attaching } from "./attachments.js";
import { choosing, chosen } from "./choosing.js";
import { commands } from "./commands.js";
import { Composer } from "./composer.js";
import { condition } from "./condition.js";
import { converse } from "./conversation.js";
import { copying } from "./copying.js";
import { deciding } from "./deciding.js";
import { dialogs } from "./dialogs.js";
import { drafting } from "./draft.js";
import { late } from "./late.js";
import { menus } from "./menus.js";
import { modelView } from "./model-view.js";
import { popovers } from "./popovers.js";
import { rows } from "./rows.js";
import { Scroll } from "./scroll.js";
import { search } from "./search.js";
import { settle } from "./settling.js";
import { shortcuts } from "./shortcuts.js";
import { states } from "./states.js";

const POST_AGAIN_MS = 5_000;

const main = document.getElementById("main");
const say = main.dataset;
const form = document.getElementById("composer");
const scroll = new Scroll(
  document.getElementById("scroll"),
  document.getElementById("transcript"),
  document.getElementById("jump"),
);

const post = (url, fields, headers) => {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) body.set(name, value);
  return fetch(url, { method: "POST", body, headers: { Accept: "application/json", ...headers } });
};

// --- the first message ----------------------------------------------------------------------------------------

const welcome = () => {
  const composer = new Composer(form, {
    name: "new",
    send: async (message) => {
      try {
        const answer = await post(form.action, message);
        const body = await answer.json();
        if (!answer.ok) {
          composer.rejected({ code: "failed", ...body, client_id: message.client_id });
          return body.text && composer.tell(body.text);
        }
        composer.accepted(message);
        location.assign(body.url);
      } catch (error) {
        // An answer in no words of ours.
        if (error instanceof SyntaxError) return composer.rejected({ client_id: message.client_id, code: "failed" });
        // Not known whether it arrived, or the page goes away: it stays pending, and is sent again with the same id.
        composer.tell(say.saySending);
        setTimeout(() => composer.again(), POST_AGAIN_MS);
      }
    },
    stop: () => {},
  });
  // What was chosen is kept with the message: the page that sends it again knows nothing of it.
  form.addEventListener("composer:submit", ({ detail }) => Object.assign(detail.fields, chosen()));
  // Left by a page that went away before it had an answer. It is stored once, however often it is sent.
  composer.again();
  return composer;
};

// --- all pages ------------------------------------------------------------------------------------------------

scroll.start();
popovers();
rows();
search({ scroll });
states();
menus({ post, main });
dialogs();
modelView({ scroll });
late();
const said = document.createElement("p");
said.className = "vh";
said.setAttribute("role", "status");
said.dataset.copied = say.sayCopied;
document.body.append(said);
copying(said);
settle(document);

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.cookie = `zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;

const composer = say.session ? converse({ main, form, scroll, post }) : welcome();
attaching({ form, main, post });
deciding({ main, composer, scroll });
drafting(form);
condition();
choosing(form);
commands({ form, composer, shortcuts: shortcuts({ form }) });
for (const part of [main, main.closest(".app")]) part.classList.add("ready");

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
