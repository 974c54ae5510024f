// Moving boxes with a slider; only the frame in view is drawn.
const CLUTTER = "#9a9a9a", MARK = "#F0E442", ABSENT = -32768, TRAIL = 30;
const { ids, names, colours, width, height, unit, corners, doubts, blocks } = content;
const nFrames = content.n_frames, nSources = names.length, first = content.first;
const boxes = unpacked(content.boxes), lower = unpacked(content.lower), upper = unpacked(content.upper);
const observed = unpacked(content.observed), starts = unpacked(content.starts);
const places = unpacked(content.places), shares = unpacked(content.shares);
const stage = byId("stage"), strip = byId("strip"), slider = byId("slider");
const view = { t: 0, timer: null, drawing: false, box: null, scale: 1 };
const corrections = [];

function placeOf(array, index) {
  const at = index * corners;
  if (array[at] === ABSENT) return null;
  const place = [];
  for (let i = 0; i < corners; i++) place.push(array[at + i] * unit);
  return corners === 4 ? place : [place[0], place[1], place[0], place[1]];
}

function middle(place) {
  return [(place[0] + place[2]) / 2, (place[1] + place[3]) / 2];
}

// Which name each track has in a frame: names are the sources as they are to be called, and exchange their tracks.
function namesAt(t) {
  const track = names.map((_, n) => n);
  const swaps = corrections.filter((row) => row.kind === "swap" && row.frame <= first + t);
  swaps.sort((a, b) => a.frame - b.frame);
  for (const { source, other } of swaps) [track[source], track[other]] = [track[other], track[source]];
  const name = [];
  track.forEach((of, n) => { name[of] = n; });
  return name;
}

function doubtsAt(t) {
  return doubts.filter((doubt) => doubt.first <= first + t && first + t <= doubt.last);
}

function draw() {
  const t = view.t, shown = stage.clientWidth || 800;
  view.scale = Math.min(shown / width, Math.max(200, 0.8 * window.innerHeight) / height);
  const pen = fitted(stage, height * view.scale), s = view.scale;
  pen.fillStyle = "#fafaf8";
  pen.fillRect(0, 0, width * s, height * s);
  for (let k = starts[t]; k < starts[t + 1]; k++) {
    const place = placeOf(places, k);
    pen.strokeStyle = "#b5b5b5";
    if (corners === 4) pen.strokeRect(place[0] * s, place[1] * s, (place[2] - place[0]) * s, (place[3] - place[1]) * s);
    else circle(pen, place[0] * s, place[1] * s, 3, false);
  }
  const name = namesAt(t), doubted = new Set(doubtsAt(t).flatMap((doubt) => doubt.sources));
  for (let n = 0; n < nSources; n++) drawSource(pen, t, n, name[n], doubted.has(n));
  for (const row of corrections) {
    if (row.kind === "label" && row.frame === first + t) outline(pen, row.box, colours[row.source]);
  }
  if (view.box) outline(pen, view.box, "#000000");
}

