// Files beside the message box: chosen, dropped or pasted; sent one after the other, counted there, and taken along by
// the next message. A text that was pasted is counted too, and may become a file instead.

// No text has more tokens than this for each of its characters.
const MOST_TOKENS = 1.25;
const LINE_SHOWN_MS = 10_000;

export const attaching = ({ form, main, post }) => {
  const list = document.getElementById("chips");
  const say = list.dataset;
  const chooser = document.getElementById("files");
  const template = document.getElementById("upload-template");
  const pasted = document.getElementById("pasted");
  const said = document.getElementById("chips-said");
  const queue = document.getElementById("queue");
  const box = form.elements.text;
  // Tokens from which a text is worth a word, and characters from which it is worth counting.
  const large = Number(say.large);
  const long = large / MOST_TOKENS;
  const waiting = [];
  let current = null;
  let wanted = false;

  const announce = (text, name) => {
    said.textContent = text.replace("{name}", name);
    setTimeout(() => said.replaceChildren(), LINE_SHOWN_MS);
  };

  // --- what is there ---

  const ids = (chips) => chips.map((chip) => Number(chip.dataset.document)).filter(Boolean);
  const shown = () => [...list.children].filter((chip) => !chip.hidden);

  // What goes with a message that waits its turn is not offered to the next one; its line names it.
  const draw = () => {
    const taken = new Map();
    for (const line of queue?.querySelectorAll("[data-documents]") ?? []) {
      for (const id of line.dataset.documents.split(",")) taken.set(id, line);
    }
    for (const chip of list.children) {
      const line = taken.get(chip.dataset.document);
      chip.hidden = Boolean(line);
      if (!line || line.querySelector(`[data-with="${chip.dataset.document}"]`)) continue;
      const name = document.createElement("small");
      name.className = "with";
      name.dataset.with = chip.dataset.document;
      name.textContent = chip.querySelector(".name").textContent;
      line.querySelector(".words").after(name);
    }
  };

  const refuse = (chip, text) => {
    chip.classList.add("refused");
    chip.querySelector("use").setAttribute("href", "#i-warn");
    const why = document.createElement("span");
    why.className = "why";
    why.textContent = text;
    chip.querySelector("progress")?.replaceWith(why);
    announce(say.sayRefused, chip.querySelector(".name").textContent);
  };

  // The size rounded up and the limit down: rounded alike, both could read the same.
  const tooLarge = (bytes) => {
    const format = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: 1 });
    const mega = (value, round) => `${format.format(round((value * 10) / 1024 ** 2) / 10)} MB`;
    const limit = mega(Number(say.limit), Math.floor);
    return say.sayToo_large.replace("{size}", mega(bytes, Math.ceil)).replace("{limit}", limit);
  };

  // --- sending files ---

  const transmit = (one) =>
    new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const body = new FormData();
      const progress = one.chip.querySelector("progress");
      body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      body.append("files", one.file, one.file.name);
      request.open("POST", say.attach);
      request.setRequestHeader("HX-Request", "true");
      request.upload.onprogress = (event) => {
        if (event.loaded < event.total) progress.value = event.loaded / event.total;
        // All of it is there; how long reading takes nobody knows.
        else progress.removeAttribute("value");
      };
      request.onloadend = () => resolve(request.responseText);
      one.cancel = () => request.abort();
      request.send(body);
    });

  const put = (one, html) => {
    const answer = new DOMParser().parseFromString(html, "text/html").querySelector("ul[data-attach]");
    const chip = answer?.firstElementChild;
    if (!one.chip.isConnected) return;
    if (!chip) {
      wanted = false;
      return refuse(one.chip, say.sayFailed);
    }
    say.attach = answer.dataset.attach;
    one.chip.replaceWith(document.importNode(chip, true));
    const name = chip.querySelector(".name").textContent;
    if (chip.dataset.document) {
      announce(say.sayAttached, name);
      one.done?.();
    } else {
      wanted = false;
      announce(say.sayRefused, `${name}. ${chip.querySelector(".why").textContent}`);
    }
  };

  const next = async () => {
    if (current) return;
    current = waiting.shift();
    if (!current) {
      if (wanted) form.requestSubmit();
      wanted = false;
      return;
    }
    const html = await transmit(current);
    put(current, html);
    current = null;
    next();
  };

  const add = (files, done) => {
    for (const file of files) {
      const chip = template.content.cloneNode(true).firstElementChild;
      chip.querySelector(".name").textContent = file.name;
      list.append(chip);
      if (file.size > Number(say.limit)) {
        refuse(chip, tooLarge(file.size));
      } else {
        waiting.push({ file, chip, done });
      }
    }
    next();
  };

  const remove = async (chip, button) => {
    const name = chip.querySelector(".name").textContent;
    if (chip.dataset.document) {
      button.disabled = true;
      const answer = await post(button.formAction, {}, { "HX-Request": "true" }).catch(() => null);
      if (!answer?.ok && answer?.status !== 404) {
        button.disabled = false;
        return;
      }
    } else if (current?.chip === chip) {
      current.cancel();
    } else {
      const at = waiting.findIndex((one) => one.chip === chip);
      if (at >= 0) waiting.splice(at, 1);
    }
    chip.remove();
    announce(say.sayRemoved, name);
    box.focus();
  };

  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-detach]");
    if (!button) return;
    event.preventDefault();
    remove(button.closest("li"), button);
  });
  document.getElementById("attach").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    add([...chooser.files]);
    chooser.value = "";
    box.focus();
  });

  // --- dropping ---

  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const hover = (over) => main.classList.toggle("dropping", over);
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    hover(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || hover(false));
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    hover(false);
    add([...event.dataTransfer.files]);
  });

  // --- pasting ---

  const offer = async (text, over) => {
    const answer = await post(say.count, { text: over ? text : box.value }).catch(() => null);
    const counted = answer?.ok ? await answer.json() : { tokens: large, shown: "" };
    if (!over && counted.tokens < large) return;
    pasted.querySelector("span").textContent = (over ? say.sayPasted_over : say.sayPasted).replace(
      "{tokens}",
      counted.shown,
    );
    pasted.querySelector("button").onclick = () => {
      const file = new File([text], `${say.sayPasted_name}.txt`, { type: "text/plain" });
      pasted.hidden = true;
      add([file], () => {
        // Only now that it is kept does it leave the box.
        box.value = box.value.replace(text, () => "");
        box.dispatchEvent(new Event("input", { bubbles: true }));
      });
      box.focus();
    };
    pasted.hidden = false;
  };

  box.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text/plain").replace(/\r\n?/g, "\n");
    if (!text && event.clipboardData.files.length) {
      event.preventDefault();
      return add([...event.clipboardData.files]);
    }
    if (text.length < long) return;
    // A text box cuts what is too long for it without a word.
    const over = box.value.length - (box.selectionEnd - box.selectionStart) + text.length > box.maxLength;
    if (over) event.preventDefault();
    // The browser puts the rest in only after this.
    setTimeout(() => offer(text, over));
  });

  // --- with the message ---

  form.addEventListener("composer:submit", (event) => {
    if (current || waiting.length) {
      wanted = true;
      return event.preventDefault();
    }
    const documents = ids(shown());
    if (documents.length) event.detail.fields.documents = documents;
  });
  form.addEventListener("composer:changed", () => {
    if (box.value.length < long) pasted.hidden = true;
    queueMicrotask(draw);
  });
  // The turn is drawn right after this.
  const stand = (turn, under) =>
    queueMicrotask(() => document.getElementById(`turn-${turn}`)?.querySelector(".user")?.after(under));

  form.addEventListener("composer:accepted", ({ detail: { turn, message } }) => {
    // Another version of a message has what was attached to it.
    const old = document.getElementById(`turn-${message.of}`)?.querySelector(".attached");
    if (message.op !== "new") return message.op !== "continue" && old && stand(turn, old.cloneNode(true));
    const gone = new Set((message.documents ?? []).map(String));
    const chips = [...list.children].filter((chip) => gone.has(chip.dataset.document));
    for (const chip of list.querySelectorAll(".refused")) chip.remove();
    for (const chip of chips) chip.remove();
    if (!chips.length) return;
    const under = document.createElement("ul");
    under.className = "chips attached";
    under.setAttribute("aria-label", say.sayList);
    for (const chip of chips) {
      for (const own of chip.querySelectorAll("input, button")) own.remove();
      chip.hidden = false;
      under.append(chip);
    }
    stand(turn, under);
  });
  if (queue) new MutationObserver(draw).observe(queue, { childList: true, subtree: true });
  draw();
};
