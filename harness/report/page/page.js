// Everything on the page can be read without this script.
for (const b of document.querySelectorAll("button[data-copy]")) {
  b.addEventListener("click", () => {
    navigator.clipboard.writeText(b.previousElementSibling.textContent).then(() => {
      const was = b.textContent; b.textContent = "copied"; setTimeout(() => { b.textContent = was }, 1500);
    }, () => getSelection().selectAllChildren(b.previousElementSibling));
  });
}
for (const b of document.querySelectorAll("button[data-filter]")) {
  b.hidden = false;
  b.addEventListener("click", () => {
    const on = document.getElementById(b.dataset.filter).classList.toggle("only-trouble");
    b.textContent = on ? "show all rows" : "only rows that need a look"; b.setAttribute("aria-pressed", on);
  });
}
const log = document.getElementById("log");
if (log) {
  const kinds = log.querySelector(".kinds"), text = kinds.querySelector("[data-search]"), rows = [...log.querySelectorAll("tbody tr")];
  kinds.hidden = false;
  kinds.addEventListener("input", () => {
    const off = new Set([...kinds.querySelectorAll("[data-kind]:not(:checked)")].map((c) => c.dataset.kind)), want = text.value.toLowerCase();
    for (const r of rows) r.hidden = off.has(r.dataset.kind) || !r.textContent.toLowerCase().includes(want);
  });
}
// A link to something folded opens it.
const open = () => { for (let e = location.hash && document.getElementById(location.hash.slice(1)); e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true };
addEventListener("hashchange", open); open();
