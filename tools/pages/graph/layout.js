'use strict';
// Places the boxes of one section and the wires between them: layers by longest path, order within
// a layer by barycentres, coordinates by least squares (after Sugiyama, Tagawa and Toda 1981).

const GAP_X = 18, GAP_Y = 26, WIRE_WIDTH = 10, MARGIN = 14;
const ORDER_SWEEPS = 8, PLACE_SWEEPS = 24;
const WIRE_WEIGHT = 8;    // wires bend less readily than boxes move
const WIRE_PULL = 0.12;  // of the end of a long wire, against 1 of a short one

// Rank of each box: below all boxes that it reads; a box that reads none stands just above its
// first reader. `edges` go from smaller to larger indices.
function ranksOf(count, edges) {
  const rank = new Array(count).fill(0);
  const isRead = new Array(count).fill(Infinity), reads = new Array(count).fill(false);
  const sorted = [...edges].sort((a, b) => a.to - b.to);
  for (const { from, to } of sorted) {
    rank[to] = Math.max(rank[to], rank[from] + 1);
    reads[to] = true;
  }
  for (const { from, to } of sorted) isRead[from] = Math.min(isRead[from], rank[to]);
  for (let i = 0; i < count; ++i) {
    if (!reads[i] && isRead[i] !== Infinity) rank[i] = isRead[i] - 1;
  }
  return rank;
}

// Items are boxes, and the points at which a wire crosses a rank. A box has at most one such point
// per rank, which all its long wires share: its trunk.
function makeItems(boxes, edges) {
  const rank = ranksOf(boxes.length, edges);
  const items = boxes.map((box, i) => (
    { rank: rank[i], width: box.width, height: box.height, above: [], below: [], weight: 1 }));
  const crossings = new Map();
  for (const edge of edges) edge.path = route(items, crossings, edge);
  return items;
}

function route(items, crossings, { from, to }) {
  const path = [items[from]];
  for (let rank = items[from].rank + 1; rank < items[to].rank; ++rank) {
    const key = `${from} ${rank}`;
    if (!crossings.has(key)) {
      const trunk = items[from].trunk ??= [];
      const crossing =
        { rank, trunk, width: WIRE_WIDTH, height: 0, above: [], below: [], weight: WIRE_WEIGHT };
      trunk.push(crossing);
      items.push(crossing);
      crossings.set(key, crossing);
      link(path.at(-1), crossing);
    }
    path.push(crossings.get(key));
  }
  link(path.at(-1), items[to]);
  path.push(items[to]);
  return path;
}

function link(upper, lower) {
  upper.below.push(lower);
  lower.above.push(upper);
}

const mean = (items, property) =>
  items.reduce((sum, item) => sum + item[property], 0) / items.length;

function orderRanks(ranks) {
  ranks.forEach((rank) => rank.forEach((item, i) => (item.place = i)));
  for (let sweep = 0; sweep < ORDER_SWEEPS; ++sweep) {
    const down = sweep % 2 === 1;  // the last sweep goes down
    for (const rank of down ? ranks : [...ranks].reverse()) {
      for (const item of rank) {
        const neighbours = down ? item.above : item.below;
        item.wish = neighbours.length ? mean(neighbours, 'place') : item.place;
      }
      rank.sort((a, b) => a.wish - b.wish);
      rank.forEach((item, i) => (item.place = i));
    }
  }
}

// The positions closest to the wishes, in the weighted least-squares sense, that keep the order and
// the gaps: pool adjacent violators.
function settle(rank) {
  const blocks = [];
  let offset = 0;
  for (const item of rank) {
    item.offset = offset;
    offset += item.width + GAP_X;
    blocks.push({ items: [item], weight: item.weight,
                  at: item.wish - item.width / 2 - item.offset });
    while (blocks.length > 1 && blocks.at(-2).at > blocks.at(-1).at) {
      const right = blocks.pop(), left = blocks.at(-1);
      const weight = left.weight + right.weight;
      left.at = (left.at * left.weight + right.at * right.weight) / weight;
      left.weight = weight;
      left.items.push(...right.items);
    }
  }
  for (const block of blocks) {
    for (const item of block.items) item.centre = block.at + item.offset + item.width / 2;
  }
}

