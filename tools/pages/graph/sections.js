'use strict';
// What stands in which section of the graph: one per layer, one before and one after the layers.

const MAX_WIRE_RANKS = 16;  // values that come from farther away are named in the boxes

// The nodes of a stage in order, with those that were removed at it behind their predecessors.
function shownNodes(stage) {
  const followers = new Map();
  let last = '';
  for (const name of stage.before?.order ?? []) {
    if (stage.nodes.has(name)) last = name;
    else followers.set(last, [...(followers.get(last) ?? []), name]);
  }
  const shown = [...(followers.get('') ?? [])];
  for (const name of stage.order) shown.push(name, ...(followers.get(name) ?? []));
  return shown;
}

// [{id, title, names}] in order of execution.
function sectionsOf(stage) {
  const sections = new Map();
  let layers = 0;
  const shown = shownNodes(stage);
  for (const name of shown) {
    const { layer } = recordOf(stage, name);
    const outside = layers ? 'after' : 'before';
    if (layer !== undefined) ++layers;
    const id = layer === undefined ? outside : `layer ${layer}`;
    if (!sections.has(id)) sections.set(id, { id, title: id, layer, names: [] });
    sections.get(id).names.push(name);
  }
  for (const [id, title] of [['before', layers ? 'before the layers' : 'graph'],
                             ['after', 'after the layers']]) {
    if (sections.has(id)) sections.get(id).title = title;
  }
  const list = [...sections.values()];
  markLikes(stage, list);
  return list;
}

// A name or reference without its layer, so that equal layers look equal.
function inLayer(text, layer) {
  const sigil = /^[%@]/.test(text) ? text[0] : '';
  const name = text.slice(sigil.length);
  const prefix = [`l${layer}.`, `blk.${layer}.`].find((start) => name.startsWith(start)) ?? '';
  return sigil + name.slice(prefix.length);
}

// Equal for two layers that do the same with tensors of the same types.
function signature(stage, section) {
  const own = (ref) => {
    const producer = producersOf(stage).get(ref);
    const outside = producer !== undefined && stage.nodes.get(producer).layer !== section.layer;
    return outside ? '^' : inLayer(ref, section.layer) + (stage.sources.get(ref)?.type ?? '');
  };
  return JSON.stringify(section.names.map((name) => {
    const record = recordOf(stage, name);
    return [inLayer(name, section.layer), record.op, record.operands.map(own), record.types,
            record.attrs, record.kernel, statusOf(stage, name)];
  }));
}

// Notes for each layer the first one that it is like.
function markLikes(stage, sections) {
  const first = new Map();
  for (const section of sections) {
    if (section.layer === undefined) continue;
    const key = signature(stage, section);
    if (first.has(key)) section.like = first.get(key);
    else first.set(key, section.layer);
  }
}

// Operands that a node has at this stage, and those that it had before.
function wiresOf(stage, name) {
  const now = stage.nodes.get(name)?.operands ?? [];
  const then = stage.before?.nodes.get(name)?.operands ?? [];
  const isGone = (ref) => !now.includes(ref);
  return [...new Set(now)].map((ref) => ({ ref, from: producersOf(stage).get(ref) })).concat(
    [...new Set(then)].filter(isGone).map(
      (ref) => ({ ref, from: producersOf(stage.before).get(ref), gone: true })));
}

// The boxes of a section and the wires between them: its nodes, and a stub for each value that
// comes from another section. Boxes are in an order in which wires only go forward.
function wireUp(stage, section) {
  const inside = new Set(section.names), boxes = [], stubs = new Map(), wires = [];
  for (const name of section.names) {
    for (const wire of wiresOf(stage, name)) {
      if (wire.from === undefined) continue;
      if (inside.has(wire.from)) {
        wires.push({ ...wire, source: wire.from, target: name });
      } else if (!wire.gone && stage.nodes.has(name)) {
        stubs.set(wire.ref, wire.from);
        wires.push({ ...wire, source: wire.ref, target: name });
      }
    }
  }
  for (const [ref, from] of stubs) boxes.push({ id: ref, stub: from, far: [] });
  for (const name of section.names) boxes.push({ id: name, far: [] });
  const index = new Map(boxes.map((box, i) => [box.id, i]));
  const edges = wires.map((wire) => (
    { ...wire, from: index.get(wire.source), to: index.get(wire.target) }));
  return { boxes, edges: withoutFar(boxes, oncePerPair(edges)) };
}

// One wire per pair of boxes; one that is still there wins. Those that would go back are left out:
// the stage before may have had another order.
function oncePerPair(edges) {
  const pairs = new Map();
  for (const edge of edges) {
    const key = `${edge.from} ${edge.to}`;
    if (edge.from < edge.to && (!pairs.has(key) || pairs.get(key).gone)) pairs.set(key, edge);
  }
  return [...pairs.values()];
}

// Leaves out wires across many ranks and notes their values in the boxes that read them.
function withoutFar(boxes, edges) {
  const rank = ranksOf(boxes.length, edges);
  const isFar = (edge) => rank[edge.to] - rank[edge.from] > MAX_WIRE_RANKS;
  edges.filter(isFar).forEach((edge) => boxes[edge.to].far.push(edge.ref));
  return edges.filter((edge) => !isFar(edge));
}
