'use strict';
// The list of stages, and figures about the current one.

class Sidebar {
  constructor(app) {
    this.app = app;
  }

  render() {
    this.stages();
    this.ops();
    this.sizes();
  }

  stages() {
    const { stages, stage } = this.app;
    byId('stages').replaceChildren(...stages.map((entry, i) => {
      const before = entry.before?.nodes.size ?? entry.nodes.size;
      const count = before === entry.nodes.size ? `${before}` : `${before} → ${entry.nodes.size}`;
      const idle = entry.before && changesOf(entry) === 0;
      return el('li', {}, el('button', {
        class: [entry === stage ? 'current' : '', idle ? 'idle' : ''].join(' '),
        title: (entry.summary || entry.name) + (idle ? ' (changed nothing)' : ''),
        onclick: () => this.app.go(i),
      }, el('span', {}, entry.name), el('span', { class: 'number' }, count)));
    }));
  }

  // How often each op is used, what changed since the stage before, and its share of the time.
  ops() {
    const { stage, times } = this.app;
    const tally = (nodes) => {
      const counts = new Map();
      for (const { op } of nodes?.values() ?? []) counts.set(op, (counts.get(op) ?? 0) + 1);
      return counts;
    };
    const now = tally(stage.nodes), then = tally(stage.before?.nodes);
    const time = new Map();
    for (const [name, { op }] of stage.nodes) {
      time.set(op, (time.get(op) ?? 0) + (times.get(name)?.[0] ?? 0));
    }
    const weightOf = (op) => (time.get(op) ?? 0) * 1e6 + (now.get(op) ?? 0);
    const names = [...new Set([...now.keys(), ...then.keys()])];
    names.sort((a, b) => weightOf(b) - weightOf(a));
    byId('ops').replaceChildren(...names.map((op) => {
      const change = stage.before ? (now.get(op) ?? 0) - (then.get(op) ?? 0) : 0;
      return el('tr', { onclick: () => this.app.search.start(op) },
                el('td', {}, el('i', { class: `swatch family-${this.app.op(op).family}` }), op),
                el('td', { class: 'number' }, String(now.get(op) ?? 0)),
                el('td', { class: `number ${change > 0 ? 'more' : 'less'}` },
                   change ? (change > 0 ? `+${change}` : `−${-change}`) : ''),
                times.size === 0 ? null : el('td', { class: 'number' },
                   time.get(op) ? percent(time.get(op), this.app.totalTime) : ''));
    }));
  }

  sizes() {
    const { stage } = this.app;
    const sum = (kind) => [...stage.sources.values()].filter((source) => source.kind === kind)
      .reduce((total, source) => total + source.bytes, 0);
    const flops = [...stage.nodes.values()].reduce((total, { cost }) => total + cost[0], 0);
    const entries = [['weights', bytesText(sum('weight'))], ['state', bytesText(sum('state'))]];
    for (const [region, bytes] of regionSizes(stage)) {
      entries.push([`arena ${region}`, bytesText(bytes)]);
    }
    entries.push(['a full step', flopsText(flops)]);
    for (const [symbol, bound] of stage.graph.symbols) entries.push([symbol, `≤ ${bound}`]);
    byId('sizes').replaceChildren(
      ...entries.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
  }
}
