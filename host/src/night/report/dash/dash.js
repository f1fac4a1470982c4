
// ---- A page that is served: it asks for itself again when there is news, and puts what differs into its place. What the
// reader has opened, sorted, typed and scrolled to stays. Words of strangers come as the server's escaped page.
{
  const body = document.body;
  const state = document.getElementById("state");
  const said = document.getElementById("said");
  // Milliseconds between two updates, at least; and as many times longer as an update took.
  const PAUSE = 1000;
  const REST = 4;

  // ---- Putting a new page into the place of the old one

  const keyOf = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return null;
    // The items of a list of fixed length stay where they are, and their words change.
    const link = node.localName === "li" && node.parentElement?.id !== "newest" ? node.firstElementChild : null;
    return node.id || (link && link.dataset.trial !== undefined ? `of ${link.dataset.trial}` : null);
  };
  // What the reader has changed.
  const isReaders = (node, name) => name === "open" && (node.localName === "details" || node.localName === "dialog");

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !isReaders(old, name)) old.removeAttribute(name);
    }
    const wanted = new Set([...fresh.children].map(keyOf));
    const known = new Map();
    for (const child of [...old.children]) {
      const key = keyOf(child);
      if (key === null) continue;
      if (wanted.has(key)) known.set(key, child);
      else child.remove();
    }
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const key = keyOf(next);
      const fits = at && key === null && keyOf(at) === null && at.nodeName === next.nodeName;
      const match = key === null ? (fits ? at : null) : known.get(key);
      if (!match) {
        old.insertBefore(next, at);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, next);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  // Sorts the tables of a new page as the reader has sorted the old ones.
  function sortAlike(fresh) {
    for (const table of fresh.querySelectorAll("main table[id]")) {
      const old = document.getElementById(table.id);
      const heads = old ? [...old.tHead.rows[0].cells] : [];
      const column = heads.findIndex((head) => head.querySelector("button") && head.getAttribute("aria-sort") !== "none");
      if (column < 0 || !table.tHead.rows[0].cells[column]?.querySelector("button")) continue;
      sort(table, column);
      if (heads[column].getAttribute("aria-sort") === "descending") sort(table, column);
    }
  }

  function replace(fresh, part) {
    makeSortable(fresh);
    sortAlike(fresh);
    if (part) {
      const [old, next] = [document, fresh].map((page) => page.getElementById(part));
      if (old && next) morph(old, next);
      return;
    }
    const before = new Set(newest().map((item) => item.textContent));
    document.title = fresh.title;
    for (const name of ["until", "stamp", "night", "last", "ended", "events"]) {
      if (fresh.body.dataset[name] === undefined) delete body.dataset[name];
      else body.dataset[name] = fresh.body.dataset[name];
    }
    for (const place of [".bar nav", "header", "body > nav", "main"]) {
      morph(document.querySelector(place), fresh.querySelector(place));
    }
    const added = newest().filter((item) => !before.has(item.textContent));
    tell(added);
    added.forEach((item) => {
      item.classList.add("new");
      setTimeout(() => item.classList.remove("new"), 2000);
    });
  }

  const newest = () => [...document.querySelectorAll("#newest > li")];

  // Says what is new to those who listen.
  function tell(added) {
    if (added.length === 0) return;
    const [number, verdict, change] = ["a", ".verdict", "p"].map((part) => added[0].querySelector(part).textContent);
    said.textContent = `${added.length > 1 ? `${added.length} new trials, the last one ` : "Trial "}${number}: ${verdict}. ${change}`;
  }

  // ---- Asking for it

  let asking = false;
  let wanted = null;
  let rest = 0;

  // Asks for a section of the page, or for all of it.
  async function refresh(part) {
    wanted = wanted === null || wanted === part ? part : "";
    if (asking) return;
    asking = true;
    while (wanted !== null && !document.hidden) {
      const now = wanted;
      // A reader who has typed does not wait.
      if (now === "" && rest > performance.now()) await new Promise((done) => setTimeout(done, rest - performance.now()));
      if (wanted === now) wanted = null;
      const begin = performance.now();
      try {
        const address = new URL(location.href);
        if (now) address.searchParams.set("part", now);
        const answer = await fetch(address);
        const text = await answer.text();
        // A page that is there is not replaced by one that says why there is none.
        if (answer.ok || body.dataset.until !== undefined) replace(new DOMParser().parseFromString(text, "text/html"), now);
      } catch {
        showState("away", "no answer; trying again");
      }
      if (now === "") rest = performance.now() + Math.max(PAUSE, REST * (performance.now() - begin));
    }
    asking = false;
  }

  // ---- What the reader chooses is in the address

  function choose(change, part) {
    const address = new URL(location.href);
    change(address.searchParams);
    for (const [name, value] of [...address.searchParams]) if (value === "") address.searchParams.delete(name);
    history.replaceState(null, "", address);
    refresh(part);
  }

  let typing = 0;
  document.addEventListener("input", (event) => {
    const { target } = event;
    if (target.name === "axis") choose((query) => query.set("axis", target.id.replace("by-", "")), "staircase");
    if (!target.closest("#filter")) return;
    clearTimeout(typing);
    typing = setTimeout(() => choose((query) => {
      for (const name of ["words", "verdict"]) query.set(name, document.getElementById(name).value);
      query.delete("rows");
    }, "trials"), target.id === "words" ? 150 : 0);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id === "filter") event.preventDefault();
  });

  async function open(number) {
    const answer = await fetch(`/night/${body.dataset.night}/trial/${number}`);
    const found = await answer.json();
    if (!answer.ok) {
      said.textContent = found.error;
      return;
    }
    found.entries.forEach((entry) => trials.set(entry.number, entry));
    show(number);
    found.lost.forEach((words) => panel.append(make("p", words, { class: "trouble" })));
  }

  // Before the listeners of the page itself.
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !(event.target instanceof Element)) return;
    const chosen = event.target.closest("[data-trial]");
    const link = event.target.closest("a[href^='?']");
    if (!chosen && !link) return;
    if (chosen && body.dataset.night === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (chosen) open(Number(chosen.dataset.trial)).catch(() => showState("away", "no answer; is `host dash` still running?"));
    else choose((query) => {
      const next = new URL(link.href).searchParams;
      for (const name of ["words", "verdict", "sort", "down", "rows"]) query.set(name, next.get(name) ?? "");
    }, "trials");
  }, true);

  // ---- News

  let source = null;
  let told = { state: "", words: "" };
  // Whether something trains, once that is known.
  let trains = null;

  function showState(name, words) {
    // What is wrong is said once, at length.
    if ((name === "waiting" || name === "failed") && words !== told.words) said.textContent = words;
    told = { state: name, words };
    state.title = words;
    tick();
  }

  function ago(ms) {
    const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
    if (s < 100) return `${s} s`;
    return s < 6000 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
  }

  function tick() {
    const { last, ended } = body.dataset;
    let words = { waiting: "waiting for the store", failed: "the store cannot be read" }[told.state] ?? told.words;
    if (told.state === "ready") {
      const state = ended !== undefined ? "ended" : trains === false ? "not running now" : "live";
      words = last === undefined ? state : `${state} · last trial ${ago(Number(last))} ago`;
    }
    if (state.textContent !== words) state.textContent = words;
    if (state.dataset.state !== told.state) state.dataset.state = told.state;
  }

  function listen() {
    if (source || document.hidden || body.dataset.events === undefined) return;
    source = new EventSource(body.dataset.events);
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      showState(news.state, news.words);
      if (news.stamp !== body.dataset.stamp || body.dataset.until !== undefined) refresh("");
    };
    source.onerror = () => {
      showState("away", "not connected; trying again");
      if (source.readyState !== EventSource.CLOSED) return;
      source = null;
      setTimeout(listen, 3000 + 3000 * Math.random());
    };
  }

  // ---- What trains now

  const room = document.getElementById("now");

  // The curve in a box of 100 by 40, from its highest loss to its lowest.
  function line(curve) {
    const losses = curve.map(([, loss]) => loss);
    const [least, most] = [Math.min(...losses), Math.max(...losses)];
    const height = (loss) => (most > least ? 38 - (36 * (loss - least)) / (most - least) : 20);
    return curve.map(([share, loss]) => `${(100 * share).toFixed(2)},${height(loss).toFixed(2)}`).join(" ");
  }

  function showNow({ title, figures, progress, curve }) {
    room.querySelector(".what").textContent = title;
    room.querySelector(".how").textContent = figures;
    room.querySelector("progress").value = progress;
    room.querySelector("polyline").setAttribute("points", line(curve));
  }

  async function lookNow() {
    const nothing = { figures: "", progress: 0, curve: [] };
    if (body.dataset.ended !== undefined) {
      showNow({ ...nothing, title: "The night has ended." });
      return;
    }
    try {
      if (!document.hidden) {
        const answer = await fetch(body.dataset.events.replace("/events", "/now"));
        const now = await answer.json();
        trains = now !== null;
        showNow(now ?? { ...nothing, title: "Nothing trains now." });
      }
    } catch {
      showNow({ ...nothing, title: "" });
    }
    setTimeout(lookNow, PAUSE);
  }

  // A browser has few connections to one server, so a page that nobody sees lets go of its own.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      listen();
      if (wanted !== null) refresh(wanted);
    }
  });

  showState("", body.dataset.events === undefined ? "not live" : "connecting");
  setInterval(tick, 1000);
  listen();
  if (room) lookNow();
}
