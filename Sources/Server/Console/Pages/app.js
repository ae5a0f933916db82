// The console's one script: what the pages gain by it. Without it everything works but live updates and previews.
"use strict";

(() => {
  const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Times: the server writes UTC, the reader gets the browser's zone and language.
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60]];

  function showTimes(within) {
    for (const time of all("time[datetime]", within)) {
      const date = new Date(time.dateTime);
      if (isNaN(date)) continue;
      const seconds = (date - Date.now()) / 1000;
      time.title = exact.format(date);
      if (time.hasAttribute("data-ago") && Math.abs(seconds) < 7 * 86400) {
        const [unit, length] = steps.find(([, length]) => Math.abs(seconds) >= length) ?? ["minute", 60];
        time.textContent = Math.abs(seconds) < 60 ? "just now" : ago.format(Math.round(seconds / length), unit);
      } else {
        time.textContent = exact.format(date);
      }
    }
  }

  // A part of the page takes the form of another without losing focus, what is typed, or running transitions.
  function become(old, fresh) {
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    becomeChildren(old, fresh);
  }

  function isSame(old, fresh) {
    return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id ?? "") === (fresh.id ?? "");
  }

  function becomeChildren(old, fresh) {
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      let match = at;
      while (match && !isSame(match, child)) match = child.id ? match.nextSibling : null;
      if (!match) {
        old.insertBefore(child, at);
        continue;
      }
      while (at !== match) { const gone = at; at = at.nextSibling; gone.remove(); }
      at = match.nextSibling;
      if (match.nodeType === Node.ELEMENT_NODE) become(match, child);
      else if (match.nodeValue !== child.nodeValue) match.nodeValue = child.nodeValue;
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  function parsed(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    prepare(template.content);
    return template.content;
  }

  // What the script adds to the server's markup, on the first page and on every part that arrives later.
  function prepare(within) {
    showTimes(within);
    for (const grip of all(".grip", within)) {
      grip.hidden = false;
      grip.closest("tr").draggable = true;
    }
  }

  // Live updates.
  let dragged = null;
  const link = document.querySelector("[data-link]");

  function showLink(isLost, text) {
    if (!link) return;
    link.hidden = false;
    link.classList.toggle("lost", isLost);
    link.textContent = text;
    link.title = text;
  }

  let source = null;

  function listen() {
    source = new EventSource(`/events?page=${encodeURIComponent(document.body.dataset.live)}`);
    source.addEventListener("open", () => showLink(false, "Live"));
    source.addEventListener("part", (event) => {
      const { id, html } = JSON.parse(event.data);
      const part = document.getElementById(id);
      if (part && !dragged) becomeChildren(part, parsed(html));
    });
    source.addEventListener("gone", () => location.reload());
    source.addEventListener("login", () => { source.close(); location.assign("/login"); });
    source.addEventListener("error", () => {
      showLink(true, "No connection to the server");
      // A refusal is final for the browser: most likely the login has ended, and the page leads to a new one.
      if (source.readyState === EventSource.CLOSED && !document.hidden) setTimeout(() => location.reload(), 10000);
    });
  }

  if (document.body.dataset.live) {
    listen();
    // A browser has few connections to one server: pages in the background let theirs go.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) source.close();
      else if (source.readyState === EventSource.CLOSED) listen();
    });
    addEventListener("pagehide", () => source.close());
    setInterval(() => showTimes(document), 30000);
  }

  // The order of automatic sessions by dragging; the buttons do the same.
  function place(event) {
    const row = event.target.closest?.("[data-order] tr");
    if (!row || !dragged || row === dragged) return null;
    const box = row.getBoundingClientRect();
    return { row, isBelow: event.clientY > box.top + box.height / 2 };
  }

  function unmark() { for (const row of all("tr.target")) row.classList.remove("target", "below"); }

  addEventListener("dragstart", (event) => {
    dragged = event.target.closest?.("[data-order] tr") ?? null;
    dragged?.classList.add("dragged");
  });
  addEventListener("dragover", (event) => {
    const target = place(event);
    unmark();
    if (!target) return;
    event.preventDefault();
    target.row.classList.add("target");
    target.row.classList.toggle("below", target.isBelow);
  });
  addEventListener("drop", (event) => {
    const target = place(event);
    if (!target) return;
    event.preventDefault();
    const rows = all("tr", dragged.parentNode);
    const from = rows.indexOf(dragged);
    let to = rows.indexOf(target.row) + (target.isBelow ? 1 : 0);
    if (to > from) to -= 1;
    if (to === from) return;
    const form = dragged.querySelector(".order form");
    const by = document.createElement("input");
    by.type = "hidden";
    by.name = "by";
    by.value = String(to - from);
    form.append(by);
    form.submit();
  });
  addEventListener("dragend", () => {
    unmark();
    dragged?.classList.remove("dragged");
    dragged = null;
  });

  // Rules: rows are added and removed here, operators follow the attribute, and who matches is shown at once.
  function editRules(form) {
    const rows = form.querySelector("[data-rule]");
    const blank = form.querySelector("template[data-row]");
    const preview = form.querySelector("[data-preview]");
    let waiting = null;
    let asked = 0;

    function renumber() {
      all(".rule-row", rows).forEach((row, index) => {
        for (const field of all("[id]", row)) {
          const id = `${field.id.split("-")[0]}-${index}`;
          row.querySelector(`label[for="${field.id}"]`)?.setAttribute("for", id);
          field.id = id;
        }
      });
      const none = form.querySelector("[data-no-rule]");
      if (none) none.hidden = rows.children.length > 0;
    }

    function fit(row) {
      const chosen = row.querySelector("[data-attribute]").selectedOptions[0];
      const operators = row.querySelector("[data-comparison]");
      const before = operators.value;
      operators.replaceChildren(...chosen.dataset.operators.split("|").map((word) => new Option(word, word)));
      if (all("option", operators).some((option) => option.value === before)) operators.value = before;
      row.querySelector("[data-value]").placeholder = chosen.dataset.hint;
    }

    async function ask() {
      const number = ++asked;
      try {
        const answer = await fetch("/sessions/preview", { method: "POST", body: new URLSearchParams(new FormData(form)) });
        if (number !== asked) return;
        if (answer.redirected || !answer.ok) throw new Error(`the server answers ${answer.status}`);
        becomeChildren(preview, parsed(await answer.text()));
      } catch (problem) {
        if (number !== asked) return;
        const text = document.createElement("p");
        text.className = "error";
        text.textContent = `The preview cannot be shown: ${problem.message}.`;
        preview.replaceChildren(text);
      }
    }

    function soon() {
      clearTimeout(waiting);
      waiting = setTimeout(ask, 250);
    }

    form.querySelector("[data-refresh]").hidden = true;
    form.addEventListener("change", (event) => {
      if (event.target.matches("[data-attribute]")) fit(event.target.closest(".rule-row"));
      soon();
    });
    form.addEventListener("input", soon);
    form.addEventListener("click", (event) => {
      const add = event.target.closest("[data-add]");
      const remove = event.target.closest("[data-remove]");
      if (!add && !remove) return;
      event.preventDefault();
      if (add) {
        rows.append(blank.content.cloneNode(true));
        rows.lastElementChild.querySelector("[data-attribute]").focus();
      } else {
        const row = remove.closest(".rule-row");
        const next = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        (next?.querySelector("[data-attribute]") ?? form.querySelector("[data-add]")).focus();
      }
      renumber();
      soon();
    });
    for (const [box, choice] of [["image", "source-image"], ["master", "source-master"]]) {
      form.querySelector(`#${box}`).addEventListener("change", () => { form.querySelector(`#${choice}`).checked = true; });
    }
  }

  // Lists that are searched while one types.
  function filter(field) {
    const list = document.querySelector(field.dataset.filter);
    field.closest("[data-filter-box]").hidden = list.children.length < 8;
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const item of list.children) {
        const text = item.textContent.toLowerCase();
        item.hidden = !words.every((word) => text.includes(word));
      }
    });
    field.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  }

  // Uploads go to the API, with progress and a way to stop them.
  function upload(form) {
    const [file, name] = [form.querySelector("#file"), form.querySelector("#upload-name")];
    const bar = form.querySelector("[data-upload-bar]");
    const error = form.querySelector("[data-upload-error]");
    const cancel = form.querySelector("[data-upload-cancel]");
    const send = form.querySelector("button.main");
    let request = null;

    function end(problem) {
      request = null;
      send.disabled = false;
      cancel.hidden = true;
      bar.hidden = true;
      error.hidden = !problem;
      error.textContent = problem ?? "";
    }

    function show(percent) {
      bar.querySelector("progress").value = percent;
      bar.querySelector(".number").textContent = `${percent.toFixed(0)} %`;
    }

    function sentence(answer) {
      try {
        const { error: text } = JSON.parse(answer.responseText);
        if (typeof text === "string") return text;
        if (typeof text?.message === "string") return text.message;
      } catch { /* no JSON: the status has to do */ }
      return `The server refused the upload (${answer.status}).`;
    }

    form.hidden = false;
    file.addEventListener("change", () => { if (!name.value && file.files[0]) name.value = file.files[0].name; });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const replace = form.querySelector("#overwrite").checked ? "?overwrite=1" : "";
      const wanted = name.value;
      end(null);
      request = new XMLHttpRequest();
      request.open("PUT", `/api/v1/images/${encodeURIComponent(wanted)}${replace}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("X-CSRF-Token", csrf);
      request.upload.addEventListener("progress", ({ loaded, total }) => show(total ? loaded / total * 100 : 0));
      request.addEventListener("load", (event) => {
        const answer = event.target;
        if (answer.status < 200 || answer.status > 299) return end(sentence(answer));
        request = null;
        location.assign("/images?done=uploaded");
      });
      request.addEventListener("error", () => end(`The connection broke while ${wanted} was being uploaded.`));
      request.addEventListener("abort", () => end(`The upload of ${wanted} was stopped.`));
      show(0);
      bar.hidden = false;
      cancel.hidden = false;
      send.disabled = true;
      request.send(file.files[0]);
    });
    cancel.addEventListener("click", () => request?.abort());
    addEventListener("beforeunload", (event) => { if (request) event.preventDefault(); });
  }

  prepare(document);
  all("form[data-session-form]").forEach(editRules);
  all("[data-filter]").forEach(filter);
  all("form[data-upload]").forEach(upload);
  document.querySelector(".side nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
})();
