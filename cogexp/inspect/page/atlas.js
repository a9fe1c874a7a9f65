"use strict";
// The search: what stands in a figure's section, title, caption or extra words, or in a table's row, in this order if
// anywhere, else all the words in any order. Punctuation does not count.
const plain = (text) => ` ${text.toLowerCase().replace(/[^\p{L}\p{N}.%]+/gu, " ").trim()} `;
const field = document.getElementById("search");
const items = [...document.querySelectorAll("figure, #tables tbody tr")].map((node) => ({
  node,
  text: plain([node.closest("section").querySelector("h2").textContent, node.closest("details")?.querySelector("summary").textContent || "",
    node.textContent, node.dataset.words || ""].join(" ")),
}));
field.addEventListener("input", () => {
  const phrase = plain(field.value), words = phrase.split(" ").filter(Boolean);
  const found = [` ${words.join(" ")} `, ` ${words.join(" ")}`].find((one) => items.some(({ text }) => text.includes(one)));
  let shown = 0;
  for (const { node, text } of items) {
    node.hidden = found ? !text.includes(found) : !words.every((word) => text.includes(word));
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
