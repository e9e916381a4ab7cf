// What users of the official client do, against a server with the embedded story model. The texts
// are whatever the model writes; shapes, limits and agreement of one request with another are not.
import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import OpenAI from 'openai';

import {startServer} from './server.mjs';

const apiKey = 'a-key-of-ours';
const model = 'stories';
let server;
let client;

before(async () => {
  server = await startServer(['-np', '4', '--api-key', apiKey, '--alias', model,
                              '--chat-template', 'chatml', '--cache-type-k', 'f32',
                              '--cache-type-v', 'f32']);
  client = new OpenAI({apiKey, baseURL: `${server.url}/v1`, maxRetries: 0});
});

after(async () => {
  assert.equal(await server.stop(), 0);
});

const story = {model, prompt: 'Once upon a time', max_tokens: 24, temperature: 0};
const chat = {
  model,
  messages: [{role: 'system', content: 'You tell stories.'},
             {role: 'user', content: 'Tell me about a cat.'}],
  max_tokens: 24,
  temperature: 0,
};

async function state() {
  const response = await fetch(`${server.url}/state`,
                               {headers: {Authorization: `Bearer ${apiKey}`}});
  return response.json();
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe('models', () => {
  it('lists the one that is served', async () => {
    const models = await client.models.list();
    assert.deepEqual(models.data.map((each) => each.id), [model]);
  });

  it('tells of one', async () => {
    const one = await client.models.retrieve(model);
    assert.equal(one.id, model);
    assert.ok(one.context_length > 100);
    await assert.rejects(client.models.retrieve('another/one'), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, 'model_not_found');
      return true;
    });
  });

  it('has the context that it was said to have', async () => {
    const said = /context of (\d+) tokens, the model's own; the cache of 4 answers takes/.exec(
        server.log());
    assert.ok(said, server.log());
    assert.equal((await client.models.retrieve(model)).context_length, Number(said[1]));
  });
});

describe('completions', () => {
  it('continues a text and counts tokens', async () => {
    const answer = await client.completions.create(story);
    assert.equal(answer.object, 'text_completion');
    assert.equal(answer.choices.length, 1);
    assert.ok(answer.choices[0].text.length > 20);
    assert.equal(answer.choices[0].finish_reason, 'length');
    assert.equal(answer.usage.completion_tokens, 24);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 24);
  });

  it('streams the same text', async () => {
    const whole = await client.completions.create(story);
    const chunks = await collect(await client.completions.create({...story, stream: true}));
    const text = chunks.map((chunk) => chunk.choices[0]?.text ?? '').join('');
    assert.equal(text, whole.choices[0].text);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
  });

  it('finds the prompt in its cache', async () => {
    const long = {...story, prompt: 'Once upon a time there was a little girl. '.repeat(6)};
    await client.completions.create(long);
    const {usage} = await client.completions.create(long);
    assert.ok(usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens / 2);
  });

  it('gives log probabilities', async () => {
    const answer = await client.completions.create({...story, max_tokens: 4, logprobs: 3});
    const {logprobs} = answer.choices[0];
    assert.equal(logprobs.tokens.length, 4);
    assert.equal(logprobs.tokens.join(''), answer.choices[0].text);
    for (const [i, top] of logprobs.top_logprobs.entries()) {
      assert.ok(Object.keys(top).length >= 3);
      assert.ok(logprobs.token_logprobs[i] <= 0);
      assert.ok(Math.max(...Object.values(top)) <= logprobs.token_logprobs[i] + 1e-6);  // greedy
    }
  });

  it('stops at a string and does not say it', async () => {
    const whole = (await client.completions.create(story)).choices[0].text;
    const stop = whole.slice(12, 18);
    const answer = await client.completions.create({...story, stop});
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.equal(answer.choices[0].text, whole.slice(0, whole.indexOf(stop)));
  });

  it('gives several answers, the same for the same seed', async () => {
    const request = {...story, temperature: 1, n: 3, seed: 7};
    const texts = async () =>
      (await client.completions.create(request)).choices.map((choice) => choice.text);
    const first = await texts();
    assert.equal(first.length, 3);
    assert.ok(new Set(first).size > 1);
    assert.deepEqual(await texts(), first);
  });

  it('gives many at once what each gets alone', async () => {
    const prompts = ['Once upon a time', 'The dog', 'A big red ball', 'Lily and Tom', 'One day',
                     'In the park', 'Mom said', 'The little bird'];
    const textOf = async (prompt) =>
      (await client.completions.create({...story, prompt})).choices[0].text;
    const alone = [];
    for (const prompt of prompts) alone.push(await textOf(prompt));
    assert.deepEqual(await Promise.all(prompts.map(textOf)), alone);
  });
});

