// From samples to figures: medians, pairwise ratios, and fractions of what the machine allows.

import {testOf} from './plan.mjs';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// The costs of a model's steps, from the JSON of `sluice inspect --all`.
export function costsOf(inspection) {
  const metadata = (end) => {
    const key = Object.keys(inspection.metadata).find((name) => name.endsWith(end));
    return key === undefined ? 0 : Number(inspection.metadata[key]);
  };
  const step = inspection.decode[0];
  const experts = metadata('.expert_count');
  const {output, 'gate/up': gateUp, down} = step.parts;
  return {
    weight_bytes: step.weight_bytes,  // that one token needs
    expert_bytes: experts > 0 ? gateUp.bytes_read + down.bytes_read : 0,  // of these
    experts,
    experts_used: metadata('.expert_used_count'),
    layer_flops: step.flops - output.flops,  // of one token
    output_flops: output.flops,              // of one row of logits
  };
}

// Bytes of weights that a step of `tokens` tokens has to read: each once, and of experts those that
// are expected to be chosen when each is as likely as any other.
export function stepBytes(costs, tokens) {
  if (costs.experts === 0) return costs.weight_bytes;
  const share = costs.experts_used / costs.experts;
  const chosen = costs.experts * (1 - (1 - share) ** tokens);
  return costs.weight_bytes + costs.expert_bytes * (chosen / costs.experts_used - 1);
}

// Tokens per second that a test cannot exceed: a step takes as long as its bytes at the machine's
// bandwidth or its operations at its f32 arithmetic, whichever is longer. Of a GPU only the
// bandwidth is measured, and `flops_per_second` is 0.
export function boundOf(test, costs, ceiling) {
  const flops = costs.layer_flops * test.tokens + costs.output_flops * test.outputs;
  const bytesSeconds = stepBytes(costs, test.tokens) / ceiling.read_bytes_per_second;
  const flopsSeconds = ceiling.flops_per_second > 0 ? flops / ceiling.flops_per_second : 0;
  return test.tokens / Math.max(bytesSeconds, flopsSeconds);
}

// The best of all rounds: whatever else runs on the machine can only lower what is measured.
export function ceilingOf(ceilings) {
  return {
    read_bytes_per_second: Math.max(...ceilings.map((c) => c.read_bytes_per_second)),
    flops_per_second: Math.max(...ceilings.map((c) => c.flops_per_second)),
  };
}

// Of one test's runs, {sluice: [...], llama: [...]}, a run of each side per round.
export function summaryOf(name, runs, costs, ceiling) {
  const speeds = {
    sluice: runs.sluice.map((run) => run.speed),
    llama: runs.llama.map((run) => run.speed),
  };
  const ratios = speeds.sluice.map((speed, round) => speed / speeds.llama[round]);
  const bound = boundOf(testOf(name), costs, ceiling);
  const sluice = median(speeds.sluice);
  const llama = median(speeds.llama);
  return {
    test: name,
    sluice,
    llama,
    ratio: median(ratios),
    ratio_min: Math.min(...ratios),
    ratio_max: Math.max(...ratios),
    bound,
    sluice_of_bound: sluice / bound,
    llama_of_bound: llama / bound,
  };
}

// Of all runs of a side on a model: how long it took to load, and the most memory it had.
export function processOf(runsOfTests, side) {
  const runs = runsOfTests.flatMap((runs) => runs[side]);
  return {
    load_s: median(runs.map((run) => run.load_s)),
    peak_rss: Math.max(...runs.map((run) => run.peak_rss)),
  };
}

// Adds `summary` to every model of the results that has been measured.
export function summarise(results) {
  for (const model of results.models) {
    const ceiling = ceilingOf(model.ceilings);
    model.summary = {
      ceiling,
      tests: Object.entries(model.runs).map(
          ([name, runs]) => summaryOf(name, runs, model.costs, ceiling)),
      sluice: processOf(Object.values(model.runs), 'sluice'),
      llama: processOf(Object.values(model.runs), 'llama'),
    };
  }
  return results;
}

const percent = (fraction) => `${(100 * fraction).toFixed(0)}%`;
const speed = (value) => (value < 100 ? value.toFixed(1) : value.toFixed(0));
const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);

function ceilingText({read_bytes_per_second, flops_per_second}) {
  const bytes = `${(read_bytes_per_second / 1e9).toFixed(1)} GB/s`;
  if (flops_per_second === 0) return `copying ${bytes}`;
  return `reading ${bytes}, f32 multiply-add ${(flops_per_second / 1e9).toFixed(0)} GFLOP/s`;
}

// One model's figures as Markdown.
export function tableOf(model) {
  const {ceiling, tests, sluice, llama} = model.summary;
  const rows = tests.map((t) => `| ${t.test} | ${speed(t.sluice)} | ${speed(t.llama)} | ` +
      `${t.ratio.toFixed(2)} | ${t.ratio_min.toFixed(2)}..${t.ratio_max.toFixed(2)} | ` +
      `${speed(t.bound)} | ${percent(t.sluice_of_bound)} | ${percent(t.llama_of_bound)} |`);
  return [
    `${model.title}. The machine at best: ${ceilingText(ceiling)}`,
    '',
    '| t/s | Sluice | llama.cpp | ratio | min..max | bound | Sluice of it | llama.cpp of it |',
    '|---|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
    `| load, s | ${sluice.load_s.toFixed(2)} | ${llama.load_s.toFixed(2)} ` +
        `| ${(sluice.load_s / llama.load_s).toFixed(2)} | | | | |`,
    `| peak memory, MiB | ${mebibytes(sluice.peak_rss)} | ${mebibytes(llama.peak_rss)} ` +
        `| ${(sluice.peak_rss / llama.peak_rss).toFixed(2)} | | | | |`,
    '',
  ].join('\n');
}
