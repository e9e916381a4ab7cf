'use strict';
// The memory map: each planned value as a rectangle, execution order from left to right, offsets
// from bottom to top.

const MAP_HEIGHT = 520, AXIS = 64;
// By family, in the order of the colours in the style sheet.
const FAMILIES =
  ['linear', 'moe', 'attention', 'norm_rope', 'elementwise', 'layout', 'sampling'];

// [{region, offset, bytes, name, ref, first, last}]: what lies where, from the node that writes it
// to the last one that reads it. Outputs stay to the end. A view lengthens the life of what it
// shows.
function placements(stage) {
  const position = new Map(stage.order.map((name, i) => [name, i]));
  const list = [];
  for (const [name, record] of stage.nodes) {
    const first = position.get(name);
    const add = (span, ref, last) => span && list.push(
      { region: span[0], offset: span[1], bytes: span[2], name, ref, first, last });
    record.results.forEach((ref, i) => {
      const readers = (readersOf(stage).get(ref) ?? []).map((reader) => position.get(reader));
      const end = stage.graph.outputs.includes(ref) ? stage.order.length - 1 : first;
      add(record.mem?.[i], ref, Math.max(end, ...readers));
    });
    add(record.scratch, 'scratch', first);
  }
  return list;
}

// Region -> bytes that it needs.
function regionSizes(stage) {
  const sizes = new Map();
  for (const { region, offset, bytes } of placements(stage)) {
    sizes.set(region, Math.max(sizes.get(region) ?? 0, offset + bytes));
  }
  return sizes;
}

class MemoryView {
  constructor(root, app) {
    this.root = root;
    this.app = app;
  }

  render() {
    const regions = [...regionSizes(this.app.stage)];
    if (regions.length === 0) {
      this.root.replaceChildren(el('p', { class: 'note' },
        'No memory is planned at this stage: step to plan_memory, the last, with the right arrow.'));
      return;
    }
    this.root.replaceChildren(...regions.map(([region, bytes]) => this.region(region, bytes)));
  }

  region(region, bytes) {
    const canvas = el('canvas', {}), hint = el('p', { class: 'hint' }, '\u00a0');
    const element = el('section', {},
      el('h2', {}, `${region}  `, el('small', {}, bytesText(bytes))), canvas, hint);
    const spans = placements(this.app.stage).filter((span) => span.region === region);
    requestAnimationFrame(() => this.draw(canvas, spans, bytes));
    canvas.onpointermove = (event) => this.point(event, canvas, hint);
    canvas.onclick = (event) => {
      const span = this.at(event, canvas);
      if (span) this.app.select(span.name);
    };
    return element;
  }

  draw(canvas, spans, bytes) {
    const width = canvas.clientWidth, ratio = window.devicePixelRatio;
    const steps = this.app.stage.order.length;
    Object.assign(canvas, { width: width * ratio, height: MAP_HEIGHT * ratio });
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const across = (width - AXIS) / steps, up = (MAP_HEIGHT - 20) / bytes;
    canvas.spans = spans.map((span) => ({
      ...span, x: AXIS + span.first * across, width: (span.last - span.first + 1) * across,
      y: MAP_HEIGHT - 20 - (span.offset + span.bytes) * up, height: span.bytes * up }));
    this.axis(context, bytes, up, style, width);
    for (const span of canvas.spans) this.rectangle(context, span, style);
  }

  axis(context, bytes, up, style, width) {
    context.fillStyle = context.strokeStyle = style.getPropertyValue('--muted');
    context.font = '11px system-ui, sans-serif';
    context.globalAlpha = 0.8;
    for (let i = 0; i <= 4; ++i) {
      const y = MAP_HEIGHT - 20 - bytes * i / 4 * up;
      context.fillText(bytesText(bytes * i / 4), 0, Math.max(y + 4, 10));
      context.fillRect(AXIS, y, width - AXIS, 0.3);
    }
    context.fillText('first node', AXIS, MAP_HEIGHT - 4);
    context.fillText('last', width - 24, MAP_HEIGHT - 4);
    context.globalAlpha = 1;
  }

  rectangle(context, { name, x, y, width, height }, style) {
    const { family } = this.app.op(this.app.stage.nodes.get(name).op);
    const selected = name === this.app.selected;
    context.fillStyle = style.getPropertyValue(
      FAMILIES.includes(family) ? `--family-${family}` : '--muted');
    context.globalAlpha = selected ? 1 : 0.6;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 1;
    context.strokeStyle = style.getPropertyValue(selected ? '--text' : '--back');
    context.lineWidth = selected ? 2 : 0.5;
    context.strokeRect(x, y, width, height);
  }

  // What lies under the pointer; the smallest, where a view covers what it shows.
  at(event, canvas) {
    const { offsetX, offsetY } = event;
    const under = (canvas.spans ?? []).filter(({ x, y, width, height }) => (
      offsetX >= x && offsetX < x + width && offsetY >= y && offsetY < y + height));
    return under.sort((a, b) => a.width - b.width)[0];
  }

  point(event, canvas, hint) {
    const span = this.at(event, canvas);
    canvas.style.cursor = span ? 'pointer' : 'default';
    hint.textContent = span
      ? `${span.ref} of ${span.name}: ${bytesText(span.bytes)} at 0x${span.offset.toString(16)}, `
        + `nodes ${span.first} to ${span.last}`
      : '\u00a0';
  }
}
