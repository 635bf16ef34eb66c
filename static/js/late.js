// Answers that come late: the part in which their button stood has been replaced meanwhile, by another answer or by what
// was pushed. htmx looks for the places of an answer from the button on, and tells its events there, so that all of it
// would go nowhere: what was done would not be seen. So the button comes back for that moment, empty and out of sight,
// and the answer goes to the part that stands there now.

export const late = () =>
  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    const { elt, xhr } = detail;
    xhr.addEventListener("readystatechange", () => {
      if (xhr.readyState !== XMLHttpRequest.DONE || elt.isConnected) return;
      const room = document.createElement("div");
      room.hidden = true;
      elt.removeAttribute("id");
      elt.replaceChildren();
      room.append(elt);
      document.body.append(room);
      if (!detail.target.isConnected) detail.target = document.getElementById(detail.target.id) ?? elt;
      xhr.addEventListener("loadend", () => room.remove());
    });
  });
