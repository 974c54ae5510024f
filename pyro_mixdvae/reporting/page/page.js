"use strict";
// What all pages share: their content, and elements by their ids.
const ARRAYS = { int16: Int16Array, uint8: Uint8Array, uint32: Uint32Array, float32: Float32Array };
const content = JSON.parse(document.getElementById("content").textContent);

function unpacked(array) {
  const text = atob(array.base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAYS[array.type](bytes.buffer);
}

function byId(id) {
  return document.getElementById(id);
}

function make(kind, text, parent) {
  const element = document.createElement(kind);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

function percent(share) {
  const whole = 100 * share;
  if (whole > 0 && whole < 1) return "under 1 %";
  if (whole > 99 && whole < 100) return "over 99 %";
  return `${Math.round(whole)} %`;
}

// A canvas has as many pixels as the screen gives it.
function fitted(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth || 800;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}
