'use strict';
// Finds nodes and sources by name, op, weight, kernel or pass.

const MAX_LISTED = 60;

class Search {
  constructor(app) {
    this.app = app;
    this.input = byId('search');
    this.list = byId('hits');
    this.found = [];      // names of nodes, in order
    this.hits = new Set();
    this.at = -1;
    this.input.oninput = () => this.update(true);
    this.input.onkeydown = (event) => this.key(event);
    this.input.onblur = () => (this.list.hidden = true);
    this.list.onmousedown = (event) => event.preventDefault();  // keeps the focus
    this.input.onfocus = () => (this.list.hidden = this.found.length === 0);
  }

  start(text) {
    this.input.value = text;
    this.input.focus();
    this.update(true);
  }

  key(event) {
    if (event.key === 'Escape') {
      this.input.value = '';
      this.update(false);
      this.input.blur();
    } else if (event.key === 'Enter' || event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      this.move(event.key === 'ArrowUp' || event.shiftKey ? -1 : 1);
      event.preventDefault();
    }
    event.stopPropagation();
  }

  // Every word must occur in what is known of the node.
  update(listed) {
    const words = this.input.value.toLowerCase().split(/\s+/).filter((word) => word);
    const { stage } = this.app;
    const matches = (name) => {
      const { op, kernel, origin, operands, results } = stage.nodes.get(name);
      const text = [name, op, kernel, origin, ...operands, ...results].join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    };
    this.found = words.length ? stage.order.filter(matches) : [];
    this.hits = new Set(this.found);
    this.at = -1;
    this.show(listed);
    this.app.graph.mark();
  }

  move(step) {
    if (this.found.length === 0) return;
    this.at = (this.at + step + this.found.length) % this.found.length;
    this.app.select(this.found[this.at]);
    this.show(true);
  }

  show(listed) {
    const { length } = this.found;
    const found = (this.at >= 0 ? `${this.at + 1} of ` : '') + plural(length, 'node');
    byId('found').textContent = this.input.value.trim() ? found : '';
    this.list.hidden = !listed || length === 0;
    const first = Math.max(0, Math.min(this.at - 10, length - MAX_LISTED));
    this.list.replaceChildren(...this.found.slice(first, first + MAX_LISTED).map((name, i) => (
      el('li', {}, el('button', {
        class: first + i === this.at ? 'current' : '',
        onclick: () => this.move(first + i - this.at),
      }, name, el('span', {}, this.app.stage.nodes.get(name).op))))));
    this.list.querySelector('.current')?.scrollIntoView({ block: 'nearest' });
  }
}