// Boxes of which each is the only one that reads the one above share a column.
function makeColumns(ranks) {
  for (const item of ranks.flat()) {
    const [upper] = item.above;
    const continues = item.above.length === 1 && upper.below.length === 1;
    if (item.height === 0) item.column = item.trunk;
    else if (continues && upper.height > 0) (item.column = upper.column).push(item);
    else item.column = [item];
  }
}

// A column wants to stay straight and between its neighbours, and cares little for those that a
// long wire leads to.
function wishOf(item) {
  let weight = 1, sum = mean(item.column, 'centre');
  if (item.height === 0) return sum;
  for (const member of item.column) {
    for (const neighbour of [...member.above, ...member.below]) {
      if (neighbour.column === item.column) continue;
      const pull = neighbour.height === 0 ? WIRE_PULL : 1;
      sum += pull * neighbour.centre;
      weight += pull;
    }
  }
  return sum / weight;
}

function placeAcross(ranks) {
  makeColumns(ranks);
  for (const rank of ranks) {
    rank.forEach((item, i) => (item.wish = i * GAP_X));
    settle(rank);
  }
  for (let sweep = 0; sweep < PLACE_SWEEPS; ++sweep) {
    const down = sweep % 2 === 0;
    for (const rank of down ? ranks : [...ranks].reverse()) {
      for (const item of rank) item.wish = wishOf(item);
      settle(rank);
    }
  }
  const left = Math.min(...ranks.flat().map((item) => item.centre - item.width / 2));
  for (const item of ranks.flat()) item.centre += MARGIN - left;
}

function placeDown(ranks) {
  let y = MARGIN;
  for (const rank of ranks) {
    const height = Math.max(...rank.map((item) => item.height));
    for (const item of rank) {
      item.top = y;
      item.bottom = y + (item.height || height);
    }
    y += height + GAP_Y;
  }
  return y - GAP_Y + MARGIN;
}

// boxes: [{width, height}]; edges: [{from, to}] with from < to. Gives each box `x` and `y`, each
// edge `points`, and returns the size of the drawing.
function layOut(boxes, edges) {
  const items = makeItems(boxes, edges);
  const ranks = [];
  for (const item of items) (ranks[item.rank] ??= []).push(item);
  const filled = ranks.filter((rank) => rank);
  orderRanks(filled);
  placeAcross(filled);
  const height = placeDown(filled);
  boxes.forEach((box, i) => {
    box.x = items[i].centre - box.width / 2;
    box.y = items[i].top;
  });
  spreadEntries(boxes, edges);
  const width = Math.max(...items.map((item) => item.centre + item.width / 2)) + MARGIN;
  return { width, height };
}

// Wires that end at the same box enter it side by side, in the order in which they come.
function spreadEntries(boxes, edges) {
  const entries = new Map();
  for (const edge of edges) {
    if (!entries.has(edge.to)) entries.set(edge.to, []);
    entries.get(edge.to).push(edge);
  }
  for (const [to, incoming] of entries) {
    incoming.sort((a, b) => a.path.at(-2).centre - b.path.at(-2).centre);
    const space = Math.min(28, boxes[to].width / (incoming.length + 1));
    incoming.forEach((edge, i) => {
      const end = edge.path.at(-1);
      const x = end.centre + space * (i - (incoming.length - 1) / 2);
      edge.points = pointsOf(edge.path, x);
    });
  }
}

function pointsOf(path, entry) {
  const points = [[path[0].centre, path[0].bottom]];
  for (const crossing of path.slice(1, -1)) {
    points.push([crossing.centre, crossing.top], [crossing.centre, crossing.bottom]);
  }
  points.push([entry, path.at(-1).top]);
  return points;
}

// A smooth path: straight across ranks, curved between them.
function curve(points) {
  let text = `M${points[0].map(Math.round)}`;
  for (let i = 1; i < points.length; ++i) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i];
    const middle = (y0 + y1) / 2;
    text += x0 === x1 ? `L${[x1, y1].map(Math.round)}`
      : `C${[x0, middle, x1, middle, x1, y1].map(Math.round)}`;
  }
  return text;
}
