// Sluice and llama.cpp in turn on the same files. Started by ./run, which says where the programs
// are; plain Node.js, because llama.cpp comes from npm anyway.

import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {parseArgs} from 'node:util';

import {defaultTests, models, modelsOf, testOf} from './plan.mjs';
import {plotOf} from './plot.mjs';
import {captureJson, fileOf, readThrough, root, show} from './programs.mjs';
import {costsOf, median, summarise, tableOf} from './summary.mjs';

const usage = `Usage: bench/peers/run [FLAG...]

Compares the speed of Sluice with that of llama.cpp, on model files with random weights. The first
call installs llama.cpp from npm and builds both sides.

  --models A,B        models or GGUF files; all but the full one unless given
  --full              also the model of 48 layers: 18 GB on disk
  --tests A,B         ${defaultTests.join(',')} unless given
  --rounds N          runs of each test, 5 unless given
  --threads N         2 unless given
  --device N          on this Vulkan device, as \`sluice devices\` counts, not on the CPU
  --json FILE         all samples and figures
  --plot FILE.svg     the ratios as a picture
  --keep-models DIR   keep the model files there, and use those that are there
  --from FILE         measure nothing: tables and plot of what --json has written
  --serve             servers with several clients instead; --serve --help tells more

Models: ${models.map((model) => model.name).join(', ')}
`;

// A command line that cannot be followed; exit status 2.
class UsageError extends Error {}

function readOptions(args) {
  const text = {type: 'string'};
  const {values} = parseArgs({
    args,
    options: {
      'models': text, 'tests': text, 'rounds': text, 'threads': text, 'json': text, 'plot': text,
      'keep-models': text, 'from': text, 'sluice': text, 'llama-bench': text, 'llama': text,
      'device': text,
      'full': {type: 'boolean'}, 'help': {type: 'boolean', short: 'h'},
    },
  });
  if (values.device !== undefined && !/^\d{1,2}$/.test(values.device)) {
    throw new Error(`--device ${values.device}: expected a number from 0 to 99`);
  }
  const count = (name, fallback) => {
    const value = values[name] ?? fallback;
    if (/^[1-9]\d{0,3}$/.test(value)) return Number(value);
    throw new Error(`--${name} ${value}: expected a number from 1 to 9999`);
  };
  const list = (name) => values[name]?.split(',') ?? [];
  const tests = values.tests === undefined ? defaultTests : list('tests');
  return {
    ...values,
    models: modelsOf(list('models'), values.full),
    tests: tests.map(testOf),
    rounds: count('rounds', '5'),
    threads: count('threads', '2'),
  };
}

// llama.cpp puts all layers on the GPU by itself where its libraries can use one.
function programOf(side, options) {
  if (side === 'llama') return [options['llama-bench'], [options.llama]];
  const backend = options.device === undefined ? [] :
                                                 ['--backend', 'vulkan', '--device', options.device];
  return [options.sluice, ['bench', '-o', 'json', ...backend]];
}

// One process of one side.
async function measure(side, file, test, options) {
  const [program, first] = programOf(side, options);
  const [result] = await captureJson(
      program, [...first, '-m', file, '-t', options.threads, ...test.flags]);
  return {
    speed: median(result.samples_ts),
    load_s: result.load_s,
    peak_rss: result.peak_rss,
    backend: result.backend,
  };
}

async function measureCeiling(options) {
  if (options.device !== undefined) {
    const devices = await captureJson(options.sluice, ['devices', '--measure', '--format', 'json']);
    const device = devices[options.device];
    if (device === undefined) throw new Error(`there is no Vulkan device ${options.device}`);
    return {read_bytes_per_second: device.copy_bytes_per_second, flops_per_second: 0};
  }
  const {machine} = await captureJson(
      options.sluice, ['inspect', '--measure', '--format', 'json', '-t', options.threads]);
  return {
    read_bytes_per_second: machine.read_bytes_per_second,
    flops_per_second: machine.flops_per_second,
  };
}

// All rounds of a model. Each goes through the tests with one process of each side; which comes
// first changes from round to round.
async function compareModel(model, file, options) {
  const inspection = await captureJson(options.sluice, [
    'inspect', file, '--all', '--format', 'json', '-c', 512, '--prepack-memory', 0]);
  const result = {
    name: model.name,
    title: model.title,
    file_bytes: fs.statSync(file).size,
    costs: costsOf(inspection),
    ceilings: [],
    runs: {},
  };
  await readThrough(file);
  for (let round = 0; round < options.rounds; ++round) {
    result.ceilings.push(await measureCeiling(options));
    const sides = round % 2 === 0 ? ['sluice', 'llama'] : ['llama', 'sluice'];
    for (const test of options.tests) {
      const runs = result.runs[test.name] ??= {sluice: [], llama: []};
      for (const side of sides) {
        show(`${model.name}: round ${round + 1} of ${options.rounds}, ${test.name}, ${side}`);
        runs[side].push(await measure(side, file, test, options));
      }
    }
  }
  return result;
}

function describe(options) {
  const version = JSON.parse(fs.readFileSync(new URL('package.json', import.meta.url)));
  const commit = spawnSync('git', ['-C', root, 'describe', '--always', '--dirty']);
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model ?? 'unknown',
    device: options.device ?? null,
    threads: options.threads,
    sluice: commit.status === 0 ? commit.stdout.toString().trim() : 'unknown',
    llama: `${path.basename(options.llama)} of npm ${version.dependencies['node-llama-cpp']}`,
    models: [],
  };
}

async function compare(options) {
  const load = os.loadavg()[0];
  if (load > 0.5) console.error(`warning: the machine is busy (load ${load.toFixed(1)})`);
  const results = describe(options);
  for (const model of options.models) {
    const {file, temporary} = await fileOf(model, options);
    try {
      results.models.push(await compareModel(model, file, options));
    } finally {
      if (temporary) fs.rmSync(file);
      show('');
    }
    summarise(results);
    console.log(tableOf(results.models.at(-1)));
    write(results, options);  // now: the next model may fail
  }
}

function write(results, options) {
  if (options.json) fs.writeFileSync(options.json, JSON.stringify(results, null, 2) + '\n');
  if (options.plot) fs.writeFileSync(options.plot, plotOf(results));
}

async function main() {
  let options;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (options.help) {
    process.stdout.write(usage);
  } else if (options.from !== undefined) {
    const results = summarise(JSON.parse(fs.readFileSync(options.from)));
    for (const model of results.models) console.log(tableOf(model));
    write(results, options);
  } else {
    await compare(options);
  }
}

main().catch((error) => {
  show('');
  console.error(`bench/peers: ${error.message}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
});
