// The ratios of a comparison as an SVG: a group of bars for each model, a bar for each test.

const barWidth = 24;
const groupGap = 28;
const margin = {left: 44, right: 16, top: 64, bottom: 48};
const plotHeight = 260;

// Prompts in blues, one sequence in orange, several in greens: dark enough on white, and light
// enough on black.
const shades = {
  pp: ['#1d5fa8', '#3f83cc', '#6ba6e3', '#9cc5f0'],
  tg: ['#e0852c', '#eda75f'],
  par: ['#2f8f5b', '#62b787', '#92d0ab'],
};

const style = `
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .small { font-size: 10px; }
  .title { font-size: 14px; font-weight: 600; }
  .grid { stroke: #d0d7de; }
  .one { stroke: #24292f; stroke-width: 1.5; }
  .spread { stroke: #57606a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .grid { stroke: #30363d; }
    .one { stroke: #e6edf3; }
    .spread { stroke: #9198a1; }
  }`;

export function escapeXml(text) {
  const entities = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'};
  return String(text).replace(/[&<>"]/g, (letter) => entities[letter]);
}

// A distance between lines that makes about five of them, 1, 2 or 5 times a power of ten.
export function gridStep(highest) {
  const power = 10 ** Math.floor(Math.log10(highest / 5));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => highest / step <= 6);
}

// Test name -> colour; of a kind, the first gets the darkest.
function coloursOf(tests) {
  const used = {pp: 0, tg: 0, par: 0};
  return Object.fromEntries(tests.map((test) => {
    const kind = test.replace(/\d+$/, '');
    return [test, shades[kind][used[kind]++ % shades[kind].length]];
  }));
}

const text = (x, y, content, attributes = '') =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeXml(content)}</text>`;
const line = (x1, y1, x2, y2, kind) => `<line class="${kind}" x1="${x1.toFixed(1)}" ` +
    `y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"/>`;

function legend(tests, colours) {
  let x = margin.left;
  return tests.map((test) => {
    const at = x;
    x += 30 + 7 * test.length;
    return `<rect x="${at}" y="34" width="10" height="10" rx="2" fill="${colours[test]}"/>` +
        text(at + 14, 43, test);
  });
}

function grid(width, highest, yOf) {
  const step = gridStep(highest);
  const parts = [];
  for (let value = 0; value <= highest; value += step) {
    const y = yOf(value);
    parts.push(line(margin.left, y, width - margin.right, y, 'grid'),
               text(margin.left - 6, y + 4, value.toFixed(step < 0.1 ? 2 : 1),
                    'class="small" text-anchor="end"'));
  }
  return parts;
}

function bar(result, x, colour, yOf) {
  const middle = x + (barWidth - 2) / 2;
  const [low, high] = [yOf(result.ratio_min), yOf(result.ratio_max)];
  return `<rect x="${x.toFixed(1)}" y="${yOf(result.ratio).toFixed(1)}" width="${barWidth - 2}" ` +
      `height="${(yOf(0) - yOf(result.ratio)).toFixed(1)}" rx="2" fill="${colour}"/>` +
      line(middle, low, middle, high, 'spread') +
      text(middle, high - 4, result.ratio.toFixed(2), 'class="small" text-anchor="middle"');
}

// The model's title on lines that fit under its bars.
function label(title, middle, width) {
  const lines = [];
  for (const word of title.split(' ')) {
    const longer = lines.length > 0 ? `${lines.at(-1)} ${word}` : word;
    if (lines.length > 0 && longer.length * 6.5 <= width) {
      lines[lines.length - 1] = longer;
    } else {
      lines.push(word);
    }
  }
  return lines.map((words, i) => text(middle, margin.top + plotHeight + 18 + 14 * i, words,
                                      'text-anchor="middle"'));
}

// Of results that have been summarised.
export function plotOf(results) {
  const tests = [...new Set(results.models.flatMap((m) => m.summary.tests.map((t) => t.test)))];
  const colours = coloursOf(tests);
  const groupWidth = Math.max(tests.length * barWidth, 90);
  const width = Math.max(margin.left + margin.right + results.models.length *
                             (groupWidth + groupGap), 420);
  const height = margin.top + plotHeight + margin.bottom;
  const ratios = results.models.flatMap((m) => m.summary.tests.map((t) => t.ratio_max));
  const highest = 1.08 * Math.max(1.1, ...ratios);
  const yOf = (ratio) => margin.top + plotHeight * (1 - ratio / highest);

  const parts = grid(width, highest, yOf);
  results.models.forEach((model, group) => {
    const left = margin.left + groupGap / 2 + group * (groupWidth + groupGap);
    const count = model.summary.tests.length;
    const first = left + (groupWidth - count * barWidth) / 2;
    model.summary.tests.forEach((result, i) => {
      parts.push(bar(result, first + i * barWidth, colours[result.test], yOf));
    });
    parts.push(...label(model.title, left + groupWidth / 2, groupWidth));
  });
  parts.push(line(margin.left, yOf(1), width - margin.right, yOf(1), 'one'));
  const title = 'Speed of Sluice over that of llama.cpp; higher is faster, lines are min to max';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
        `width="${width}" height="${height}" role="img">`,
    `<title>${title}</title>`,
    `<style>${style}\n</style>`,
    text(margin.left, 20, title, 'class="title"'),
    ...legend(tests, colours),
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
