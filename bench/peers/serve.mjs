// `sluice serve` under load beside llama.cpp's library. Started by ./run --serve.

import {spawn} from 'node:child_process';
import fs from 'node:fs';
import {parseArgs} from 'node:util';

import {modelsOf} from './plan.mjs';
import {captureJson, fileOf, readThrough, show} from './programs.mjs';
import {median} from './summary.mjs';

const usage = `Usage: bench/peers/run --serve [FLAG...]

Clients that each ask anew when they have their answer: tokens generated per second of all together,
of a server of Sluice over HTTP, and of llama.cpp's library in a loop of its own, which gets all
prompts at once, in steps as large, and then a token for each client in every step. That loop picks
no tokens and talks to nobody, so it is an upper bound of llama.cpp's server.

  --models A,B        qwen3-0.6b-q4_k_m and qwen3-30b-a3b-8-layers-q4_k_m unless given
  --clients A,B       1,4,16 unless given
  --n-prompt N        tokens of a prompt, 128 unless given
  --n-gen N           tokens of an answer, 64 unless given
  --rounds N          runs of each, 3 unless given
  --threads N         2 unless given
  --keep-models DIR   keep the model files there, and use those that are there

Then what a shared prefix saves: the time to the first text of a request with 400 tokens that an
earlier one had, over that of the earlier one.
`;

const requestsOfClient = 2;
const sharedTokens = 400;
const ownTokens = 8;

function readOptions() {
  const text = {type: 'string'};
  const {values} = parseArgs({
    options: {
      'models': text, 'clients': text, 'n-prompt': text, 'n-gen': text, 'rounds': text,
      'threads': text, 'keep-models': text, 'sluice': text, 'llama-bench': text, 'llama': text,
      'help': {type: 'boolean', short: 'h'},
    },
  });
  const count = (name, value) => {
    if (/^[1-9]\d{0,3}$/.test(value)) return Number(value);
    throw new Error(`--${name} ${value}: expected a number from 1 to 9999`);
  };
  const models = values.models ?? 'qwen3-0.6b-q4_k_m,qwen3-30b-a3b-8-layers-q4_k_m';
  return {
    ...values,
    models: modelsOf(models.split(','), false),
    clients: (values.clients ?? '1,4,16').split(',').map((value) => count('clients', value)),
    prompt: count('n-prompt', values['n-prompt'] ?? '128'),
    generation: count('n-gen', values['n-gen'] ?? '64'),
    rounds: count('rounds', values.rounds ?? '3'),
    threads: count('threads', values.threads ?? '2'),
  };
}

// Starts a server on a free port and resolves, when it is ready, to {url, stop}.
function startServer(file, options) {
  const context = Math.max(options.prompt + options.generation, sharedTokens + ownTokens) + 16;
  const child = spawn(options.sluice, [
    'serve', file, '--port', '0', '--log-format', 'none', '-t', options.threads,
    '-np', Math.max(...options.clients), '-c', context].map(String),
                      {stdio: ['ignore', 'ignore', 'pipe']});
  const ended = new Promise((resolve) => child.on('close', resolve));
  const stop = () => (child.kill('SIGTERM'), ended);
  return new Promise((resolve, reject) => {
    let errors = '';
    let url;
    child.on('error', reject);
    child.on('close', () => reject(new Error(`sluice serve: ${errors.trim()}`)));
    child.stderr.on('data', async (data) => {
      errors += data;
      const match = /http:\/\/[\d.]+:\d+/.exec(errors);
      if (match === null || url !== undefined) return;
      url = match[0];
      while (!(await fetch(`${url}/health`)).ok) await new Promise((wake) => setTimeout(wake, 100));
      resolve({url, stop});
    });
  });
}

// Each call has prompts of its own, so that none is in the prefix cache.
let seed = 0;

function load(server, options, ...flags) {
  return captureJson(options.sluice, ['bench-serve', '--url', server.url, '--seed', ++seed,
                                      '--format', 'json', ...flags]);
}

async function sluiceSpeed(server, clients, options) {
  const result = await load(server, options, '-c', clients, '-r', clients * requestsOfClient,
                            '-p', options.prompt, '-n', options.generation);
  if (result.failed > 0) throw new Error(JSON.stringify(result.failures));
  return result.tokens_per_second;
}

async function llamaSpeed(file, clients, options) {
  const [result] = await captureJson(options['llama-bench'], [
    options.llama, '-m', file, '-t', options.threads, '-p', options.prompt,
    '-n', options.generation, '--parallel', clients, '-b', 512, '-r', requestsOfClient]);
  return median(result.samples_ts);
}

// The time to the first text of the second of two requests with a common prefix, over the first's.
async function prefixRatio(server, options) {
  const result = await load(server, options, '-c', 1, '-r', 2, '-p', sharedTokens + ownTokens,
                            '--shared-prefix', sharedTokens, '-n', 1);
  return result.first_text_ms.p50 / result.first_text_ms.max;
}

async function compareModel(model, file, options) {
  const server = await startServer(file, options);
  const runs = options.clients.map(() => ({sluice: [], llama: []}));
  const prefixes = [];
  try {
    await load(server, options, '-c', 1, '-r', 1, '-p', 8, '-n', 2);  // the first step compiles
    for (let round = 0; round < options.rounds; ++round) {
      for (const [i, clients] of options.clients.entries()) {
        show(`${model.name}: round ${round + 1} of ${options.rounds}, ${clients} clients`);
        const sluice = async () => runs[i].sluice.push(await sluiceSpeed(server, clients, options));
        const llama = async () => runs[i].llama.push(await llamaSpeed(file, clients, options));
        for (const run of round % 2 === 0 ? [sluice, llama] : [llama, sluice]) await run();
      }
      prefixes.push(await prefixRatio(server, options));
    }
  } finally {
    show('');
    await server.stop();
  }
  return {runs, prefixes};
}

function print(model, {runs, prefixes}, options) {
  console.log(`${model.title}: ${options.prompt} + ${options.generation} tokens, ` +
              `${options.threads} threads, ${options.rounds} rounds\n`);
  console.log('| clients | sluice tokens/s | llama.cpp tokens/s | ratio |');
  console.log('|--------:|----------------:|-------------------:|------:|');
  for (const [i, clients] of options.clients.entries()) {
    const {sluice, llama} = runs[i];
    const ratios = sluice.map((speed, round) => speed / llama[round]);
    const range = `${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)}`;
    console.log(`| ${clients} | ${median(sluice).toFixed(1)} | ${median(llama).toFixed(1)} | ` +
                `${median(ratios).toFixed(2)} (${range}) |`);
  }
  console.log(`\nFirst text with ${sharedTokens} shared tokens: ` +
              `${(100 * median(prefixes)).toFixed(1)}% of the time without\n`);
}

async function main() {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(usage);
    return;
  }
  for (const model of options.models) {
    const {file, temporary} = await fileOf(model, options);
    try {
      await readThrough(file);
      print(model, await compareModel(model, file, options), options);
    } finally {
      if (temporary) fs.rmSync(file);
    }
  }
}

main().catch((error) => {
  show('');
  console.error(`bench/peers: ${error.message}`);
  process.exitCode = 1;
});
