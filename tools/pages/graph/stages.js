'use strict';
// The graph at every stage, rebuilt from the differences in the page's data.

// An array without `gone`, with each [name, predecessor] of `placed` put in behind its predecessor.
function reorder(order, gone, placed) {
  const next = new Map();
  let last = '';
  for (const name of order) {
    if (gone.has(name)) continue;
    next.set(last, name);
    last = name;
  }
  for (const [name, predecessor] of placed) {
    next.set(name, next.get(predecessor));
    next.set(predecessor, name);
  }
  const result = [];
  for (let name = next.get(''); name !== undefined; name = next.get(name)) result.push(name);
  return result;
}

// A new map with the values of `changes`; null removes.
function withChanges(map, changes) {
  const result = new Map(map);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) result.delete(key);
    else result.set(key, value);
  }
  return result;
}

function assignFields(record, fields) {
  const result = { ...record, ...fields };
  for (const [field, value] of Object.entries(fields)) {
    if (value === null) delete result[field];
  }
  return result;
}

// A stage: nodes (name -> record), their order, sources (reference -> record), graph facts, and
// what differs from the stage before.
function nextStage(before, delta) {
  const removed = new Set(delta.removed);
  const placed = new Set(delta.placed.map(([name]) => name));
  const nodes = new Map(before.nodes);
  removed.forEach((name) => nodes.delete(name));
  const added = new Set(), changed = new Map();
  for (const [name, fields] of Object.entries(delta.nodes)) {
    if (nodes.has(name)) changed.set(name, Object.keys(fields));
    else added.add(name);
    nodes.set(name, assignFields(nodes.get(name), fields));
  }
  const moved = new Set([...placed].filter((name) => !added.has(name)));
  return {
    name: delta.name, summary: delta.summary, before, nodes, added, changed, moved, removed,
    order: reorder(before.order, new Set([...removed, ...placed]), delta.placed),
    sources: withChanges(before.sources, delta.sources),
    graph: delta.graph ?? before.graph,
  };
}

function allStages(deltas) {
  let stage = { nodes: new Map(), order: [], sources: new Map(), graph: null };
  const stages = deltas.map((delta) => (stage = nextStage(stage, delta)));
  // Everything is new at the start: that is no news.
  Object.assign(stages[0], { before: null, added: new Set() });
  return stages;
}

// Reference of a result -> name of its node.
function producersOf(stage) {
  if (!stage.producers) {
    stage.producers = new Map();
    for (const [name, record] of stage.nodes) {
      for (const ref of record.results) stage.producers.set(ref, name);
    }
  }
  return stage.producers;
}

// Reference -> names of the nodes that read it.
function readersOf(stage) {
  if (!stage.readers) {
    stage.readers = new Map();
    for (const name of stage.order) {
      for (const ref of new Set(stage.nodes.get(name).operands)) {
        if (!stage.readers.has(ref)) stage.readers.set(ref, []);
        stage.readers.get(ref).push(name);
      }
    }
  }
  return stage.readers;
}

// What a reference stands for: its type, and its bytes if it is a source.
function valueOf(stage, ref) {
  const source = stage.sources.get(ref);
  if (source) return source;
  const producer = stage.nodes.get(producersOf(stage).get(ref));
  return producer ? { kind: 'result', type: producer.types[producer.results.indexOf(ref)] } : null;
}

const changesOf = (stage) =>
  stage.added.size + stage.changed.size + stage.moved.size + stage.removed.size;

// What late passes write beside a node, without changing what it computes.
const NOTES = new Set(['kernel', 'choices', 'mem', 'scratch', 'cost']);
const STATUSES = ['added', 'changed', 'moved', 'removed', 'annotated'];

// One of STATUSES, or "" where nothing happened to the node at this stage. "removed" is a node of
// the stage before.
function statusOf(stage, name) {
  if (stage.added.has(name)) return 'added';
  const fields = stage.changed.get(name);
  if (fields) return fields.every((field) => NOTES.has(field)) ? 'annotated' : 'changed';
  if (stage.moved.has(name)) return 'moved';
  return stage.removed.has(name) ? 'removed' : '';
}

// A node's record at this stage, or at the one before for a removed node.
const recordOf = (stage, name) => stage.nodes.get(name) ?? stage.before?.nodes.get(name);
