// The figures and the plot of testdata/results.json, whose numbers are easy to follow by hand.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';

import {modelsOf, testOf} from './plan.mjs';
import {gridStep, plotOf} from './plot.mjs';
import {boundOf, costsOf, median, stepBytes, summarise, tableOf} from './summary.mjs';

const read = () =>
    summarise(JSON.parse(fs.readFileSync(new URL('testdata/results.json', import.meta.url))));

function close(actual, expected) {
  assert.ok(Math.abs(actual / expected - 1) < 1e-9, `${actual} is not ${expected}`);
}

test('the median is the middle, or the mean of the two in the middle', () => {
  assert.equal(median([3, 1, 10]), 3);
  assert.equal(median([10, 1, 3, 2]), 2.5);
});

test('ratios are those of the pairs, not of the medians', () => {
  const [prompt] = read().models[0].summary.tests;
  assert.equal(prompt.sluice, 50000);
  assert.equal(prompt.llama, 40000);
  assert.equal(prompt.ratio, 1.25);  // of 2, 1.25, 0.5
  assert.equal(prompt.ratio_min, 0.5);
  assert.equal(prompt.ratio_max, 2);
});

test('a prompt is bound by arithmetic, generation by bandwidth', () => {
  const [prompt, generation] = read().models[0].summary.tests;
  close(prompt.bound, 100 / ((2e6 * 100 + 4e5) / 3e11));
  close(generation.bound, 2e10 / 1e6);
  close(generation.sluice_of_bound, 0.125);
  close(generation.llama_of_bound, 0.25);
});

test('load times are medians, memory is the most', () => {
  const {sluice, llama} = read().models[0].summary;
  assert.deepEqual(sluice, {load_s: 2, peak_rss: 3145728});
  assert.deepEqual(llama, {load_s: 1, peak_rss: 1048576});
});

test('a step reads the experts that its tokens are expected to choose', () => {
  const costs = {weight_bytes: 100, expert_bytes: 80, experts: 4, experts_used: 2};
  close(stepBytes(costs, 1), 100);
  close(stepBytes(costs, 2), 20 + 40 * 3);  // half of those that the first token left
  close(stepBytes(costs, 100), 20 + 40 * 4);
});

test('tokens of sequences side by side share the weights', () => {
  const costs = {weight_bytes: 1e6, experts: 0, layer_flops: 10, output_flops: 10};
  const ceiling = {read_bytes_per_second: 1e9, flops_per_second: 1e9};
  close(boundOf(testOf('par4'), costs, ceiling), 4000);
});

test('costs come from the JSON of `sluice inspect`', () => {
  const costs = costsOf({
    metadata: {'x.expert_count': '8', 'x.expert_used_count': '2'},
    decode: [{
      weight_bytes: 100,
      flops: 1000,
      parts: {'output': {flops: 300}, 'gate/up': {bytes_read: 40}, 'down': {bytes_read: 20}},
    }],
  });
  assert.deepEqual(costs, {weight_bytes: 100, expert_bytes: 60, experts: 8, experts_used: 2,
                           layer_flops: 700, output_flops: 300});
});

test('tests and models are known by name, and files by their ending', () => {
  assert.deepEqual(testOf('pp2048').flags.slice(0, 6), ['-p', 2048, '-n', 0, '-b', 2048]);
  assert.equal(testOf('tg128').steps, 128);
  assert.throws(() => testOf('xx5'), /no test is called 'xx5'/);
  assert.throws(() => testOf('pp0'), /pp0/);
  assert.ok(modelsOf([], false).every((model) => !model.full));
  assert.equal(modelsOf([], true).length, modelsOf([], false).length + 1);
  assert.deepEqual(modelsOf(['/a/b.gguf']), [{name: 'b', title: 'b', path: '/a/b.gguf'}]);
  assert.throws(() => modelsOf(['none']), /no model is called 'none'/);
});

test('the table has a row for each test, one for loading and one for memory', () => {
  const table = tableOf(read().models[0]);
  assert.match(table, /^\| pp100 \| 50000 \| 40000 \| 1\.25 \| 0\.50\.\.2\.00 \|/m);
  assert.match(table, /^\| load, s \| 2\.00 \| 1\.00 \| 2\.00 \|/m);
  assert.match(table, /^\| peak memory, MiB \| 3 \| 1 \| 3\.00 \|/m);
});

test('bars of the plot are as high as their ratios', () => {
  const svg = plotOf(read());
  const heights = [...svg.matchAll(/<rect [^>]*height="([\d.]+)" rx="2" fill="[^"]+"\/><line/g)]
      .map((match) => Number(match[1]));
  assert.equal(heights.length, 2);
  assert.ok(Math.abs(heights[0] / heights[1] - 1.25 / 0.5) < 0.01);  // of tenths of a pixel
  assert.equal([...svg.matchAll(/class="one"/g)].length, 1);
});

test('names in the plot are text, whatever letters they have', () => {
  const svg = plotOf(read());
  assert.match(svg, /&lt;Q8_0&gt;/);
  assert.doesNotMatch(svg, /<Q8_0>/);
  assert.doesNotMatch(svg, /NaN|undefined/);
});

test('grid lines are few and round', () => {
  assert.equal(gridStep(2.16), 0.5);
  assert.equal(gridStep(1.2), 0.2);
  assert.equal(gridStep(11), 2);
});
