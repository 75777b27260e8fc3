// The live page: a client of the REST API like any other. What the API does not
// have is below /muster/.

const $ = (id) => document.getElementById(id);
const remembered = "muster-token";
const eventsMax = 200, linesMax = 200;
const refresh = 3000; // ms between looks at the list of devices

let token = sessionStorage.getItem(remembered);
let devices = new Map(); // by id: what the API and the page's own list tell
let chosen = null; // the id of the device that is shown
let session = null; // an AbortController: what ends at sign-out
let watching = null; // an AbortController of the device that is shown

// A refusal is an answer that is no success, with the words of the cloud.
class Refusal extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  let text = `${response.status} ${response.statusText}`;
  try {
    const body = await response.json();
    text = body.error_description || body.error || body.info || (body.errors || []).map((e) => e.error || e).join(", ") || text;
  } catch { /* not JSON: the status must do */ }
  throw new Refusal(response.status, text);
}

const json = async (path, options) => (await ask(path, options)).json();
const form = (fields) => ({ method: "POST", body: new URLSearchParams(fields) });

// events reads server-sent events until signal ends it, and comes again by itself
// when the stream breaks.
async function events(path, signal, each) {
  for (let wait = 500; !signal.aborted; wait = Math.min(2 * wait, 10000)) {
    try {
      const reader = (await ask(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
      wait = 500;
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          let name = "message", data = "";
          for (const line of part.split("\n")) {
            if (line.startsWith("event: ")) name = line.slice(7);
            if (line.startsWith("data: ")) data += line.slice(6);
          }
          if (data) each(name, JSON.parse(data));
        }
      }
    } catch (e) {
      if (signal.aborted) return;
      if (e instanceof Refusal && e.status < 500) throw e;
    }
    await new Promise((later) => setTimeout(later, wait));
  }
}

// make returns an element with text; nothing from the wire is ever markup.
function make(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function notice(text) {
  $("notice").textContent = text || "";
  $("notice").hidden = !text;
}

function age(time) {
  if (!time) return "not known";
  const s = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });
const precise = (time) => `${clock(time)}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}`;
const number = (n) => n.toLocaleString("en");

// Devices

async function look() {
  const [list, own] = await Promise.all([json("/v1/devices"), json("/muster/devices")]);
  const more = new Map(own.map((d) => [d.id, d]));
  devices = new Map(list.map((d) => [d.id, { ...d, ...more.get(d.id) }]));
  showDevices();
  if (chosen && devices.has(chosen)) showFacts(devices.get(chosen));
  else if (chosen) choose(null);
}

function showDevices() {
  const wanted = $("filter").value.trim().toLowerCase();
  const rows = [];
  let online = 0;
  for (const d of devices.values()) {
    if (d.online) online++;
    const kind = [d.board, d.release && `Device OS ${d.release}`, d.transport && d.transport.toUpperCase()].filter(Boolean).join(" · ");
    if (wanted && !`${d.name} ${d.id} ${kind}`.toLowerCase().includes(wanted)) continue;
    const button = make("button");
    button.type = "button";
    button.dataset.id = button.title = d.id;
    if (d.id === chosen) button.setAttribute("aria-current", "true");
    button.append(make("i", "", d.online ? "dot on" : "dot"), make("b", d.name || `…${d.id.slice(-8)}`), make("em", d.online ? "online" : `seen ${d.last_heard ? age(d.last_heard) + " ago" : "never"}`), make("span", kind || "never connected"));
    const item = make("li");
    item.append(button);
    rows.push(item);
  }
  const had = document.activeElement?.dataset?.id;
  $("devices").replaceChildren(...rows);
  if (had) $("devices").querySelector(`[data-id="${CSS.escape(had)}"]`)?.focus();
  $("none").hidden = devices.size > 0;
  $("counts").textContent = `${number(online)} of ${number(devices.size)} online`;
}

