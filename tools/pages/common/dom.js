'use strict';

// Makes an element. Strings become text nodes and nothing else: names come from strangers.
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name === 'class') element.className = value;
    else if (name === 'data') Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const byId = (id) => document.getElementById(id);

// 1536 -> "1.5 Ki"; with few enough digits to be read.
function scaled(value, base, prefixes) {
  let step = 0;
  while (Math.abs(value) >= base && step < prefixes.length - 1) {
    value /= base;
    ++step;
  }
  const digits = step === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${prefixes[step]}`;
}

const bytesText = (bytes) => `${scaled(bytes, 1024, ['', 'Ki', 'Mi', 'Gi', 'Ti'])}B`;
const flopsText = (flops) => `${scaled(flops, 1000, ['', 'k', 'M', 'G', 'T'])}FLOP`;
const percent = (part, whole) => `${(100 * part / whole).toFixed(part / whole < 0.0995 ? 1 : 0)} %`;

function secondsText(seconds) {
  return seconds < 1 ? scaled(seconds * 1e9, 1000, ['ns', 'µs', 'ms']) : `${seconds.toFixed(2)} s`;
}

const plural = (count, word) => `${count} ${word}${count === 1 ? '' : 's'}`;
