"use strict";
// Shows the data of this page. A browser lets no page from a share read another file, so that news come by loading
// this very page again, unseen, in a frame, which hands its data to the one that is looked at. Where frames are
// refused, the page reloads itself. What a reader has set is kept in the address, after the #.
document.addEventListener("DOMContentLoaded", () => {
const $ = (id) => document.getElementById(id);
const own = $("data")?.textContent;
try {
  JSON.parse(own);
} catch {
  // Replaced while it was read, a browser may take the new file and the old one's length: the end is missing.
  if (window.parent === window) setTimeout(() => location.reload(), 300);
  return;
}
if (window.parent !== window) {
  // In the frame. The key is known to those alone who have read this page: no stranger's page gets the data.
  const asked = new URLSearchParams(location.search).get("for");
  window.parent.postMessage(asked === JSON.parse(own).key ? { meshdrop: own } : { meshdrop: null }, "*");
  return;
}

const CHUNK = 96, ANSWER_WITHIN_MS = 8000, AWAKE_WITHIN_MS = 30000, TYPING_MS = 20000;
const ICONS = {
  check: "M4 12.500l5 5L20 6.500", look: "M12 4v10M12 19.500v.500", cross: "M6 6l12 12M18 6L6 18", slash: "M5 12h14",
  clock: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18M12 7v5l3.500 2", work: "M7 4.500v15l12-7.500z", up: "M12 20V5M5.500 11L12 4.500 18.500 11",
  pause: "M8 5v14M16 5v14", alert: "M12 3L1.500 21h21zM12 10v5M12 18v.100",
  cube: "M12 2.500l8.500 4.750v9.500L12 21.500l-8.500-4.750v-9.500zM3.500 7.250L12 12l8.500-4.750M12 12v9.500",
};
// What a state is called, its sign (none relies on its colour alone), its colour.
const LOOKS = {
  work: ["At work", "work", "accent"], publish: ["On its way", "up", "accent"], held: ["On hold", "pause", "warn"],
  queue: ["Queued", "clock", "muted"], done: ["Finished", "check", "ok"], look: ["Look at it", "look", "warn"],
  failed: ["Failed", "cross", "bad"], cancelled: ["Cancelled", "slash", "muted"],
};
const STATES = Object.keys(LOOKS);
const CHOICES = [["all", "All"], ["work", "At work"], ["held", "On hold"], ["queue", "Queue"], ["done", "Finished"],
  ["look", "Look at it"], ["failed", "Failed"], ["cancelled", "Cancelled"]];
const FIELDS = ["id", "name", "look", "sentence", "created", "finished", "started", "folder", "files", "inbox", "attempt",
  "place", "fraction", "eta", "stage", "priority", "code", "remedy", "sameAs", "retryOf"];
const THUMBNAIL = 1, PREVIEW = 2, REPORT = 4;

let data, jobs = [], picked = [], drawn = 0, news = new Map();
let set = { q: "", s: "all", o: "new", v: "cards", d: new Set() };
const cards = new Map();

// -- small things ---------------------------------------------------------------------------------------------------
function make(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
const name = (text) => make("bdi", { text });
const many = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
const moment = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  if (past < 45) return "just now";
  if (past < 3600) return `${Math.max(1, Math.round(past / 60))} min ago`;
  if (past < 86400) return `${Math.round(past / 3600)} h ago`;
  if (past < 7 * 86400) return `${many(Math.round(past / 86400), "day")} ago`;
  return new Date(seconds * 1000).toLocaleDateString([], { dateStyle: "medium" });
}
function lasting(seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
function size(bytes) {
  const gb = bytes / 2 ** 30;
  if (gb < 1) return `${Math.round(bytes / 2 ** 20)} MB`;
  return gb < 1000 ? `${gb.toFixed(gb < 10 ? 1 : 0)} GB` : `${(gb / 1024).toFixed(1)} TB`;
}
const time = (seconds) => make("time", {
  datetime: new Date(seconds * 1000).toISOString(), title: moment(seconds), "data-at": seconds, text: ago(seconds),
});
function replace(list, nodes) {
  list.replaceChildren(...nodes);
}

// -- what a reader has set, after the # -----------------------------------------------------------------------------
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  set = {
    q: given.get("q") || "",
    s: CHOICES.some(([key]) => key === given.get("s")) ? given.get("s") : "all",
    o: ["old", "name", "state"].includes(given.get("o")) ? given.get("o") : "new",
    v: given.get("v") === "list" ? "list" : "cards",
    d: new Set((given.get("d") || "").split(",").filter(Boolean)),
  };
  return Number(given.get("y")) || 0;
}
let writing = 0;
function writeAddress() {
  clearTimeout(writing);
  writing = setTimeout(writeAddressNow, 250);
}
function writeAddressNow() {
  clearTimeout(writing);
  const kept = new URLSearchParams();
  if (set.q) kept.set("q", set.q);
  if (set.s !== "all") kept.set("s", set.s);
  if (set.o !== "new") kept.set("o", set.o);
  if (set.v !== "cards") kept.set("v", set.v);
  if (set.d.size) kept.set("d", [...set.d].join(","));
  if (window.scrollY > 0) kept.set("y", Math.round(window.scrollY));
  const wanted = "#" + kept;
  if (wanted === (location.hash || "#")) return;
  try {
    history.replaceState(null, "", wanted);
  } catch {
    location.replace(wanted);
  }
}
function showSet() {
  $("filter").value = set.q;
  $("order").value = set.o;
  $("view").textContent = set.v === "list" ? "Pictures" : "List";
  $("jobs").classList.toggle("list", set.v === "list");
  for (const radio of $("states").querySelectorAll("input")) radio.checked = radio.value === set.s;
}

// -- the jobs ---------------------------------------------------------------------------------------------------------
function unpack(row) {
  const job = { said: JSON.stringify(row) };
  FIELDS.forEach((field, at) => { job[field] = row[at] ?? 0; });
  job.look = STATES[job.look];
  job.at = Math.max(job.created, job.started, job.finished);
  job.words = `${job.name}\n${job.id}\n${job.sentence}\n${job.code || ""}`.toLowerCase();
  return job;
}
const ORDERS = {
  new: (a, b) => RANKS[a.look] - RANKS[b.look] || (a.place || 1e9) - (b.place || 1e9) || b.at - a.at,
  old: (a, b) => a.at - b.at,
  name: (a, b) => COLLATOR.compare(a.name, b.name) || b.at - a.at,
  state: (a, b) => STATES.indexOf(a.look) - STATES.indexOf(b.look) || (a.place || 0) - (b.place || 0) || b.at - a.at,
};
// First what somebody is at, then what has happened, and last what has yet to: the queue has its own list.
const RANKS = { work: 0, publish: 0, held: 1, done: 2, look: 2, failed: 2, cancelled: 2, queue: 3 };
const COLLATOR = new Intl.Collator(undefined, { numeric: true });
const chosen = (job) => set.s === "all" || job.look === set.s || (set.s === "work" && job.look === "publish");
function pick() {
  const words = set.q.toLowerCase().split(/\s+/).filter(Boolean);
  picked = jobs.filter((job) => chosen(job) && words.every((word) => job.words.includes(word))).sort(ORDERS[set.o]);
  const filtered = set.q || set.s !== "all";
  $("found").textContent = filtered
    ? `${many(picked.length, "job")} of ${jobs.length.toLocaleString("en")}` + (picked.length ? "" : ". Nothing fits the filter.")
    : data.more ? `The newest ${jobs.length.toLocaleString("en")}; ${many(data.more, "older job")} not shown.` : "";
}
function draw(atLeast) {
  const wanted = picked.slice(0, Math.max(atLeast, CHUNK));
  const list = $("jobs");
  let here = list.firstElementChild;
  for (const job of wanted) {
    const node = card(job);
    if (node === here) here = here.nextElementSibling;
    else list.insertBefore(node, here);
  }
  while (here) {
    const next = here.nextElementSibling;
    here.remove();
    here = next;
  }
  drawn = wanted.length;
}
function drawMore() {
  const list = $("jobs");
  list.append(...picked.slice(drawn, drawn + CHUNK).map(card));
  drawn = Math.min(picked.length, drawn + CHUNK);
}
const path = (job, file) => `${job.folder}/${file}`;
function card(job) {
  const known = cards.get(job.id);
  if (known && known.said === job.said) return known.node;
  const [word, sign, tone] = LOOKS[job.look];
  const report = job.folder && job.files & REPORT ? path(job, "report.html") : null;
  const picture = job.folder && (job.files & THUMBNAIL ? "thumbnail.webp" : job.files & PREVIEW ? "preview_0.png" : null);
  const plate = make("div", { class: "plate" }, icon(job.look === "done" || job.look === "look" ? "cube" : sign));
  if (picture) {
    const image = make("img", { src: path(job, picture), alt: "", loading: "lazy", decoding: "async", width: 256, height: 256 });
    image.addEventListener("error", () => image.remove());
    plate.append(image);
  }
  const title = make("h3", { class: "name", title: job.name }, report ? make("a", { href: report }, name(job.name)) : name(job.name));
  const going = job.look === "work" || job.look === "publish";
  const links = make("div", { class: "links" });
  if (report) links.append(make("a", { href: report, "aria-label": `Report of ${job.name}`, text: "Report" }));
  if (job.folder) links.append(make("a", { href: job.folder + "/", "aria-label": `Folder of ${job.name}`, text: "Folder" }));
  links.append(details(job));
  const said = plain(job);
  const node = make("li", { class: "job", "data-job": job.id }, plate, make("div", { class: "text" }, title,
    make("p", { class: "state" }, make("span", { class: tone }, icon(sign), " " + word), time(job.at)),
    going ? bar(job) : null, said ? make("p", { class: "sentence", dir: "auto", text: said }) : null, links));
  if (known) known.node.replaceWith(node);
  cards.set(job.id, { said: job.said, node });
  return node;
}
// The state's name says it already.
const plain = (job) => (["finished", "cancelled", "finished; have a look at its quality", "on its way to the outbox"].includes(job.sentence) ? "" : job.sentence);
const bar = (job) => make("progress", { max: 1, value: job.look === "publish" ? 1 : job.fraction, "aria-label": `Progress of ${job.name}` });
function details(job) {
  const node = make("details", { open: set.d.has(job.id) }, make("summary", { text: "Details", "aria-label": `Details of ${job.name}` }));
  const fill = () => {
    if (node.querySelector("dl")) return;
    const facts = [["Job", job.id], ["Inbox", data.inboxes.length > 1 ? data.inboxes[job.inbox]?.name : 0],
      ["Recorded", moment(job.created)], ["Started", job.started && moment(job.started)],
      ["Ended", job.finished && moment(job.finished)], ["Took", job.started && job.finished && lasting(job.finished - job.started)],
      ["Attempt", job.attempt > 1 && job.attempt], ["Priority", job.priority], ["Same as", job.sameAs], ["Again after", job.retryOf],
      ["Code", job.code], ["What to do", job.remedy]];
    const list = make("dl");
    for (const [term, value] of facts) if (value) list.append(make("dt", { text: term }), make("dd", { dir: "auto", text: value }));
    node.append(list);
  };
  if (node.open) fill();
  node.addEventListener("toggle", () => {
    if (node.open) { fill(); set.d.add(job.id); } else set.d.delete(job.id);
    writeAddress();
  });
  return node;
}

// -- beside the jobs --------------------------------------------------------------------------------------------------
function heading(id, text, count) {
  $(id).replaceChildren(text, count ? make("span", { class: "number", text: ` ${count.toLocaleString("en")}` }) : "");
}
function drawSide() {
  const going = jobs.filter((job) => job.look === "work" || job.look === "publish");
  const idle = data.daemon.state === "running" ? "Nothing is at work." : data.daemon.sentence;
  replace($("work").querySelector("ul"), going.length ? going.map(worker) : [make("li", { class: "nothing", text: idle })]);
  const queue = jobs.filter((job) => job.place).sort((a, b) => a.place - b.place);
  $("next").hidden = !queue.length;
  heading("next-title", "Next", queue.length);
  replace($("next").querySelector("ol"), queue.slice(0, 6).map((job) => make("li", {}, make("span", { class: "place", text: `${job.place}.` }), make("span", { class: "name" }, name(job.name)), time(job.created))));
  $("next-all").hidden = queue.length <= 6;
  $("next-all").textContent = `All ${queue.length.toLocaleString("en")} in the queue`;
  $("waiting").hidden = !data.waiting.length;
  heading("waiting-title", "Not taken yet", data.waiting.length);
  replace($("waiting").querySelector("ul"), data.waiting.slice(0, 30).map((item) => make("li", {}, make("p", { class: "name" }, name(item.bundle)), make("p", { dir: "auto", text: item.sentence }))));
}
function worker(job) {
  if (job.look === "publish") return make("li", {}, make("div", { class: "top" }, make("span", { class: "name" }, name(job.name))), bar(job), make("p", { class: "line", text: "On its way to the outbox" }));
  const left = job.eta > 0 ? `about ${lasting(job.eta)} left` : job.started ? `since ${new Date(job.started * 1000).toLocaleTimeString([], { timeStyle: "short" })}` : "";
  return make("li", {},
    make("div", { class: "top" }, make("span", { class: "name" }, name(job.name)), make("span", { class: "big", text: `${Math.floor(job.fraction * 100)} %` })),
    bar(job), make("p", { class: "line" }, make("span", { text: job.stage || job.sentence }), make("span", { text: left })));
}
function drawHealth() {
  const { daemon, inboxes, machine } = data;
  const [word, sign, tone] = daemon.state !== "running" ? [{ stopped: "Stopped", stuck: "Not answering", never: "Not started" }[daemon.state], "cross", "bad"]
    : daemon.draining ? ["Draining", "pause", "warn"] : daemon.paused ? ["Paused", "pause", "warn"]
    : data.problems.length ? ["Running, look at it", "look", "warn"] : ["Running", "check", "ok"];
  replace($("pill"), [make("span", { class: `pill ${tone}` }, icon(sign), word)]);
  const counts = [[going(), "at work"], [data.counts.PENDING, "in the queue"], [data.counts.HELD, "on hold"], [data.waiting.length, "not taken yet"]];
  $("summary").textContent = counts.filter(([count]) => count).map(([count, text]) => `${count.toLocaleString("en")} ${text}`).join(" · ") || "Nothing waits";
  $("problems").hidden = !data.problems.length;
  $("problems").classList.toggle("bad-news", daemon.state !== "running");
  replace($("problems").firstElementChild, data.problems.map((text) => make("li", {}, icon("alert"), make("span", { dir: "auto", text }))));
  const rows = [["Daemon", daemon.sentence]];
  for (const inbox of inboxes) {
    const who = inboxes.length > 1 ? `${inbox.name}: ` : "", { watch } = inbox;
    const seen = watch.latency_s === null ? "" : `, noticed in\u00a0${watch.latency_s < 0.1 ? "under\u00a00.1" : watch.latency_s < 10 ? watch.latency_s.toFixed(1) : Math.round(watch.latency_s)}\u00a0s`;
    const how = { inotify: "by events", polling: "by scanning", unknown: "not watched" }[watch.mode];
    rows.push([`${who}Inbox watched`, how + (watch.mode === "unknown" ? "" : seen), watch.why]);
    if (inbox.outbox_free !== null) rows.push([`${who}Free on outbox`, size(inbox.outbox_free)]);
    if (inbox.inbox_free !== null && inbox.inbox_free !== inbox.outbox_free) rows.push([`${who}Free on inbox`, size(inbox.inbox_free)]);
  }
  if (machine.state_free !== null) rows.push(["Free for the work", size(machine.state_free)]);
  rows.push(["Computes on", machine.gpu === null ? "the processor" : machine.gpu + (machine.vram_free === null ? "" : `, ${size(machine.vram_free)} free`)]);
  rows.push(["Last error", daemon.last_error || "none"]);
  if (daemon.started_at !== null) rows.push(["Up since", moment(daemon.started_at)]);
  if (daemon.version !== null) rows.push(["Version", daemon.version]);
  replace($("health").querySelector("dl"), rows.map(([term, value, title]) => make("div", { title }, make("dt", { text: term }), make("dd", { dir: "auto", text: value }))));
  const folders = inboxes.map((inbox) => `${inboxes.length > 1 ? inbox.name + ": " : ""}inbox ${inbox.inbox}, outbox ${inbox.outbox}`);
  replace($("foot"), [...folders.map((text) => make("p", { dir: "auto", text })),
    make("p", { text: `This page is rewritten when something changes, and every ${lasting(data.beat_s)} at least. ` + (data.contact ? `Whom to ask: ${data.contact}` : "") })]);
  const look = daemon.state !== "running" || data.problems.length ? "⚠ " : "";
  document.title = look + (going() ? `${going()} at work · ` : "") + "Meshdrop";
}
const going = () => data.counts.PROGRESS + data.counts.PUBLISHING;
function drawEmpty() {
  $("empty").hidden = jobs.length > 0;
  for (const id of ["tools", "found", "jobs"]) $(id).hidden = !jobs.length;
  if (jobs.length) return;
  const where = data.inboxes.flatMap((inbox, at) => [...(at ? [" or "] : []), make("code", { dir: "auto", text: inbox.inbox })]);
  replace($("empty"), [make("h3", { text: "Nothing has been dropped yet" }),
    make("p", {}, "Put a folder with six views and six depth renders into ", ...where, "."),
    make("p", {}, "In it: ", make("code", { text: "multi_views" }), " and ", make("code", { text: "depth_renders" }), ", each with front, back, left, right, top and bottom as PNG. A zip of the same is fine."),
    make("p", { class: "muted", text: "It appears here within seconds of the last file, and its mesh lies beside this page when it is finished." })]);
}
function drawStates() {
  const counts = { all: jobs.length };
  for (const job of jobs) {
    const key = job.look === "publish" ? "work" : job.look;
    counts[key] = (counts[key] || 0) + 1;
  }
  const labels = CHOICES.filter(([key]) => key === "all" || counts[key] || key === set.s).map(([key, text]) => {
    const radio = make("input", { type: "radio", name: "state", value: key, checked: key === set.s });
    const [, sign, tone] = LOOKS[key] || [];
    return make("label", {}, radio, sign ? make("span", { class: tone }, icon(sign)) : null, text, make("span", { class: "number", text: (counts[key] || 0).toLocaleString("en") }));
  });
  const old = [...$("states").querySelectorAll("label")];
  const same = old.map((label) => label.textContent).join() === labels.map((label) => label.textContent).join();
  if (same) return;
  const focused = $("states").contains(document.activeElement);
  old.forEach((label) => label.remove());
  $("states").append(...labels);
  if (focused) $("states").querySelector("input:checked")?.focus();
}

// -- news -------------------------------------------------------------------------------------------------------------
function announce() {
  const ended = [];
  for (const job of jobs) {
    if (news.size && news.get(job.id) !== job.look && ["done", "look", "failed", "held"].includes(job.look)) ended.push(`${job.name}: ${LOOKS[job.look][0]}`);
  }
  news = new Map(jobs.map((job) => [job.id, job.look]));
  if (ended.length) $("news").textContent = ended.length > 3 ? `${ended.length} jobs have ended` : ended.join(". ");
}
function show(text, height) {
  data = JSON.parse(text);
  jobs = data.jobs.map(unpack);
  const ids = new Set(jobs.map((job) => job.id));
  for (const id of cards.keys()) if (!ids.has(id)) cards.delete(id);
  drawStates();
  pick();
  draw(drawn);
  while (height && drawn < picked.length && document.documentElement.scrollHeight < height + innerHeight) drawMore();
  drawSide();
  drawHealth();
  drawEmpty();
  announce();
  freshen();
}

// When the page was last seen to change, by this computer's clock alone, kept over reloads: the server's may differ.
const memory = {
  read() { try { return JSON.parse(sessionStorage.getItem("meshdrop")) || {}; } catch { return {}; } },
  write(value) { try { sessionStorage.setItem("meshdrop", JSON.stringify(value)); } catch { /* it is done without */ } },
};
let seen = { at: 0, since: Date.now(), moved: false, answers: false, ...memory.read() };
let grace = 0, lastTick = Date.now(), asked = 0, heard = true, lastAsked = Date.now(), away = false, typed = 0;
function freshen() {
  const now = Date.now(), limit = 3 * data.beat_s * 1000, late = now - data.at * 1000;
  if (seen.at !== data.at) {
    seen = { ...seen, moved: seen.moved || (seen.at !== 0 && data.at > seen.at), at: data.at, since: now };
    memory.write(seen);
  }
  // One that was never seen to change may be old, or the clocks differ: said until it changes.
  const unknown = !seen.moved && late > limit;
  const stopped = data.daemon.state === "stopped";
  const stale = !stopped && now > grace && (now - seen.since > limit || unknown);
  document.body.classList.toggle("stale", stale);
  const alarm = $("alarm");
  const text = away ? "The outbox can't be reached from this computer." : "This page is out of date: nothing has written it anew.";
  const more = `Last written ${moment(data.at)}, ${ago(data.at)}; it should be every ${lasting(data.beat_s)}. ` +
    (away ? "See whether the share is connected." : "The daemon may have ended, or the share may be away.") +
    (unknown && now - seen.since <= limit ? " Or this computer's clock and the server's differ." : "");
  if (stale && alarm.firstChild?.textContent !== text) alarm.replaceChildren(make("span", { text }), make("small"));
  if (stale) alarm.lastChild.textContent = more;
  alarm.hidden = !stale;
  const apart = seen.moved && Math.abs(seen.since - seen.at * 1000) > Math.max(limit, 60000);
  $("fresh").textContent = `Written ${new Date(data.at * 1000).toLocaleTimeString()}` + (apart ? `; this computer's clock is ${lasting(Math.abs(seen.since / 1000 - seen.at))} ${seen.since > seen.at * 1000 ? "ahead of" : "behind"} the server's` : "");
}
function ask() {
  heard = false;
  asked = lastAsked = Date.now();
  document.querySelector("iframe")?.remove();
  const frame = make("iframe", { src: `${location.pathname.split("/").pop() || "index.html"}?for=${data.key}&${asked}`, hidden: true, tabindex: "-1", "aria-hidden": "true", title: "News", sandbox: "allow-scripts" });
  document.body.append(frame);
}
function reload() {
  if (document.activeElement === $("filter") && Date.now() - typed < TYPING_MS) return;
  writeAddressNow();
  memory.write(seen);
  location.reload();
}
window.addEventListener("message", (event) => {
  const frame = document.querySelector("iframe");
  if (!frame || event.source !== frame.contentWindow || typeof event.data !== "object" || event.data === null || !("meshdrop" in event.data)) return;
  heard = true;
  away = false;
  seen.answers = true;
  memory.write(seen);
  frame.remove();
  const text = event.data.meshdrop;
  if (typeof text !== "string") reload(); // written by another start of the daemon, maybe by another version
  else if (JSON.parse(text).at !== data.at) show(text);
  else freshen();
});
function tick() {
  const now = Date.now();
  if (document.hidden || now - lastTick > AWAKE_WITHIN_MS) grace = now + ANSWER_WITHIN_MS + 2000; // it slept: ask before it complains
  lastTick = now;
  if (document.hidden) return;
  if (!heard && now - asked > ANSWER_WITHIN_MS) {
    heard = true;
    if (seen.answers) away = true; // it could once: the file can't be read now, and a reload would lose this page
    else reload();
  } else if (heard && now - lastAsked >= data.every_s * 1000) ask();
  freshen();
  if (now % 15000 < 1000) for (const node of document.querySelectorAll("time[data-at]")) node.textContent = ago(Number(node.dataset.at));
}

// -- the reader ---------------------------------------------------------------------------------------------------------
function change() {
  drawStates();
  pick();
  draw(CHUNK);
  writeAddress();
}
$("filter").addEventListener("input", () => { typed = Date.now(); set.q = $("filter").value; change(); });
$("states").addEventListener("change", (event) => { set.s = event.target.value; change(); });
$("order").addEventListener("change", () => { set.o = $("order").value; change(); });
$("view").addEventListener("click", () => { set.v = set.v === "list" ? "cards" : "list"; showSet(); change(); });
$("tools").addEventListener("submit", (event) => event.preventDefault());
$("next-all").addEventListener("click", () => { set.s = "queue"; change(); showSet(); $("tools").scrollIntoView(); $("states").querySelector("input:checked")?.focus(); });
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); $("filter").focus(); }
  if (event.key === "Escape" && event.target === $("filter")) { set.q = $("filter").value = ""; change(); }
});
window.addEventListener("scroll", writeAddress, { passive: true });
window.addEventListener("pagehide", writeAddressNow);
window.addEventListener("hashchange", () => { readAddress(); showSet(); drawStates(); pick(); draw(drawn); });
document.addEventListener("visibilitychange", () => { grace = Date.now() + ANSWER_WITHIN_MS + 2000; if (!document.hidden && heard) ask(); });
new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting) && drawn < picked.length) drawMore(); }, { rootMargin: "1200px" }).observe($("more"));

history.scrollRestoration = "manual";
const height = readAddress();
$("app").hidden = false;
show(own, height);
showSet();
if (height) window.scrollTo(0, height);
setInterval(tick, 1000);
});