function showFacts(d) {
  $("title").textContent = d.name || d.id;
  const facts = {
    Id: d.id, State: d.online ? "online" : "offline", Board: d.board || "not known", "Device OS": d.release || "not known",
    Transport: d.transport ? d.transport.toUpperCase() : "none", Address: d.last_ip_address || "not known",
    "Session age": d.transport ? age(d.secured || d.last_handshake_at) : "no session", "Last seen": d.last_heard ? `${age(d.last_heard)} ago` : "never",
  };
  if (d.status === "safe_mode") facts.Mode = "safe mode";
  $("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const row = make("div");
    row.append(make("dt", name), make("dd", value));
    return row;
  }));
  options($("function"), d.functions || []);
  options($("variable"), Object.keys(d.variables || {}));
  for (const [id, list] of [["call", d.functions], ["read", Object.keys(d.variables || {})]]) {
    $(id).querySelector("button").disabled = !d.online || !list?.length;
  }
  $("flash").querySelector("button").disabled = !d.online;
}

function options(select, names) {
  if (names.join("\n") === [...select.options].map((o) => o.value).join("\n")) return;
  select.replaceChildren(...names.map((n) => new Option(n, n)));
}

function choose(id) {
  watching?.abort();
  chosen = id;
  $("device").hidden = !id;
  $("desk").classList.toggle("chosen", Boolean(id));
  showDevices();
  if (!id) return;
  result("");
  showFlash(null);
  showFacts(devices.get(id));
  $("packets").replaceChildren();
  watching = new AbortController();
  const rows = new Map();
  events(`/muster/devices/${id}/watch`, AbortSignal.any([watching.signal, session.signal]), (name, value) => {
    switch (name) {
      case "record":
        rows.clear();
        for (const r of value.ledger) rows.set(r.what, r);
        showLedger(rows);
        $("packets").replaceChildren(...value.lines.map(packet));
        follow();
        if (value.flash && !value.flash.over) showFlash(value.flash);
        break;
      case "line":
        spend(rows, value);
        showLedger(rows);
        $("packets").append(packet(value));
        while ($("packets").children.length > linesMax) $("packets").firstChild.remove();
        follow();
        break;
      case "flash":
        showFlash(value);
    }
  }).catch(gone);
}

// spend adds a line to the ledger, as the cloud does.
function spend(rows, line) {
  if (!line.bytes) return;
  const row = rows.get(line.what) || { what: line.what, packets: [0, 0], bytes: [0, 0] };
  const way = line.direction === "up" ? 0 : 1;
  row.packets[way]++;
  row.bytes[way] += line.bytes;
  rows.set(line.what, row);
}

function showLedger(rows) {
  const sorted = [...rows.values()].sort((a, b) => b.bytes[0] + b.bytes[1] - a.bytes[0] - a.bytes[1]);
  const most = Math.max(1, ...sorted.map((r) => r.bytes[0] + r.bytes[1]));
  $("ledger").tBodies[0].replaceChildren(...sorted.map((r) => {
    const line = make("tr");
    const split = make("div", "", "split");
    const sum = r.bytes[0] + r.bytes[1];
    split.style.width = `${100 * sum / most}%`;
    for (const [way, name] of ["up", "down"].entries()) {
      const part = make("i", "", name);
      part.style.width = `${100 * r.bytes[way] / (sum || 1)}%`;
      part.title = `${number(r.bytes[way])} bytes ${name}`;
      split.append(part);
    }
    const cell = make("td", undefined, "wide");
    cell.append(split);
    line.append(make("td", r.what), cell, make("td", `${number(r.packets[0])} ↑ ${number(r.packets[1])} ↓`, "number"), make("td", number(sum), "number"));
    return line;
  }));
}

function packet(line) {
  const item = make("li");
  const up = line.direction === "up";
  const arrow = make("span", up ? "↑" : "↓", up ? "arrow u" : "arrow d");
  arrow.title = up ? "device to cloud" : "cloud to device";
  const text = make("code", line.text);
  if (line.data) text.append(" ", make("q", line.data));
  item.append(make("time", precise(line.at)), arrow, make("span", line.bytes ? `${line.bytes} B` : "", "size"), text);
  return item;
}

function follow() {
  if ($("follow").checked) $("packets").scrollTop = $("packets").scrollHeight;
}

// What one can do to a device

function result(text, bad) {
  $("result").textContent = text;
  $("result").className = bad ? "bad" : "";
}

// act runs what a form asks for, and shows what came of it.
function act(id, pending, run) {
  $(id).addEventListener("submit", async (e) => {
    e.preventDefault();
    const button = $(id).querySelector("button");
    button.disabled = true;
    result(pending);
    try {
      result(await run(chosen));
    } catch (e) {
      result(e.message, true);
      gone(e);
    } finally {
      button.disabled = false;
    }
  });
}