function drawSource(pen, t, n, name, isDoubted) {
  const s = view.scale, place = placeOf(boxes, t * nSources + n);
  if (!place) return;
  const low = placeOf(lower, t * nSources + n), high = placeOf(upper, t * nSources + n), colour = colours[name];
  pen.fillStyle = `${colour}40`;
  pen.beginPath();
  if (corners === 4) {
    pen.rect(low[0] * s, low[1] * s, (high[2] - low[0]) * s, (high[3] - low[1]) * s);
    if (high[0] < low[2] && high[1] < low[3]) pen.rect(high[0] * s, high[1] * s, (low[2] - high[0]) * s, (low[3] - high[1]) * s);
  } else {
    pen.ellipse((low[0] + high[0]) / 2 * s, (low[1] + high[1]) / 2 * s, Math.max(0, high[0] - low[0]) / 2 * s, Math.max(0, high[1] - low[1]) / 2 * s, 0, 0, 7);
  }
  pen.fill("evenodd");
  pen.strokeStyle = `${colour}90`;
  pen.lineWidth = 1.5;
  pen.beginPath();
  let isOn = false;
  for (let u = Math.max(0, t - TRAIL); u <= t; u++) {
    const at = placeOf(boxes, u * nSources + n);
    if (at) {
      const [x, y] = middle(at);
      if (isOn) pen.lineTo(x * s, y * s); else pen.moveTo(x * s, y * s);
    }
    isOn = at !== null;
  }
  pen.stroke();
  if (isDoubted) {
    for (const [far, wide, ink] of [[6, 1, "#000000"], [4, 3, MARK]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = wide;
      pen.strokeRect(place[0] * s - far, place[1] * s - far, (place[2] - place[0]) * s + 2 * far, (place[3] - place[1]) * s + 2 * far);
    }
  }
  const isObserved = observed[t * nSources + n] === 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.setLineDash(isObserved ? [] : [6, 5]);
  if (corners === 4) pen.strokeRect(place[0] * s, place[1] * s, (place[2] - place[0]) * s, (place[3] - place[1]) * s);
  else circle(pen, place[0] * s, place[1] * s, 5, isObserved, colour);
  pen.setLineDash([]);
  const text = names[name] + (name === n ? "" : ` (was ${names[n]})`) + (isDoubted ? "?" : "");
  pen.font = "13px system-ui, sans-serif";
  const wide = pen.measureText(text).width + 8, top = Math.max(0, place[1] * s - 18);
  pen.fillStyle = colour;
  pen.fillRect(place[0] * s, top, wide, 17);
  pen.fillStyle = isDoubted ? MARK : "#ffffff";
  pen.fillText(text, place[0] * s + 4, top + 13);
}

function circle(pen, x, y, radius, isFull, colour) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  if (isFull) {
    pen.fillStyle = colour;
    pen.fill();
  }
  pen.stroke();
}

function outline(pen, box, colour) {
  const s = view.scale;
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  if (corners === 4) pen.strokeRect(box[0] * s, box[1] * s, (box[2] - box[0]) * s, (box[3] - box[1]) * s);
  else circle(pen, box[0] * s, box[1] * s, 7, false);
}

// The whole film, a row a source; of several frames in one column of pixels the first counts.
function drawStrip() {
  const row = Math.max(4, Math.min(12, 90 / nSources)), tall = row * nSources + 10, pen = fitted(strip, tall);
  const wide = strip.clientWidth || 800;
  for (let x = 0; x < wide; x++) {
    const t = Math.min(nFrames - 1, Math.floor((x / wide) * nFrames));
    for (let n = 0; n < nSources; n++) {
      const at = t * nSources + n;
      if (boxes[at * corners] === ABSENT) continue;
      pen.fillStyle = colours[n] + (observed[at] === 1 ? "ff" : "55");
      pen.fillRect(x, n * row, 1.5, row - 1);
    }
  }
  pen.fillStyle = "#777777";
  pen.fillRect(0, row * nSources, wide, 10);
  pen.fillStyle = MARK;
  for (const doubt of doubts) {
    const from = ((doubt.first - first) / nFrames) * wide, to = ((doubt.last + 1 - first) / nFrames) * wide;
    pen.fillRect(from, row * nSources, Math.max(2, to - from), 10);
  }
  const image = pen.getImageData(0, 0, strip.width, strip.height);
  return () => {
    pen.putImageData(image, 0, 0);
    pen.fillStyle = "#000000";
    pen.fillRect(((view.t + 0.5) / nFrames) * wide - 1, 0, 2, tall);
  };
}

function showAssignments() {
  const table = byId("assignments"), t = view.t, name = namesAt(t);
  table.replaceChildren();
  if (places.length === 0) {
    make("td", "The run has no table of assignments.", make("tr", undefined, table));
    return;
  }
  for (let k = starts[t]; k < starts[t + 1]; k++) {
    const line = make("tr", undefined, table), place = placeOf(places, k);
    const where = corners === 4 ? `${Math.round(place[0])}, ${Math.round(place[1])} to ${Math.round(place[2])}, ${Math.round(place[3])}` : `${place[0].toFixed(1)}, ${place[1].toFixed(1)}`;
    make("td", `detection ${k - starts[t] + 1} (${where})`, line);
    const bars = make("td", undefined, line), told = [];
    for (let n = 0; n <= nSources; n++) {
      const share = shares[k * (nSources + 1) + n] / 255;
      if (share < 0.005) continue;
      const bar = make("span", undefined, bars), who = n < nSources ? names[name[n]] : "none of them";
      bar.className = "bar";
      bar.style.width = `${Math.round(120 * share)}px`;
      bar.style.background = n < nSources ? colours[name[n]] : CLUTTER;
      told.push([share, `${who} ${percent(share)}`]);
    }
    told.sort((a, b) => b[0] - a[0]);
    make("td", told.map((each) => each[1]).join(", "), line);
  }
}

