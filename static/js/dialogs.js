// Dialogs that are opened by a link: `<a data-dialog="id" href=…>`. What they hold is fetched by htmx; a browser
// without script follows the link to a page instead.

export const dialogs = () => {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (!dialog) return;
    event.preventDefault();
    // A menu that holds the opener closes under the dialog: focus goes back to what opened the menu. What was replaced
    // meanwhile is looked for again; where nothing like it is left, one goes on writing.
    const menu = opener.closest("[popover]");
    const buttonOf = ({ id }) => document.querySelector(`[popovertarget="${id}"]`);
    const same = () => (opener.isConnected ? opener : document.getElementById(opener.id));
    menu?.hidePopover();
    dialog.addEventListener(
      "close",
      () => ((menu && buttonOf(menu)) ?? same() ?? document.getElementById("message"))?.focus(),
      { once: true },
    );
    dialog.showModal();
  });
  // A click beside the box closes it.
  document.addEventListener("click", (event) => event.target.matches?.("dialog.sheet[open]") && event.target.close());
};
