"use strict";
// The search: every word must occur in a figure's section, title, caption or extra words, or in a table's row.
const field = document.getElementById("search");
const items = [...document.querySelectorAll("figure, #tables tbody tr")].map((node) => ({
  node,
  text: [node.closest("section").querySelector("h2").textContent, node.closest("details")?.querySelector("summary").textContent || "",
    node.textContent, node.dataset.words || ""].join(" ").toLowerCase(),
}));
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { node, text } of items) {
    node.hidden = !words.every((word) => text.includes(word));
    shown += node.hidden ? 0 : 1;
  }
  for (const box of document.querySelectorAll("details")) {
    const any = box.querySelector("tbody tr:not([hidden])") !== null;
    box.hidden = !any;
    if (words.length && any) box.open = true;
  }
  for (const section of document.querySelectorAll("section.pictures")) section.hidden = !section.querySelector("figure:not([hidden])");
  document.querySelector("section.clip").hidden = words.length > 0;
  document.getElementById("found").textContent = words.length ? `${shown} of ${items.length} pictures and table rows` : "";
});
