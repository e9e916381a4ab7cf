'use strict';
// Draws the graph of the current stage, section by section. Layers that are like an earlier one are
// small buttons until they are opened.

const BOX_WIDTH = 236, STUB_WIDTH = 130, STUB_HEIGHT = 22;
// What happened to a closed layer, in short.
const SIGNS = { added: '+', changed: '~', moved: '↕', removed: '−', annotated: '✎' };
const LINE_HEIGHT = 15, BOX_PADDING = 12;

class GraphView {
  // `app` has stage, times, isHit(name), select(id) and hitsIn(names).
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.toggled = new Map();  // section id -> open, where the user or a jump decided
    this.boxes = new Map();    // node name -> element, of open sections
    this.wires = new Map();    // node name -> elements of wires at it
  }

  render() {
    this.boxes.clear();
    this.wires.clear();
    this.sections = sectionsOf(this.app.stage);
    this.sectionOf = new Map(
      this.sections.flatMap((section) => section.names.map((name) => [name, section])));
    this.root.replaceChildren(...this.sections.map((section) => this.drawSection(section)));
    this.mark();
  }

  isOpen(section) {
    return this.toggled.get(section.id) ?? section.like === undefined;
  }

  drawSection(section) {
    const open = this.isOpen(section);
    const element = el('section', { class: open ? 'open' : 'closed', data: { id: section.id } },
                       this.header(section, open));
    if (open) {
      const drawing = this.drawing(section);
      element.append(drawing);
      // What the browser takes for its size while it is out of sight and not laid out.
      const { width, height } = drawing.style;
      element.style.containIntrinsicSize = `auto ${width} auto ${height}`;
    }
    return element;
  }

  header(section, open) {
    const { stage, times } = this.app;
    const present = section.names.filter((name) => stage.nodes.has(name));
    const statuses = section.names.map((name) => statusOf(stage, name));
    const count = (status) => statuses.filter((each) => each === status).length;
    const news = STATUSES.filter((status) => count(status) > 0);
    const like = section.like === undefined ? null : `like ${section.like}`;
    const time = present.reduce((sum, name) => sum + (times.get(name)?.[0] ?? 0), 0);
    return el('button', {
      class: 'section-header', ariaExpanded: String(open),
      title: open ? 'Close' : `Open: ${plural(present.length, 'node')}`,
      onclick: () => this.toggle(section),
    },
    el('i', { class: 'arrow' }, open ? '▾' : '▸'), el('b', {}, section.title),
    open ? el('span', {}, plural(present.length, 'node')) : null,
    like ? el('span', { class: 'like' }, like) : null,
    time > 0 ? el('span', {}, secondsText(time / 1e6)) : null,
    ...news.map((status) => el('span', { class: `count ${status}` },
                               open ? `${count(status)} ${status}` : SIGNS[status] + count(status))),
    el('span', { class: 'section-hits' }));
  }

  toggle(section) {
    this.toggled.set(section.id, !this.isOpen(section));
    this.redraw(section);
  }

  redraw(section) {
    const old = [...this.root.children].find((child) => child.dataset.id === section.id);
    old.replaceWith(this.drawSection(section));
    this.mark();
  }

  drawing(section) {
    const { boxes, edges } = wireUp(this.app.stage, section);
    for (const box of boxes) {
      box.element = box.stub ? this.stub(box) : this.box(box, section);
      box.width = box.stub ? STUB_WIDTH : BOX_WIDTH;
      box.height = box.stub ? STUB_HEIGHT
        : BOX_PADDING + LINE_HEIGHT * box.element.childElementCount;
    }
    const size = layOut(boxes, edges);
    const canvas = svg('svg', { width: size.width, height: size.height });
    canvas.append(...edges.map((edge) => this.wire(edge)));
    for (const { element, x, y, width, height } of boxes) {
      Object.assign(element.style,
                    { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    }
    const drawing = el('div', { class: 'drawing' }, canvas, ...boxes.map((box) => box.element));
    Object.assign(drawing.style, { width: `${size.width}px`, height: `${size.height}px` });
    return drawing;
  }

  wire(edge) {
    const path = svg('path', { d: curve(edge.points), class: edge.gone ? 'gone' : '' });
    for (const name of [edge.source, edge.target]) {
      if (!this.wires.has(name)) this.wires.set(name, []);
      this.wires.get(name).push(path);
    }
    return path;
  }

  stub(box) {
    return el('button', {
      class: 'stub', title: `${box.id}: go to its node`,
      onclick: () => this.app.select(box.stub),
    }, box.id);
  }

  box(box, section) {
    const { stage, times } = this.app;
    const name = box.id, record = recordOf(stage, name);
    const { family, view } = this.app.op(record.op);
    const classes = ['node', `family-${family}`, statusOf(stage, name)];
    if (view) classes.push('view');
    if (record.origin) classes.push('made');
    if (record.once) classes.push('once');
    const time = times.get(name)?.[0];
    const element = el('button', {
      class: classes.join(' '), data: { name }, title: name,
      onclick: () => this.app.select(name),
    },
    el('span', { class: 'line' }, el('b', {}, record.op), el('span', { class: 'name' }, name)),
    this.sourceLine(record, section, box.far),
    el('span', { class: 'line type' }, record.types.join(', ')),
    this.kernelLine(record, time));
    if (time) element.style.setProperty('--share', time / this.app.longest);
    element.onpointerenter = () => this.light(name, true);
    element.onpointerleave = () => this.light(name, false);
    return element;
  }

  kernelLine({ kernel }, time) {
    if (!kernel) return null;
    return el('span', { class: 'line kernel' }, el('span', {}, kernel),
              time ? el('span', { class: 'time' }, secondsText(time / 1e6)) : null);
  }

  // Weights, states and inputs that the node reads, and what comes from far away.
  sourceLine(record, section, far) {
    const { stage } = this.app;
    const sources = record.operands.filter((ref) => stage.sources.has(ref));
    if (sources.length + far.length === 0) return null;
    const texts = sources.map((ref) => {
      const { kind, type } = stage.sources.get(ref);
      const name = inLayer(ref, section.layer).slice(1);
      return kind === 'weight' ? `${name} ${type.split('[')[0]}` : name;
    });
    return el('span', { class: 'line sources' }, [...texts, ...far].join(', '));
  }

  light(name, on) {
    for (const path of this.wires.get(name) ?? []) path.classList.toggle('lit', on);
  }

  // Shows what is selected and what the search found, without drawing anew.
  mark() {
    this.boxes = new Map(
      [...this.root.querySelectorAll('.node')].map((box) => [box.dataset.name, box]));
    for (const [name, box] of this.boxes) {
      box.classList.toggle('hit', this.app.isHit(name));
      box.classList.toggle('selected', name === this.app.selected);
    }
    for (const child of this.root.children) {
      const section = this.sections.find(({ id }) => id === child.dataset.id);
      const hits = section.names.filter((name) => this.app.isHit(name)).length;
      child.querySelector('.section-hits').textContent = hits ? plural(hits, 'hit') : '';
      child.classList.toggle('with-hits', hits > 0);
    }
  }

  // Opens the node's section and scrolls to the node.
  reveal(name) {
    const section = this.sectionOf.get(name);
    if (!section) return;
    if (!this.isOpen(section)) this.toggle(section);
    this.boxes.get(name)?.scrollIntoView({ block: 'center', inline: 'nearest' });
  }
}
