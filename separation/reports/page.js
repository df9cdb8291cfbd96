"use strict";
const number = (text) => {
  const match = text.replace("\u2212", "-").match(/-?\d+(\.\d+)?/);
  return match ? parseFloat(match[0]) : NaN;
};

function sortTable(table, column, button) {
  const head = button.closest("th");
  const before = head.getAttribute("aria-sort");
  const keyed = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    return { row, text, value: number(text) };
  });
  const numeric = keyed.filter((own) => !isNaN(own.value)).length > keyed.length / 2;
  const first = numeric ? "descending" : "ascending";
  const other = before === "ascending" ? "descending" : "ascending";
  const order = before === null ? first : other;
  const sign = order === "ascending" ? 1 : -1;
  keyed.sort((a, b) => {
    if (!numeric) return sign * a.text.localeCompare(b.text);
    if (isNaN(a.value) || isNaN(b.value)) return isNaN(a.value) - isNaN(b.value);
    return sign * (a.value - b.value);
  });
  for (const cell of table.querySelectorAll("th")) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  table.tBodies[0].append(...keyed.map((own) => own.row));
}

for (const table of document.querySelectorAll("table.sorts")) {
  table.querySelectorAll("thead th button").forEach((button, column) => {
    button.addEventListener("click", () => sortTable(table, column, button));
  });
}

function startPlayer(box) {
  const signals = [...box.querySelectorAll(".signal")].map((own) => ({
    radio: own.querySelector("input"),
    audio: own.querySelector("audio"),
    picture: own.querySelector(".picture"),
    head: own.querySelector(".picture i"),
  }));
  const button = box.querySelector("button.play");
  const slider = box.querySelector("input[type=range]");
  const clock = box.querySelector("output");
  const length = parseFloat(slider.max);
  let now = signals[0];

  const show = (time) => {
    slider.value = time;
    const text = `${time.toFixed(1)} / ${length.toFixed(1)} s`;
    if (clock.textContent !== text) clock.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    for (const own of signals) own.head.style.left = `${(100 * time) / length}%`;
  };
  const label = () => {
    const playing = !now.audio.paused;
    button.textContent = playing ? "\u275a\u275a" : "\u25b6";
    button.setAttribute("aria-label", playing ? button.dataset.pause : button.dataset.play);
  };
  const follow = () => {
    if (now.audio.paused) return;
    show(Math.min(now.audio.currentTime, length));
    requestAnimationFrame(follow);
  };
  const seek = (time) => {
    now.audio.currentTime = time;
    show(time);
  };
  const play = () => {
    document.querySelectorAll("audio").forEach((own) => own !== now.audio && own.pause());
    now.audio.play().then(follow, () => label());
  };
  const choose = (next) => {
    const time = now.audio.ended ? 0 : parseFloat(slider.value);
    const playing = !now.audio.paused;
    now.audio.pause();
    now = next;
    seek(time);
    if (playing) play();
  };
  for (const own of signals) {
    own.audio.controls = false;
    own.radio.addEventListener("change", () => choose(own));
    for (const name of ["play", "pause", "ended"]) {
      own.audio.addEventListener(name, () => {
        if (name === "ended" && own === now) seek(0);
        label();
      });
    }
    own.picture.addEventListener("click", (event) => {
      if (own !== now) return;
      event.preventDefault();
      const frame = own.picture.getBoundingClientRect();
      seek((length * (event.clientX - frame.left)) / frame.width);
    });
  }
  button.addEventListener("click", () => (now.audio.paused ? play() : now.audio.pause()));
  slider.addEventListener("input", () => seek(parseFloat(slider.value)));
  box.addEventListener("jump", (event) => {
    now.audio.pause();
    now = signals[event.detail.signal] ?? now;
    now.radio.checked = true;
    seek(Math.min(event.detail.second, length));
    play();
    box.scrollIntoView({ block: "nearest" });
  });
  box.classList.add("ready");
  show(0);
  label();
}
document.querySelectorAll(".player").forEach(startPlayer);

for (const button of document.querySelectorAll("[data-seek]")) {
  const { seek, signal } = button.dataset;
  const detail = { second: parseFloat(seek), signal: parseInt(signal, 10) };
  button.addEventListener("click", () => {
    document.querySelector(".player").dispatchEvent(new CustomEvent("jump", { detail }));
  });
}

for (const link of document.querySelectorAll("a[data-opens]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // going to the anchor would take the focus away again
    const target = document.getElementById(link.dataset.opens);
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  });
}
