'use strict';

function show(tab) {
  for (const name of ['chat', 'engine']) {
    byId(name).hidden = name !== tab;
    byId(`show-${name}`).setAttribute('aria-selected', String(name === tab));
  }
  if (tab === 'chat') byId('question').focus();
}

let hasModel = false;

function setStatus(name, text) {
  byId('status').className = name;
  byId('status').textContent = text;
}

// A model without a template cannot chat, but continues texts.
function setModel(state) {
  hasModel = true;
  byId('model').textContent = state.model;
  document.title = `${state.model} – Sluice`;
  byId('mode').value = state.chat ? 'chat' : 'text';
  if (!state.chat) byId('welcome').textContent = 'Write the beginning of a text. The model goes on.';
}

let polling = false;

// Once a second, while somebody can see it.
async function poll() {
  if (polling || document.hidden) return;
  polling = true;
  try {
    const state = await getJson('/state');
    if (!hasModel && state.model !== undefined) setModel(state);
    setStatus(state.status === 'ok' ? 'ready' : 'waiting', state.status === 'ok' ? 'ready' : state.status);
    showState(state);
  } catch (error) {
    setStatus('failed', error.message);
  }
  setTimeout(() => {
    polling = false;
    poll();
  }, 1000);
}

document.addEventListener('visibilitychange', poll);
byId('show-chat').addEventListener('click', () => show('chat'));
byId('show-engine').addEventListener('click', () => show('engine'));
setUpChat();
setUpEngine();
show('chat');
poll();
