// Players that keep step: one clock, a gain for each stem.
const { rate, channels, length } = content;
const duration = length / rate;
const state = { context: null, gains: [], sources: [], startedAt: 0, offset: 0, playing: false };
const stems = content.stems.map((stem) => ({ ...stem, samples: unpacked(stem.samples), mute: false, solo: false }));

function isHeard(stem) {
  return stems.some((other) => other.solo) ? stem.solo : !stem.mute;
}

function bufferOf(stem) {
  const buffer = state.context.createBuffer(channels, length, rate);
  for (let channel = 0; channel < channels; channel++) {
    const values = buffer.getChannelData(channel);
    for (let i = 0; i < length; i++) values[i] = stem.samples[i * channels + channel] / 32767;
  }
  return buffer;
}

function here() {
  const time = state.playing ? state.offset + state.context.currentTime - state.startedAt : state.offset;
  return Math.min(duration, Math.max(0, time));
}

function start() {
  if (state.context === null) {
    state.context = new AudioContext();
    stems.forEach((stem) => {
      stem.buffer = bufferOf(stem);
      stem.gain = state.context.createGain();
      stem.gain.connect(state.context.destination);
    });
    setGains();
  }
  state.context.resume();
  if (state.offset >= duration) state.offset = 0;
  state.startedAt = state.context.currentTime;
  state.playing = true;
  for (const stem of stems) {
    stem.source = state.context.createBufferSource();
    stem.source.buffer = stem.buffer;
    stem.source.connect(stem.gain);
    stem.source.start(state.startedAt, state.offset);
  }
  requestAnimationFrame(follow);
}

function stop() {
  state.offset = here();
  state.playing = false;
  for (const stem of stems) stem.source.stop();
}

function toggle() {
  if (state.playing) stop(); else start();
  show();
}

function go(time) {
  const wasPlaying = state.playing;
  if (wasPlaying) stop();
  state.offset = Math.min(duration, Math.max(0, time));
  if (wasPlaying) start();
  show();
}

function follow() {
  if (!state.playing) return;
  if (here() >= duration) stop();
  show();
  requestAnimationFrame(follow);
}

function setGains() {
  for (const stem of stems) {
    if (stem.gain) stem.gain.gain.value = isHeard(stem) ? 1 : 0;
    stem.element.classList.toggle("silent", !isHeard(stem));
    stem.muteButton.classList.toggle("on", stem.mute);
    stem.soloButton.classList.toggle("on", stem.solo);
  }
}

function show() {
  const time = here();
  byId("play").textContent = state.playing ? "Pause" : "Play";
  byId("slider").value = (1000 * time) / duration;
  byId("time").textContent = `${time.toFixed(2)} of ${duration.toFixed(2)} s`;
  for (const stem of stems) stem.head.style.left = `${(100 * time) / duration}%`;
}

function begin() {
  byId("shaded").hidden = !stems.some((stem) => stem.silences.length);
  byId("title").textContent = content.title;
  byId("overview").textContent = content.overview;
  byId("top").textContent = rate / 2000;
  for (const stem of stems) {
    stem.element = make("div", undefined, byId("stems"));
    stem.element.className = "stem";
    const row = make("div", undefined, stem.element);
    row.className = "row";
    make("b", stem.name, row);
    stem.muteButton = make("button", "Mute", row);
    stem.soloButton = make("button", "Solo", row);
    make("span", stem.about, row).className = "note";
    stem.muteButton.onclick = () => { stem.mute = !stem.mute; setGains(); };
    stem.soloButton.onclick = () => { stem.solo = !stem.solo; setGains(); };
    const picture = make("div", undefined, stem.element);
    picture.className = "picture";
    const image = make("img", undefined, picture);
    image.src = stem.image;
    image.alt = `spectrogram of ${stem.name}`;
    for (const [since, until] of stem.silences) {
      if (since >= duration) continue;
      const shade = make("div", undefined, picture);
      shade.className = "shade";
      shade.title = `silent from ${since.toFixed(2)} to ${until.toFixed(2)} s`;
      shade.style.left = `${(100 * since) / duration}%`;
      shade.style.width = `${(100 * (Math.min(until, duration) - since)) / duration}%`;
    }
    stem.head = make("div", undefined, picture);
    stem.head.className = "head";
    picture.onclick = (event) => {
      const edge = picture.getBoundingClientRect();
      go(((event.clientX - edge.left) / edge.width) * duration);
    };
  }
  byId("slider").oninput = () => go((Number(byId("slider").value) / 1000) * duration);
  byId("play").onclick = toggle;
  setGains();
  show();
}
begin();
