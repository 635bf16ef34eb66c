// Dialogs that are opened by a link: `<a data-dialog="id" href=…>`. What they hold is fetched by htmx; a browser
// without script follows the link to a page instead.

export const dialogs = () => {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (!dialog) return;
    event.preventDefault();
    // A menu that holds the opener closes under the dialog: focus goes back to what opened the menu.
    const menu = opener.closest("[popover]");
    const back = (menu && document.querySelector(`[popovertarget="${menu.id}"]`)) ?? opener;
    menu?.hidePopover();
    dialog.addEventListener("close", () => back.focus(), { once: true });
    dialog.showModal();
  });
  // A click beside the box closes it.
  document.addEventListener("click", (event) => event.target.matches?.("dialog.sheet[open]") && event.target.close());
};
