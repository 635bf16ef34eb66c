// A choice in the filter is made when it is changed; without script there is the button. What is empty stays out of the
// address.

const form = document.querySelector("form[data-filters]");
const folded = document.getElementById("filters");

form?.addEventListener("submit", () => {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
});
form?.addEventListener("change", () => form.requestSubmit());

// On a wide page the filters are always in sight; on a phone they fold into one pick.
const wide = matchMedia("(min-width: 60.0625rem)");
const unfold = () => {
  if (folded) folded.open = wide.matches;
};
wide.addEventListener("change", unfold);
unfold();
