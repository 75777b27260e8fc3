// Everything on the page can be read without this script.
for (const b of document.querySelectorAll("button[data-copy]")) {
  b.hidden = false;
  b.addEventListener("click", () => {
    navigator.clipboard.writeText(b.previousElementSibling.textContent).then(() => {
      const was = b.textContent; b.textContent = "copied"; setTimeout(() => { b.textContent = was }, 1500);
    }, () => getSelection().selectAllChildren(b.previousElementSibling));
  });
}
// Values under the pointer, the same moment on all charts.
const digits = (x) => {
  const a = Math.abs(x);
  if (a === 0) return "0";
  if (a < 0.001) return x.toPrecision(2);
  const places = a < 0.0995 ? 3 : a < 9.995 ? 2 : a < 99.95 ? 1 : 0;
  return places ? x.toFixed(places).replace(/\.?0+$/, "") : x.toFixed(0);
};
const scaled = (x, units) => { for (const [size, name] of units) if (Math.abs(x) >= size * 0.9995) return digits(x / size) + name; return null };
const short = (x) => scaled(x, [[1e12, " T"], [1e9, " G"], [1e6, " M"]]) ?? (Math.abs(x) >= 9995 ? digits(x / 1e3) + " k" : Number.isInteger(x) ? x.toLocaleString("en") : digits(x));
const seconds = (x) => x === 0 ? "0" : x < 0.9995e-3 ? digits(x * 1e6) + " µs" : x < 0.9995 ? digits(x * 1e3) + " ms" : x < 100 ? digits(x) + " s" : Math.floor(x / 60) + " m " + String(Math.round(x % 60)).padStart(2, "0") + " s";
const write = {
  "": short, "cores": short, "/s": (x) => short(x) + "/s", "s": seconds,
  "B/s": (x) => (scaled(x, [[1e12, " TB"], [1e9, " GB"], [1e6, " MB"], [1e3, " kB"]]) ?? digits(x) + " B") + "/s",
  "B": (x) => scaled(x, [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]]) ?? digits(x) + " B",
};
const clock = (t) => {
  t = Math.floor(t);
  const h = Math.floor(t / 3600), m = Math.floor(t % 3600 / 60), s = String(t % 60).padStart(2, "0");
  return h ? h + ":" + String(m).padStart(2, "0") + ":" + s : m + ":" + s;
};
const charts = [...document.querySelectorAll(".chart")].map((card) => {
  const plot = card.querySelector(".plot"), values = [...card.querySelectorAll(".keys b")];
  return { plot, values, rest: values.map((b) => b.textContent), when: card.querySelector(".when"), cursor: plot.querySelector(".cursor"), data: JSON.parse(plot.querySelector("script").textContent) };
});
const nearest = (list, x) => {
  let low = 0, high = list.length - 1;
  while (low < high) { const mid = (low + high) >> 1; if (list[mid] < x) low = mid + 1; else high = mid }
  return low > 0 && x - list[low - 1] < list[low] - x ? low - 1 : low;
};
const point = (x, ranks) => {
  for (const c of charts) {
    const mine = Boolean(c.data.ranks) === ranks && x !== null && c.data.x.length > 0;
    c.cursor.hidden = !mine;
    if (!mine) { c.values.forEach((b, i) => { b.textContent = c.rest[i] }); c.when.textContent = ""; continue }
    const i = nearest(c.data.x, x);
    c.cursor.style.left = 100 * c.data.x[i] / c.data.end + "%";
    c.when.textContent = ranks ? "p" + digits(100 * (1 - 10 ** -x)) : clock(c.data.x[i]);
    c.data.lines.forEach((l, k) => {
      const v = l.y[i], high = l.h?.[i];
      c.values[k].textContent = v === null ? "–" : write[c.data.unit](v) + (high > v * 1.005 ? " ≤ " + write[c.data.unit](high) : "");
    });
  }
};
for (const c of charts) {
  const show = (e) => { const r = c.plot.getBoundingClientRect(); point(Math.max(0, Math.min(1, (e.clientX - r.left) / r.width)) * c.data.end, Boolean(c.data.ranks)) };
  c.plot.addEventListener("pointermove", show);
  c.plot.addEventListener("pointerdown", show);
  c.plot.addEventListener("pointerleave", () => point(null, false));
}
