'use strict';

const historySeconds = 120;
const speeds = [];  // tokens per second, one a second

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

function drawHistory() {
  const most = Math.max(1, ...speeds);
  const points = speeds.map((speed, i) => `${historySeconds - speeds.length + i},${100 - 92 * speed / most}`);
  const first = historySeconds - speeds.length;
  const picture = svg('svg', {viewBox: `0 0 ${historySeconds - 1} 100`, preserveAspectRatio: 'none'});
  picture.append(
      svg('polygon', {class: 'area', points: `${first},100 ${points.join(' ')} ${historySeconds - 1},100`}),
      svg('polyline', {class: 'line', points: points.join(' ')}));
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
  speeds.push(engine.tokens_per_second);
  if (speeds.length > historySeconds) speeds.shift();
  if (byId('engine').hidden) return;
  drawCards(state);
  drawHistory();
  drawBlocks(engine.cache);
}

function setUpEngine() {
  byId('measure').addEventListener('click', measure);
}
