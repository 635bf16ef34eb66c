// What answers was chosen: the panel closes, and focus goes back to its button.

export const choosing = () => {
  document.addEventListener("chosen", () => {
    document.getElementById("choices")?.hidePopover();
    document.querySelector('[popovertarget="choices"]')?.focus({ preventScroll: true });
  });
};