let drawHere = () => {};
function go(t) {
  view.t = Math.max(0, Math.min(nFrames - 1, Math.round(t)));
  slider.value = view.t;
  byId("number").value = first + view.t;
  draw();
  drawHere();
  if (view.timer === null) showAssignments();
  showElbo();
}

function play() {
  if (view.timer !== null) {
    clearInterval(view.timer);
    view.timer = null;
  } else {
    if (view.t === nFrames - 1) go(0);
    const rate = Math.max(1, Number(byId("rate").value) || 25);
    view.timer = setInterval(() => {
      if (view.t === nFrames - 1) play(); else go(view.t + 1);
    }, 1000 / rate);
  }
  byId("play").textContent = view.timer === null ? "Play" : "Pause";
  if (view.timer === null) showAssignments();
}

function showDoubts() {
  const list = byId("doubts");
  if (doubts.length === 0) make("li", "No names are in doubt.", list);
  for (const doubt of doubts) {
    const item = make("li", undefined, list), [a, b] = doubt.sources;
    const span = doubt.first === doubt.last ? `frame ${doubt.first}` : `frames ${doubt.first} to ${doubt.last}`;
    const jump = make("button", b === undefined ? `${span}: ${names[a]} and someone else` : `${span}: ${names[a]} and ${names[b]}`, item);
    jump.className = "jump";
    jump.onclick = () => go(doubt.first - first);
    make("div", `kept their names ${percent(1 - doubt.probability)}, changed them ${percent(doubt.probability)}`, item);
    if (b !== undefined) {
      const changed = make("button", "They changed them", item);
      changed.onclick = () => {
        const frame = Math.ceil((doubt.first + doubt.last) / 2), name = namesAt(frame - first);
        correct({ frame, kind: "swap", source: name[a], other: name[b] });
        go(frame - first);
      };
    }
  }
}

// Corrections, as rows of a table; sources count from 0 here, and in the file they have their ids.
function correct(row) {
  corrections.push(row);
  corrections.sort((a, b) => a.frame - b.frame);
  showCorrections();
}

function inWords(row) {
  const who = names[row.source];
  if (row.kind === "swap") return `${who} and ${names[row.other]} change names from frame ${row.frame} on`;
  if (row.kind === "absent") return `${who} is absent from frame ${row.frame} to ${row.until}`;
  return `${who} is drawn in frame ${row.frame}`;
}

function csv() {
  const lines = ["frame,kind,source,other,until,x1,y1,x2,y2"];
  for (const row of corrections) {
    const box = row.box ? [...row.box.slice(0, corners).map((value) => value.toFixed(2)), "", ""].slice(0, 4) : ["", "", "", ""];
    const other = row.other === undefined ? "" : ids[row.other];
    lines.push([row.frame, row.kind, ids[row.source], other, row.until ?? "", ...box].join(","));
  }
  return `${lines.join("\n")}\n`;
}

function showCorrections() {
  const list = byId("corrections");
  list.replaceChildren();
  corrections.forEach((row, place) => {
    const item = make("li", `${inWords(row)} `, list), away = make("button", "remove", item);
    away.onclick = () => {
      corrections.splice(place, 1);
      showCorrections();
      go(view.t);
    };
  });
  byId("csv").textContent = corrections.length ? csv() : "";
  go(view.t);
}

function save() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "corrections.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

function pointed(event) {
  const edge = stage.getBoundingClientRect();
  return [(event.clientX - edge.left) / view.scale, (event.clientY - edge.top) / view.scale];
}

// A click picks the source beneath it; while one is to be drawn, a drag makes its box.
function pick([x, y]) {
  let found = -1, least = Infinity;
  for (let n = 0; n < nSources; n++) {
    const place = placeOf(boxes, view.t * nSources + n);
    if (!place) continue;
    const margin = corners === 4 ? 0 : 8 / view.scale, size = (place[2] - place[0]) * (place[3] - place[1]);
    const isIn = x >= place[0] - margin && x <= place[2] + margin && y >= place[1] - margin && y <= place[3] + margin;
    if (isIn && size < least) [found, least] = [n, size];
  }
  if (found < 0) return;
  byId("other").value = byId("source").value;
  byId("source").value = namesAt(view.t)[found];
}

