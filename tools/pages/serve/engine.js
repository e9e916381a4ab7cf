'use strict';

const historySeconds = 120;
const maxGap = 3;    // seconds; after a longer one, in a tab that was hidden, a new line begins
const samples = [];  // {at, speed}: seconds, tokens per second

const card = (value, label) => el('div', {class: 'card'}, el('b', null, value),
                                  el('span', null, label));

const whole = (value) => Number(value).toLocaleString('en');
const share = (part, all) => (all > 0 ? percent(part, all) : '–');

function drawCards(state) {
  const {engine, requests} = state;
  const looked = engine.prefix_cache.hits + engine.prefix_cache.misses;
  const cards = [
    card(`${engine.running} of ${engine.max_running}`, 'answers being written'),
    card(whole(engine.waiting), 'waiting'),
    card(engine.tokens_per_second.toFixed(1), 'tokens a second'),
    card(whole(requests.answered), 'requests answered'),
    card(whole(requests.errors), 'refused or failed'),
    card(whole(requests.prompt_tokens), 'prompt tokens'),
    card(share(requests.cached_tokens, requests.prompt_tokens), 'of them found in the cache'),
    card(share(engine.prefix_cache.hits, looked), 'of prompts found a beginning'),
    card(whole(requests.completion_tokens), 'tokens generated'),
    card(whole(engine.counters.steps), 'steps'),
    card(whole(engine.counters.preemptions), 'preemptions'),
    card(whole(engine.prefix_cache.evictions), 'evictions'),
  ];
  if (engine.counters.drafted > 0) {
    cards.push(card(share(engine.counters.accepted, engine.counters.drafted), 'of drafts accepted'));
  }
  byId('cards').replaceChildren(...cards);
}

// The samples of each stretch without gaps.
function stretches() {
  const all = [];
  samples.forEach((sample, i) => {
    if (i === 0 || sample.at - samples[i - 1].at > maxGap) all.push([]);
    all.at(-1).push(sample);
  });
  return all;
}

function drawHistory() {
  const most = Math.max(1, ...samples.map(({speed}) => speed));
  const now = samples.at(-1).at;
  const x = ({at}) => historySeconds - 1 - (now - at);
  const picture = svg('svg', {viewBox: `0 0 ${historySeconds - 1} 100`, preserveAspectRatio: 'none'});
  for (const stretch of stretches()) {
    const points = stretch.map((sample) => `${x(sample)},${100 - 92 * sample.speed / most}`).join(' ');
    picture.append(
        svg('polygon', {class: 'area', points: `${x(stretch[0])},100 ${points} ${x(stretch.at(-1))},100`}),
        svg('polyline', {class: 'line', points}));
  }
  byId('history').replaceChildren(picture);
}

function drawBlocks({blocks, free, idle}) {
  const held = blocks - free;
  const part = (name, count) => {
    const element = el('div', {class: name, title: `${count} blocks ${name}`});
    element.style.width = `${100 * count / Math.max(1, blocks)}%`;
    return element;
  };
  byId('blocks').replaceChildren(
      el('div', {class: 'bar'}, part('held', held), part('idle', idle)),
      el('p', null, `${whole(blocks)} blocks: ${whole(held)} held by answers, ${whole(idle)} kept ` +
                    `for prompts that begin alike, ${whole(free - idle)} empty`));
}

function drawProfile(profile) {
  const total = profile.ops.reduce((sum, op) => sum + op.seconds, 0);
  const rows = profile.ops.map((op) => {
    const bar = el('i');
    bar.style.width = `${100 * op.seconds / profile.ops[0].seconds}%`;
    return el('tr', null,
              el('td', null, op.op),
              el('td', {class: 'share'}, bar),
              el('td', {class: 'number'}, percent(op.seconds, total)),
              el('td', {class: 'number'}, secondsText(op.seconds / profile.steps)),
              el('td', {class: 'number'}, whole(Math.round(op.calls / profile.steps))),
              el('td', null, el('small', null, op.kernels.join(' '))));
  });
  const heads = ['op', 'of the time', '', 'a step', 'calls', 'kernels'];
  byId('profile').replaceChildren(el('table', null,
      el('thead', null, el('tr', null, ...heads.map((head) => el('th', null, head)))),
      el('tbody', null, ...rows)));
  byId('measured').textContent =
      `${plural(profile.steps, 'step')} of ${(profile.tokens / profile.steps).toFixed(1)} tokens, ` +
      `${secondsText(total / profile.steps)} each`;
}

async function measure() {
  const button = byId('measure');
  button.disabled = true;
  byId('measured').textContent = 'waiting for steps to time …';
  try {
    const profile = await getJson('/profile');
    if (profile.steps > 0) {
      drawProfile(profile);
    } else {
      byId('measured').textContent = 'nothing ran meanwhile: ask something and measure again';
    }
  } catch (error) {
    byId('measured').textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

function showState(state) {
  const {engine} = state;
  if (!engine) return;
  const at = performance.now() / 1000;
  samples.push({at, speed: engine.tokens_per_second});
  while (at - samples[0].at >= historySeconds) samples.shift();
  if (byId('engine').hidden) return;
  drawCards(state);
  drawHistory();
  drawBlocks(engine.cache);
}

function setUpEngine() {
  byId('measure').addEventListener('click', measure);
}
