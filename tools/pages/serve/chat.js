'use strict';

// The conversation so far, as the API wants it. A new one is another array, so that an answer that
// still comes in knows that it belongs to the old one.
let conversation = [];
let running = null;  // the AbortController of the answer that is being written

// What is left out is as the server has it.
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
function requestFor(question, isText) {
  if (isText) return {path: '/v1/completions', body: {...settingsOf(), prompt: question}};
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
    this.last = performance.now();
    if (this.pieces++ === 0) this.first = this.last;
  }
  // Pieces of text are tokens, but for those that hold half a letter.
  text(usage) {
    if (this.pieces === 0) return '';
    const tokens = usage?.completion_tokens ?? this.pieces;
    const seconds = (this.last - this.first) / 1000;
    // What comes all at once says nothing of its writer's speed.
    const parts = [
      seconds >= 0.1
        ? `${plural(tokens, 'token')} · ${((tokens - 1) / seconds).toFixed(1)} tokens/s`
        : `${plural(tokens, 'token')} in ${secondsText((this.last - this.begin) / 1000)}`,
    ];
    parts.push(`first after ${secondsText((this.first - this.begin) / 1000)}`);
    const cached = usage?.prompt_tokens_details?.cached_tokens;
    if (usage) parts.push(`${plural(usage.prompt_tokens, 'prompt token')}, ${cached ?? 0} cached`);
    return parts.join(' · ');
  }
}

// A question and its answer: as the page shows them, and what has come of the answer.
class Turn {
  constructor(question, isText) {
    this.text = el('div', {class: 'text'}, isText ? el('span', {class: 'given'}, question) : null);
    this.items = isText ? [] : [addMessage('user', el('div', {class: 'text'}, question))];
    this.answer = addMessage('assistant', this.text);
    this.answer.classList.add('writing');
    this.items.push(this.answer);
    this.content = '';
    this.usage = null;
    this.reason = '';
    this.pace = new Pace();
  }
  async write({path, body}, signal) {
    const showSpeed = () => {
      if (this.answer.isConnected) byId('speed').textContent = this.pace.text(this.usage);
    };
    const text = new GrowingText(this.text, showSpeed);
    try {
      for await (const event of streamJson(path, body, signal)) {
        this.usage = event.usage ?? this.usage;
        const choice = event.choices?.[0];
        const piece = choice?.delta?.content ?? choice?.text ?? '';
        this.reason = choice?.finish_reason ?? this.reason;
        if (piece === '') continue;
        this.pace.count();
        this.content += piece;
        text.append(piece);
      }
    } finally {
      text.flush();
      this.answer.classList.remove('writing');
    }
  }
  close(facts) {
    changeMessages(() => this.answer.append(
        el('div', {class: 'facts'}, el('span', null, facts), copyButton(this.text))));
  }
  // Shown until the next question, but no part of the conversation.
  drop(message) {
    this.items.forEach((item) => item.classList.add('dropped'));
    changeMessages(() => this.answer.append(el('div', {class: 'error'}, message)));
  }
  remove() {
    this.items.forEach((item) => item.remove());
  }
}

// Afterwards either question and answer are in the conversation, or the question is in the box.
async function ask(question) {
  const isText = byId('mode').value === 'text';
  const asked = requestFor(question, isText);
  const mine = conversation;
  document.querySelectorAll('.dropped').forEach((item) => item.remove());
  byId('welcome').hidden = true;
  const turn = new Turn(question, isText);
  const controller = new AbortController();
  setRunning(controller);
  const error = await turn.write(asked, controller.signal).then(() => null, (thrown) => thrown);
  if (mine !== conversation) return;
  setRunning(null);
  if (error !== null && (error.name !== 'AbortError' || turn.content === '')) {
    if (error.name === 'AbortError') turn.remove();
    else turn.drop(error.message);
    giveBack(question);
    return;
  }
  const ends = error !== null ? ' · stopped' : turn.reason === 'length' ? ' · cut at the limit' : '';
  turn.close(turn.pace.text(turn.usage) + ends);
  if (isText) return;
  mine.push({role: 'user', content: question}, {role: 'assistant', content: turn.content});
}

function setRunning(controller) {
  running = controller;
  byId('send').hidden = controller !== null;
  byId('stop').hidden = controller === null;
}

function setQuestion(text) {
  const box = byId('question');
  box.value = text;
  grow(box);
}

// In front of what was typed meanwhile.
function giveBack(question) {
  const typed = byId('question').value;
  setQuestion(typed.trim() === '' ? question : `${question}\n${typed}`);
}

function submit() {
  const question = byId('question').value;
  if (running !== null || question.trim() === '') return;
  setQuestion('');
  ask(question);
}

// As high as its text.
function grow(box) {
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight}px`;
}

function startConversation() {
  conversation = [];
  running?.abort();
  setRunning(null);
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