stage.onpointerdown = (event) => {
  const at = pointed(event);
  if (!view.drawing) {
    pick(at);
    return;
  }
  view.box = [...at, ...at];
  draw();
};
stage.onpointermove = (event) => {
  if (!view.box) return;
  view.box = [view.box[0], view.box[1], ...pointed(event)];
  draw();
};
stage.onpointerup = () => {
  if (!view.box) return;
  const [x1, y1, x2, y2] = view.box;
  const box = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
  view.box = null;
  view.drawing = false;
  byId("label").classList.remove("on");
  if (corners === 2 || (box[2] - box[0] > 1 && box[3] - box[1] > 1)) {
    correct({ frame: first + view.t, kind: "label", source: Number(byId("source").value), box });
  }
  draw();
};

function showElbo() {
  const block = blocks.find((each) => each.first <= first + view.t && first + view.t <= each.last) || blocks[0];
  if (block === showElbo.shown) return;
  showElbo.shown = block;
  const table = byId("terms");
  table.replaceChildren();
  if (!block) {
    byId("elbo-note").textContent = "The run has no record of the inference.";
    return;
  }
  const elbo = block.terms.elbo, pen = fitted(byId("elbo"), 90), wide = byId("elbo").clientWidth || 300;
  const low = Math.min(...elbo), span = Math.max(...elbo) - low || 1;
  pen.strokeStyle = "#0072B2";
  pen.lineWidth = 2;
  pen.beginPath();
  elbo.forEach((value, i) => {
    const x = 8 + (i / Math.max(1, elbo.length - 1)) * (wide - 16), y = 82 - ((value - low) / span) * 74;
    if (i === 0) pen.moveTo(x, y); else pen.lineTo(x, y);
    pen.fillRect(x - 2, y - 2, 4, 4);
  });
  pen.stroke();
  const head = make("tr", undefined, table);
  for (const text of ["term", "first", "last"]) make("th", text, head);
  for (const [name, values] of Object.entries(block.terms)) {
    const line = make("tr", undefined, table);
    make("td", name === "elbo" ? "ELBO" : name, line);
    for (const value of [values[0], values[values.length - 1]]) make("td", value === null ? "" : value.toFixed(1), line);
  }
  const frames = blocks.length > 1 ? ` of frames ${block.first} to ${block.last}` : "";
  byId("elbo-note").textContent = `The bound${frames} over ${elbo.length} iterations, and its terms in the first and the last of them, in nats.`;
}

function begin() {
  byId("title").textContent = content.title;
  byId("overview").textContent = content.overview;
  slider.max = nFrames - 1;
  byId("number").min = first;
  byId("number").max = first + nFrames - 1;
  byId("until").value = first + nFrames - 1;
  for (const id of ["source", "other"]) {
    names.forEach((name, n) => { make("option", name, byId(id)).value = n; });
  }
  if (nSources > 1) byId("other").value = 1;
  slider.oninput = () => go(Number(slider.value));
  byId("number").onchange = () => go(Number(byId("number").value) - first);
  byId("play").onclick = play;
  byId("back").onclick = () => go(view.t - 1);
  byId("on").onclick = () => go(view.t + 1);
  byId("save").onclick = save;
  byId("label").onclick = () => { view.drawing = byId("label").classList.toggle("on"); };
  byId("swap").onclick = () => {
    const source = Number(byId("source").value), other = Number(byId("other").value);
    if (source !== other) correct({ frame: first + view.t, kind: "swap", source, other });
  };
  byId("absent").onclick = () => {
    const until = Math.max(first + view.t, Math.min(first + nFrames - 1, Number(byId("until").value)));
    correct({ frame: first + view.t, kind: "absent", source: Number(byId("source").value), until });
  };
  strip.onclick = (event) => {
    const edge = strip.getBoundingClientRect();
    go(((event.clientX - edge.left) / edge.width) * nFrames - 0.5);
  };
  document.onkeydown = (event) => {
    if (["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName)) return;
    if (event.key === "ArrowLeft") go(view.t - 1);
    else if (event.key === "ArrowRight") go(view.t + 1);
    else if (event.key === " ") play();
    else return;
    event.preventDefault();
  };
  window.onresize = () => {
    drawHere = drawStrip();
    go(view.t);
  };
  showDoubts();
  drawHere = drawStrip();
  go(0);
}
begin();
