// Copy: a message, a reply as it was written (markdown), one block of code, or what stands in a field.

const SHOWN_MS = 1500;

export const write = async (text) => {
  try {
    return await navigator.clipboard.writeText(text);
  } catch {
    // Plain http on another machine's name has no clipboard, and a browser may refuse it: the old way asks nobody.
  }
  const box = document.createElement("textarea");
  box.value = text;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
};

const kinds = {
  message: (button) => button.closest(".asked").querySelector(".user").textContent,
  reply: (button) => button.closest(".turn").querySelector("template.source").content.textContent,
  code: (button) => button.closest("figure").querySelector("pre").textContent,
  field: (button) => document.getElementById(button.dataset.of).value,
};

export const copying = (said) => {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    await write(kinds[button.dataset.copy](button));
    const use = button.querySelector("use");
    use.setAttribute("href", "#i-done");
    said.textContent = said.dataset.copied;
    setTimeout(() => {
      use.setAttribute("href", "#i-copy");
      said.textContent = "";
    }, SHOWN_MS);
  });
};
