'use strict';

// What the server says went wrong, in its own words.
class ApiError extends Error {}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return new ApiError(body?.error?.message ?? `the server answered with status ${response.status}`);
}

async function getJson(path) {
  const response = await fetch(path);
  if (!response.ok) throw await failure(response);
  return response.json();
}

// The events of a stream, each parsed, until [DONE].
async function* streamJson(path, body, signal) {
  const response = await fetch(path, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({...body, stream: true, stream_options: {include_usage: true}}),
    signal,
  });
  if (!response.ok) throw await failure(response);
  let rest = '';
  for await (const piece of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + piece).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith('data:')) continue;  // a comment, while there is nothing to tell
      const data = event.replace(/^data: ?/, '');
      if (data === '[DONE]') return;
      const json = JSON.parse(data);
      if (json.error) throw new ApiError(json.error.message);
      yield json;
    }
  }
  throw new ApiError('the answer broke off');
}

// Not every browser can iterate over a stream.
async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
