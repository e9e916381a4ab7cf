'use strict';

// What went wrong, in the server's own words where there are some.
class ApiError extends Error {}

// `error` of an answer: an object by OpenAI's API, a text from a proxy between.
const messageOf = (error) => error.message ?? String(error);

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw error.name === 'AbortError' ? error : new ApiError('the server does not answer');
  }
  if (response.ok) return response;
  const error = (await response.json().catch(() => null))?.error;
  throw new ApiError(error ? messageOf(error) : `the server answered with status ${response.status}`);
}

const getJson = async (path) => (await request(path)).json();

function parseEvent(data) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    throw new ApiError('the server sent an event that is no JSON');
  }
  if (event.error) throw new ApiError(messageOf(event.error));
  return event;
}

// The events of a stream, each parsed, until [DONE].
async function* streamJson(path, body, signal) {
  const response = await request(path, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({...body, stream: true, stream_options: {include_usage: true}}),
    signal,
  });
  const events = new EventReader();
  for await (const piece of pieces(response.body)) {
    for (const data of events.push(piece)) {
      signal.throwIfAborted();
      if (data === '[DONE]') return;
      yield parseEvent(data);
    }
  }
  throw new ApiError('the answer broke off');
}

// The text of a stream. Not every browser can iterate over one.
async function* pieces(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      yield decoder.decode(value, {stream: true});
    }
  } catch (error) {
    throw error.name === 'AbortError' ? error : new ApiError('the answer broke off');
  } finally {
    reader.cancel().catch(() => {});
  }
}
