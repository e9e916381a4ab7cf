'use strict';
// What is shown, and what the keys do.

class App {
  constructor(data) {
    this.data = data;
    this.stages = allStages(data.stages);
    this.ops = new Map(Object.entries(data.ops));
    this.kernels = new Map(Object.entries(data.kernels));
    // Measured were the nodes of the last stage.
    this.measured = new Map(Object.entries(data.times).filter(
      ([name]) => this.stages.at(-1).nodes.has(name)));
    const durations = [...this.measured.values()].map(([time]) => time);
    this.totalTime = durations.reduce((sum, time) => sum + time, 0);
    this.longest = durations.reduce((most, time) => Math.max(most, time), 0);
    this.selected = null;
    this.view = 'graph';
    this.graph = new GraphView(byId('graph'), this);
    this.memory = new MemoryView(byId('memory'), this);
    this.panel = new Panel(byId('panel'), this);
    this.sidebar = new Sidebar(this);
    this.search = new Search(this);
    this.connect();
    this.go(0);
  }

  op(name) {
    return this.ops.get(name);
  }

  isHit(name) {
    return this.search?.hits.has(name) ?? false;
  }

  connect() {
    const slider = byId('slider');
    slider.max = this.stages.length - 1;
    slider.oninput = () => this.go(Number(slider.value));
    byId('previous').onclick = () => this.go(this.index - 1);
    byId('next').onclick = () => this.go(this.index + 1);
    byId('show-graph').onclick = () => this.show('graph');
    byId('show-memory').onclick = () => this.show('memory');
    document.onkeydown = (event) => this.key(event);
    window.onresize = () => this.view === 'memory' && this.memory.render();
    const { graph } = this.stages[0];
    document.title = `${this.data.title} – Sluice`;
    byId('title').textContent = this.data.title;
    const facts = ['layers', 'hidden', 'experts', 'context']
      .filter((fact) => fact in graph.attrs).map((fact) => `${fact} ${graph.attrs[fact]}`);
    const timed = this.measured.size ? [`times: ${this.data.timed}`] : [];
    byId('facts').textContent = [graph.name, ...facts, ...timed].join(' · ');
  }

  // Goes to a stage.
  go(index) {
    if (index < 0 || index >= this.stages.length) return;
    this.index = index;
    this.stage = this.stages[index];
    this.times = this.stage === this.stages.at(-1) ? this.measured : new Map();
    byId('slider').value = index;
    byId('stage').textContent = this.stage.name;
    byId('stage').title = this.stage.summary;
    byId('previous').disabled = index === 0;
    byId('next').disabled = index === this.stages.length - 1;
    this.sidebar.render();
    this.graph.render();
    if (this.search.input.value) this.search.update(false);
    this.panel.show(this.selected);
    this.show(this.view);
  }

  show(view) {
    this.view = view;
    for (const name of ['graph', 'memory']) {
      byId(name).hidden = name !== view;
      byId(`show-${name}`).ariaSelected = String(name === view);
    }
    if (view === 'memory') this.memory.render();
  }

  // Selects a node by name, a source by reference, or nothing.
  select(id) {
    this.selected = id;
    this.panel.show(id);
    this.graph.mark();
    if (id !== null && this.view === 'graph') this.graph.reveal(id);
    if (this.view === 'memory') this.memory.render();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      '/': () => this.search.input.focus(),
      'ArrowLeft': () => this.go(this.index - 1),
      'ArrowRight': () => this.go(this.index + 1),
      'Escape': () => this.select(null),
      'g': () => this.show('graph'),
      'm': () => this.show('memory'),
    };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }
}

new App(JSON.parse(byId('data').textContent));
