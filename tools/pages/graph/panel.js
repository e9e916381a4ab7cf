'use strict';
// The panel about one node or source.

// Names of the op's operands; the last one stands for all that are left.
function operandName(op, index) {
  return (op.operands[index] ?? op.operands.at(-1))?.[0] ?? '';
}

function spanText(span) {
  return span ? `${span[0]}+0x${span[1].toString(16)}, ${bytesText(span[2])}` : '–';
}

// The order in which changed fields are told.
const FIELDS = ['op', 'operands', 'results', 'types', 'attrs', 'kernel', 'mem', 'scratch', 'once',
                'origin', 'cost'];

const attrTexts = (attrs) => Object.entries(attrs).map(([name, value]) => `${name}=${value}`);

// A field of a record in one line, for "before -> after".
function fieldText(field, value) {
  if (value === undefined) return 'none';
  if (field === 'mem') return value.map(spanText).join('; ');
  if (field === 'scratch') return spanText(value);
  if (field === 'attrs') return attrTexts(value).join(', ');
  if (field === 'cost') return `${flopsText(value[0])}, ${bytesText(value[1] + value[2])}`;
  return Array.isArray(value) ? value.join(', ') : String(value);
}

class Panel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
  }

  show(id) {
    this.root.hidden = id === null;
    if (id === null) return;
    const { stage } = this.app;
    const source = stage.sources.get(id), record = recordOf(stage, id);
    const parts = record ? this.node(id, record) : source ? this.source(id, source)
      : [el('p', { class: 'note' }, 'not in the graph at this stage')];
    this.root.replaceChildren(
      el('button', {
        class: 'close', title: 'Close (Esc)', onclick: () => this.app.select(null),
      }, '×'),
      el('h2', {}, id), ...parts);
  }

  // A button that goes to what a reference stands for.
  link(ref, text = ref) {
    const producer = producersOf(this.app.stage).get(ref);
    const target = producer ?? (this.app.stage.sources.has(ref) ? ref : null);
    if (target === null) return el('code', {}, text);
    return el('button', { class: 'link', onclick: () => this.app.select(target) }, text);
  }

  part(title, ...children) {
    const content = children.filter((child) => child);
    return content.length ? el('section', {}, el('h3', {}, title), ...content) : null;
  }

  rows(rows) {
    return el('table', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell) => (
      el('td', {}, cell ?? ''))))));
  }

  node(name, record) {
    const op = this.app.op(record.op);
    return [
      el('p', { class: 'subtitle' }, el('b', {}, record.op), ` · ${op.family}`,
         record.once ? ' · runs once, when the graph is loaded' : '',
         record.origin ? ` · made by ${record.origin}` : ''),
      this.news(name, record),
      this.part('Operands', this.operands(record, op)),
      this.part('Results', ...this.results(record)),
      record.attrs ? this.part('Attributes', this.rows(Object.entries(record.attrs))) : null,
      this.part('Kernel', ...this.kernel(record)),
      this.part('Memory', ...this.memory(record)),
      this.part('Cost at the bounds', this.cost(record)),
      this.part('Measured', ...this.measured(name)),
      this.part('What it does', ...this.documentation(op)),
      this.part('As text', el('pre', { class: 'ir' }, this.text(record))),
    ].filter((part) => part);
  }

  // What happened to the node at this stage.
  news(name, record) {
    const { stage } = this.app, status = statusOf(stage, name);
    if (status === '') return null;
    const changed = new Set(stage.changed.get(name));
    const changes = FIELDS.filter((field) => changed.has(field));
    const before = stage.before?.nodes.get(name) ?? {};
    const heirs = status === 'removed' ? producersOf(stage) : new Map();
    return el('div', { class: `news ${status}` }, `${status} by ${stage.name}`,
              ...changes.map((field) => el('div', { class: 'change' }, `${field}: `,
                el('del', {}, fieldText(field, before[field])), ' ',
                el('ins', {}, fieldText(field, record[field])))),
              ...record.results.filter((ref) => heirs.has(ref)).map((ref) => (
                el('div', { class: 'change' }, `${ref} now comes from `,
                   this.link(ref, heirs.get(ref))))));
  }

  operands(record, op) {
    if (record.operands.length === 0) return null;
    return this.rows(record.operands.map((ref, i) => {
      const value = valueOf(this.app.stage, ref);
      const size = value?.kind === 'weight' ? ` ${bytesText(value.bytes)}` : '';
      return [operandName(op, i), this.link(ref), el('code', {}, (value?.type ?? '') + size)];
    }));
  }

  results(record) {
    const { stage } = this.app;
    return record.results.map((ref, i) => {
      const readers = readersOf(stage).get(ref) ?? [];
      const output = stage.graph.outputs.includes(ref) ? ' output of the graph' : '';
      return el('div', { class: 'result' },
                el('code', {}, `${ref} : ${record.types[i]}`),
                el('div', { class: 'readers' }, 'read by ',
                   ...readers.flatMap((name) => [this.link(stage.nodes.get(name).results[0]), ' ']),
                   readers.length === 0 && !output ? 'nobody' : '', output));
    });
  }

  kernel(record) {
    if (!record.kernel) return [];
    const rows = (record.choices ?? []).map(([kernel, refusal, seconds]) => {
      const chosen = kernel === record.kernel;
      const verdict = refusal ? `refuses: ${refusal}`
        : (chosen ? 'chosen' : 'accepts') + (seconds > 0 ? `, about ${secondsText(seconds)}` : '');
      return el('li', { class: chosen ? 'chosen' : refusal ? 'refused' : '',
                        title: this.app.kernels.get(kernel) ?? '' },
                el('code', {}, kernel), el('span', {}, verdict));
    });
    const doc = this.app.kernels.get(record.kernel);
    return [rows.length ? el('ul', { class: 'choices' }, ...rows) : el('code', {}, record.kernel),
            doc ? el('p', {}, doc) : null];
  }

  memory(record) {
    const rows = (record.mem ?? []).map((span, i) => [record.results[i], spanText(span)]);
    if (record.scratch) rows.push(['scratch', spanText(record.scratch)]);
    return rows.length ? [this.rows(rows)] : [];
  }

  cost({ cost: [flops, read, written] }) {
    if (flops + read + written === 0) return null;
    const rows = [['arithmetic', flopsText(flops)], ['read', bytesText(read)],
                  ['written', bytesText(written)]];
    if (flops > 0) rows.push(['intensity', `${(flops / (read + written)).toPrecision(3)} FLOP/B`]);
    return this.rows(rows);
  }

  measured(name) {
    const time = this.app.times.get(name);
    if (!time) return [];
    const [median, runs] = time;
    return [this.rows([
      ['median', `${secondsText(median / 1e6)} (${percent(median, this.app.totalTime)} of all)`],
      ['runs', String(runs)], ['of', this.app.data.timed]])];
  }

  documentation(op) {
    const operands = op.operands.map(([name, doc]) => [name, doc]);
    return [el('p', {}, op.doc), this.rows(operands),
            op.expands_to ? el('h4', {}, 'It stands for') : null,
            op.expands_to ? el('pre', {}, op.expands_to) : null];
  }

  // As in the text form of a graph.
  text(record) {
    const attrs = attrTexts(record.attrs ?? {});
    return `${record.results.join(', ')} = ${record.op}(${record.operands.join(', ')})`
      + (attrs.length ? ` {${attrs.join(', ')}}` : '') + ` : ${record.types.join(', ')}`;
  }

  source(ref, source) {
    const readers = readersOf(this.app.stage).get(ref) ?? [];
    const rows = [['type', el('code', {}, source.type)], ['size', bytesText(source.bytes)]];
    if (source.layout) rows.push(['layout', source.layout]);
    if (source.mem) rows.push(['memory', spanText(source.mem)]);
    return [
      el('p', { class: 'subtitle' }, source.kind),
      this.part('Facts', this.rows(rows)),
      this.part('Read by', el('div', { class: 'readers' }, ...readers.flatMap(
        (name) => [this.link(this.app.stage.nodes.get(name).results[0]), ' ']))),
    ].filter((part) => part);
  }
}