describe('chat', () => {
  it('answers', async () => {
    const answer = await client.chat.completions.create(chat);
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.choices[0].message.role, 'assistant');
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.ok(['stop', 'length'].includes(answer.choices[0].finish_reason));
  });

  it('streams: the role, the text, the reason, the count', async () => {
    const whole = await client.chat.completions.create(chat);
    const chunks = await collect(await client.chat.completions.create(
        {...chat, stream: true, stream_options: {include_usage: true}}));
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    const reasons = chunks.flatMap((chunk) => chunk.choices.map((each) => each.finish_reason));
    assert.deepEqual(reasons.filter((reason) => reason !== null),
                     [whole.choices[0].finish_reason]);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
  });

  it('gives log probabilities', async () => {
    const answer = await client.chat.completions.create(
        {...chat, max_tokens: 3, logprobs: true, top_logprobs: 2});
    const {content} = answer.choices[0].logprobs;
    assert.ok(content.length > 0);
    for (const token of content) {
      assert.equal(token.top_logprobs.length, 2);
      assert.equal(token.top_logprobs[0].token, token.token);
      assert.ok(token.logprob <= 0);
      assert.equal(Buffer.from(token.bytes).toString(), token.token);
    }
  });

  it('writes JSON if it must', async () => {
    const answer = await client.chat.completions.create(
        {...chat, max_tokens: 200, response_format: {type: 'json_object'}});
    const {message, finish_reason: reason} = answer.choices[0];
    if (reason === 'stop') assert.equal(typeof JSON.parse(message.content), 'object');
    assert.match(message.content, /^\s*\{/);
  });

  it('writes JSON of a schema', async () => {
    const schema = {
      type: 'object',
      properties: {
        name: {type: 'string', maxLength: 12},
        animal: {enum: ['cat', 'dog']},
        legs: {type: 'integer'},
        tame: {type: 'boolean'},
      },
      required: ['name', 'animal', 'legs', 'tame'],
      additionalProperties: false,
    };
    const answer = await client.chat.completions.create({
      ...chat,
      max_tokens: 200,
      response_format: {type: 'json_schema', json_schema: {name: 'pet', schema, strict: true}},
    });
    assert.equal(answer.choices[0].finish_reason, 'stop');
    const pet = JSON.parse(answer.choices[0].message.content);
    assert.deepEqual(Object.keys(pet).sort(), ['animal', 'legs', 'name', 'tame']);
    assert.ok(['cat', 'dog'].includes(pet.animal));
    assert.ok(Number.isInteger(pet.legs));
    assert.equal(typeof pet.tame, 'boolean');
  });

  it('refuses a schema that it cannot keep to', async () => {
    const schema = {type: 'string', pattern: '^a+$'};
    await assert.rejects(
        client.chat.completions.create({
          ...chat,
          response_format: {type: 'json_schema', json_schema: {name: 'a', schema}},
        }),
        (error) => error instanceof OpenAI.BadRequestError && /pattern/.test(error.message));
  });
});

describe('a client that goes away', () => {
  it('frees its place', async () => {
    const stream = await client.completions.create(
        {...story, max_tokens: 400, temperature: 1, stream: true});
    let pieces = 0;
    for await (const chunk of stream) {
      if (chunk && ++pieces === 3) break;  // aborts the request
    }
    assert.equal(pieces, 3);
    for (let i = 0; i < 100; ++i) {
      const {engine} = await state();
      if (engine.running === 0 && engine.waiting === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail('the answer is still being written');
  });

  it('may abort before the first word', async () => {
    const controller = new AbortController();
    const promise = client.completions.create({...story, max_tokens: 400},
                                              {signal: controller.signal});
    setTimeout(() => controller.abort(), 5);
    await assert.rejects(promise, OpenAI.APIUserAbortError);
  });
});

describe('errors', () => {
  it('of a key', async () => {
    const stranger = new OpenAI({apiKey: 'another', baseURL: `${server.url}/v1`, maxRetries: 0});
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
    for (const path of ['/', '/state', '/v1/models', '/nothing']) {
      assert.equal((await fetch(server.url + path)).status, 401, path);
    }
    assert.equal((await fetch(`${server.url}/health`)).status, 200);
  });

  it('of a field say which', async () => {
    await assert.rejects(client.completions.create({...story, temperature: 'hot'}), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'temperature');
      assert.equal(error.type, 'invalid_request_error');
      return true;
    });
    await assert.rejects(client.chat.completions.create({...chat, messages: []}),
                         OpenAI.BadRequestError);
  });

  it('of a prompt beyond the context', async () => {
    const prompt = new Array(5000).fill(11);
    await assert.rejects(client.completions.create({...story, prompt}), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.code, 'context_length_exceeded');
      assert.match(error.message, /maximum context length is \d+ tokens.*5000 tokens/);
      return true;
    });
  });

  it('of embeddings that this model has not', async () => {
    await assert.rejects(client.embeddings.create({model, input: 'a'}), OpenAI.APIError);
  });
});
