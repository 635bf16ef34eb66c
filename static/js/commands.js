// Commands: "/" at the start of a message opens a list of what can be done. A command is never sent and leaves nothing
// in the transcript; what is none is sent as it is written. The list stands in the sheet of shortcuts, once.

import { announce } from "./announcing.js";
import { compactNow } from "./deciding.js";

const TYPING = /^\/([a-z]*)$/;
const WHOLE = /^\/([a-z]+)(?:[ \t]+(\S[^\n]*))?$/;
// Only these take words behind their name; of the others such a line is a message.
const WITH_WORDS = ["compact", "rename", "search"];

const known = () =>
  [...document.querySelectorAll("#shortcuts dd[data-command]")].map((place) => ({
    name: place.dataset.command,
    label: place.previousElementSibling.textContent,
  }));

export const commands = ({ form, composer, shortcuts }) => {
  const box = form.elements.text;
  const list = document.getElementById("commands");
  const all = known();
  const say = list.dataset;
  let at = -1;

  const shown = () => [...list.children];
  const close = () => {
    list.hidden = true;
    list.replaceChildren();
    at = -1;
    box.removeAttribute("aria-activedescendant");
  };
  const mark = (to) => {
    at = (to + list.childElementCount) % list.childElementCount;
    shown().forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
    box.setAttribute("aria-activedescendant", shown()[at].id);
    shown()[at].scrollIntoView({ block: "nearest" });
  };
  const option = ({ name, label }) => {
    const row = document.createElement("div");
    row.id = `command-${name}`;
    row.dataset.name = name;
    row.setAttribute("role", "option");
    const code = document.createElement("code");
    code.textContent = `/${name}`;
    const what = document.createElement("span");
    what.textContent = label;
    row.append(code, what);
    return row;
  };

  const tell = (text) => {
    composer.tell(text);
    form.querySelector("#said use")?.setAttribute("href", "#i-info");
  };

  const doing = {
    compact: compactNow,
    pin: () => {
      const pin = [...document.querySelectorAll('#transcript [id^="pin-"]')].at(-1);
      if (!pin || pin.getAttribute("aria-pressed") === "true") return tell(pin ? say.pinned : say.nothing);
      pin.form.requestSubmit(pin);
      announce(say.pins);
    },
    status: () => {
      const words = [...document.querySelectorAll("#context > h2, #context > h2 + p")].map((part) => part.textContent);
      tell(words.length ? words.join(". ") : say.uncounted);
    },
    export: () => document.querySelector("#options a[download]")?.click(),
    rename: (words) => {
      const field = document.getElementById("id_title");
      if (words) {
        field.value = words;
        return field.form.requestSubmit();
      }
      document.getElementById("options").showPopover();
      field.select();
    },
    new: () => shortcuts.do("new"),
    search: (words) => {
      shortcuts.do("search");
      const query = document.getElementById("query");
      if (!words || !query) return;
      query.value = words;
      query.dispatchEvent(new Event("input", { bubbles: true }));
    },
    help: () => shortcuts.do("help"),
  };

  const run = (name, words = "") => {
    close();
    composer.put("");
    doing[name](words);
  };

  form.addEventListener("composer:changed", ({ detail: { text } }) => {
    const begun = TYPING.exec(text);
    const fitting = begun ? all.filter(({ name }) => name.startsWith(begun[1])) : [];
    if (!fitting.length) return close();
    const fresh = list.hidden;
    list.replaceChildren(...fitting.map(option));
    list.hidden = false;
    mark(0);
    if (fresh) announce(say.open);
  });
  form.addEventListener("composer:submit", (event) => {
    const [, name, words] = WHOLE.exec(event.detail.text.trim()) ?? [];
    if (!all.some((one) => one.name === name) || (words && !WITH_WORDS.includes(name))) return;
    event.preventDefault();
    run(name, words);
  });
  // Before the message box takes the key: Enter would send, Escape would stop a reply.
  form.addEventListener(
    "keydown",
    (event) => {
      if (list.hidden || event.target !== box || event.isComposing) return;
      const keys = {
        ArrowDown: () => mark(at + 1),
        ArrowUp: () => mark(at - 1),
        Enter: () => run(shown()[at].dataset.name),
        Tab: () => composer.put(`/${shown()[at].dataset.name} `),
        Escape: close,
      };
      if (!keys[event.key] || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    },
    true,
  );
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) run(row.dataset.name);
  });
  box.addEventListener("blur", close);
  // A draft that a reload brought back.
  if (TYPING.test(box.value) && document.activeElement === box) composer.put(box.value);
};
