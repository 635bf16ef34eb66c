// What answers was chosen: the panel closes, and focus goes back to its button. Before there is a conversation, the
// choice is kept beside the message box and goes along with whatever begins one.

const kept = () => document.querySelectorAll("#model-name input");

export const chosen = () => Object.fromEntries([...kept()].map(({ name, value }) => [name, value]));

export const choosing = (form) => {
  document.addEventListener("chosen", () => {
    document.getElementById("choices")?.hidePopover();
    document.querySelector('[popovertarget="choices"]')?.focus({ preventScroll: true });
  });
  // "New chat" and "Temporary chat" are forms of their own.
  document.addEventListener("formdata", ({ target, formData }) => {
    if (target === form || target.action !== form.action) return;
    for (const { name, value } of kept()) formData.set(name, value);
  });
};
