'use strict';

// The conversation so far, as the API wants it.
let conversation = [];
let running = null;  // the AbortController of the answer that is being written

function settingsOf() {
  const number = (id) => (byId(id).value === '' ? undefined : Number(byId(id).value));
  return {
    temperature: number('temperature'),
    top_p: number('top-p'),
    max_tokens: number('max-tokens'),
    seed: number('seed'),
  };
}

// Where to ask for an answer to `question`, and what.
function requestFor(question) {
  if (byId('mode').value === 'text') {
    return {path: '/v1/completions', body: {...settingsOf(), prompt: question}};
  }
  const system = byId('system').value.trim();
  const messages = [...conversation, {role: 'user', content: question}];
  if (system !== '') messages.unshift({role: 'system', content: system});
  return {path: '/v1/chat/completions', body: {...settingsOf(), messages}};
}

// How fast an answer comes, as it comes.
class Pace {
  constructor() {
    this.begin = performance.now();
    this.pieces = 0;
  }
  count() {
    if (this.pieces++ === 0) this.first = performance.now();
    this.last = performance.now();
  }
  // Pieces of text are tokens, but for those that hold half a letter.
  text(usage) {
    if (this.pieces === 0) return '';
    const tokens = usage?.completion_tokens ?? this.pieces;
    const seconds = (this.last - this.first) / 1000;
    const parts = [plural(tokens, 'token')];
    if (tokens > 1 && seconds > 0) parts.push(`${((tokens - 1) / seconds).toFixed(1)} tokens/s`);
    parts.push(`first after ${secondsText((this.first - this.begin) / 1000)}`);
    const cached = usage?.prompt_tokens_details?.cached_tokens;
    if (usage) parts.push(`${plural(usage.prompt_tokens, 'prompt token')}, ${cached ?? 0} cached`);
    return parts.join(' · ');
  }
}

function addMessage(role, ...children) {
  const messages = byId('messages');
  const item = el('li', {class: role}, ...children);
  messages.append(item);
  messages.scrollTop = messages.scrollHeight;
  byId('welcome').hidden = true;
  return item;
}

// Follows the end of the text, unless the reader has scrolled away from it.
function append(text, piece) {
  const messages = byId('messages');
  const follows = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
  text.append(piece);
  if (follows) messages.scrollTop = messages.scrollHeight;
}

function setRunning(controller) {
  running = controller;
  byId('send').hidden = controller !== null;
  byId('stop').hidden = controller === null;
}

// Streams the answer into `text` and returns it, with the server's count of tokens.
async function write({path, body}, text, signal) {
  const pace = new Pace();
  const answer = {content: '', facts: '', reason: ''};
  let usage = null;
  try {
    for await (const event of streamJson(path, body, signal)) {
      usage = event.usage ?? usage;
      const choice = event.choices[0];
      const piece = choice?.delta?.content ?? choice?.text ?? '';
      answer.reason = choice?.finish_reason ?? answer.reason;
      if (piece === '') continue;
      pace.count();
      answer.content += piece;
      append(text, piece);
      byId('speed').textContent = pace.text(null);
    }
  } finally {
    answer.facts = pace.text(usage);
    byId('speed').textContent = answer.facts;
  }
  if (answer.reason === 'length') answer.facts += ' · cut at the limit';
  return answer;
}

function factsOf(facts, text) {
  const copy = el('button', {type: 'button', title: 'Copy the answer'}, 'Copy');
  copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(text.textContent);
    copy.textContent = 'Copied';
  });
  return el('div', {class: 'facts'}, el('span', null, facts), copy);
}

async function ask(question) {
  const request = requestFor(question);
  const isText = byId('mode').value === 'text';
  const text = el('div', {class: 'text'});
  if (isText) {
    text.append(el('span', {class: 'given'}, question));
  } else {
    addMessage('user', el('div', {class: 'text'}, question));
  }
  const item = addMessage('assistant', text);
  item.classList.add('writing');
  setRunning(new AbortController());
  try {
    const answer = await write(request, text, running.signal);
    item.append(factsOf(answer.facts, text));
    if (!isText) {
      conversation.push({role: 'user', content: question},
                        {role: 'assistant', content: answer.content});
    }
  } catch (error) {
    const stopped = error.name === 'AbortError';
    item.append(el('div', {class: stopped ? 'facts' : 'error'},
                   stopped ? 'stopped' : error.message));
    if (stopped && !isText) {
      conversation.push({role: 'user', content: question},
                        {role: 'assistant', content: text.textContent});
    }
  } finally {
    item.classList.remove('writing');
    setRunning(null);
  }
}

function submit() {
  const box = byId('question');
  const question = box.value;
  if (running !== null || question.trim() === '') return;
  box.value = '';
  grow(box);
  ask(question);
}

// As high as its text.
function grow(box) {
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight}px`;
}

function startConversation() {
  running?.abort();
  conversation = [];
  byId('messages').replaceChildren();
  byId('welcome').hidden = false;
  byId('speed').textContent = '';
  byId('question').focus();
}

function setUpChat() {
  byId('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  byId('question').addEventListener('input', (event) => grow(event.target));
  byId('question').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  byId('stop').addEventListener('click', () => running?.abort());
  byId('new').addEventListener('click', startConversation);
}