act("call", "Calling…", async (id) => {
  const name = $("function").value;
  const answer = await json(`/v1/devices/${id}/${encodeURIComponent(name)}`, form({ arg: $("argument").value }));
  return `${name} returned ${answer.return_value}`;
});

act("read", "Reading…", async (id) => {
  const name = $("variable").value;
  const answer = await json(`/v1/devices/${id}/${encodeURIComponent(name)}`);
  return `${name} is ${typeof answer.result === "string" ? `“${answer.result}”` : JSON.stringify(answer.result)}`;
});

act("flash", "Sending the image to the cloud…", async (id) => {
  const image = $("binary").files[0];
  if (!image) throw new Error("Choose a firmware image first.");
  const body = new FormData();
  body.append("file_type", "binary");
  body.append("file", image, image.name);
  const answer = await json(`/v1/devices/${id}`, { method: "PUT", body });
  return answer.status || answer.message || "The update has begun.";
});

function showFlash(f) {
  $("progress").hidden = !f;
  if (!f) return;
  const done = f.stage === "done" ? 1 : f.total ? f.sent / f.total : 0;
  $("progress").querySelector("i").style.width = `${100 * done}%`;
  $("progress").querySelector("p").textContent = f.error || `${f.stage}${f.total ? `, ${number(f.sent)} of ${number(f.total)} bytes` : ""}`;
}

// Events

function showEvent(name, e) {
  const item = make("li");
  const who = e.coreid.length < 24 ? e.coreid : devices.get(e.coreid)?.name || `…${e.coreid.slice(-8)}`;
  item.append(make("b", name), " ", make("small", `${who} · ${clock(e.published_at)}`));
  if (e.data !== null && e.data !== "") item.append(make("code", e.data));
  $("events").prepend(item);
  while ($("events").children.length > eventsMax) $("events").lastChild.remove();
  if (name.startsWith("spark/status")) look().catch(gone);
}

$("publish").addEventListener("submit", async (e) => {
  e.preventDefault();
  try {
    await ask("/v1/devices/events", form({ name: $("name").value, data: $("data").value }));
    notice("");
  } catch (e) {
    notice(`The event was not published: ${e.message}`);
    gone(e);
  }
});

// Who is looking

function enter() {
  session = new AbortController();
  $("gate").hidden = true;
  $("desk").hidden = $("leave").hidden = false;
  const { signal } = session;
  const again = async () => {
    if (signal.aborted) return;
    try {
      if (!document.hidden) await look();
      notice("");
    } catch (e) {
      if (e instanceof Refusal) gone(e);
      else notice("The cloud does not answer. Trying again…");
    }
    setTimeout(again, refresh);
  };
  again();
  events("/v1/devices/events", signal, showEvent).catch(gone);
}

// gone ends the visit when the token is good no more.
function gone(e) {
  if (!(e instanceof Refusal) || e.status !== 401) return;
  leave();
  notice("The access token is not good, or not any more.");
}

function leave() {
  session?.abort();
  watching?.abort();
  sessionStorage.removeItem(remembered);
  token = chosen = null;
  devices.clear();
  $("desk").hidden = $("leave").hidden = true;
  $("gate").hidden = false;
  for (const id of ["events", "packets", "devices", "facts"]) $(id).replaceChildren();
  $("counts").textContent = "";
}

$("login").addEventListener("submit", async (e) => {
  e.preventDefault();
  try {
    if ($("username").value) {
      const answer = await json("/oauth/token", form({
        client_id: "particle", client_secret: "particle", grant_type: "password",
        username: $("username").value, password: $("password").value,
      }));
      token = answer.access_token;
    } else {
      token = $("token").value.trim();
    }
    await json("/v1/user");
    sessionStorage.setItem(remembered, token);
    $("token").value = $("password").value = "";
    notice("");
    enter();
  } catch (e) {
    token = null;
    notice(e.message);
  }
});

$("leave").addEventListener("click", () => { leave(); notice(""); });
$("back").addEventListener("click", () => choose(null));
$("filter").addEventListener("input", showDevices);
$("devices").addEventListener("click", (e) => {
  const id = e.target.closest("button")?.dataset.id;
  if (id) choose(id);
});

if (token) enter();
else $("gate").hidden = false;
