// What is compared: models by name, and tests by name.

// Made by `sluice make-model`. The one marked `full` is left out unless it is asked for.
export const models = [
  {name: 'qwen3-0.6b-q8_0', title: 'Qwen3-0.6B Q8_0', shape: 'qwen3-0.6b', type: 'Q8_0'},
  {name: 'qwen3-0.6b-q4_k_m', title: 'Qwen3-0.6B Q4_K_M', shape: 'qwen3-0.6b', type: 'Q4_K_M'},
  {name: 'llama-3.2-1b-q4_k_m', title: 'Llama-3.2-1B Q4_K_M', shape: 'llama-3.2-1b',
   type: 'Q4_K_M'},
  {name: 'llama-3.2-1b-q4_0', title: 'Llama-3.2-1B Q4_0', shape: 'llama-3.2-1b', type: 'Q4_0'},
  {name: 'qwen3-30b-a3b-8-layers-q4_k_m', title: 'Qwen3-30B-A3B Q4_K_M, 8 of 48 layers',
   shape: 'qwen3-30b-a3b', type: 'Q4_K_M', layers: 8},
  {name: 'qwen3-30b-a3b-q4_k_m', title: 'Qwen3-30B-A3B Q4_K_M', shape: 'qwen3-30b-a3b',
   type: 'Q4_K_M', full: true},
];

export const defaultTests = ['pp2048', 'pp512', 'pp128', 'pp32', 'tg128', 'par4', 'par16'];

const contextOfParallel = 128;
const stepsOfParallel = 32;

// pp512: a prompt, in one step, with the logits of its last token.
// tg128: tokens one by one after an empty context.
// par4: sequences with contexts of their own that each get a token in every step.
// A test is `steps` steps of `tokens` tokens each with `outputs` rows of logits; `flags` are those
// that `sluice bench` and llama_bench share.
export function testOf(name) {
  const match = /^(pp|tg|par)([1-9]\d{0,4})$/.exec(name);
  if (match === null) {
    throw new Error(`no test is called '${name}'; expected e.g. pp512, tg128 or par4`);
  }
  const count = Number(match[2]);
  switch (match[1]) {
    case 'pp': {
      // A short prompt takes too little time to be measured once.
      const repetitions = count <= 128 ? 3 : 1;
      const batch = Math.max(count, 512);
      return {name, steps: 1, tokens: count, outputs: 1,
              flags: ['-p', count, '-n', 0, '-b', batch, '-r', repetitions]};
    }
    case 'tg':
      return {name, steps: count, tokens: 1, outputs: 1,
              flags: ['-p', 0, '-n', count, '-b', 512, '-r', 1]};
    default:
      return {name, steps: stepsOfParallel, tokens: count, outputs: count,
              flags: ['-p', 0, '-n', stepsOfParallel, '-d', contextOfParallel, '--parallel', count,
                      '-b', 512, '-r', 1]};
  }
}

// A model's name, or a file: ./model.gguf. `names` empty: all but the full one, or all.
export function modelsOf(names, full) {
  if (names.length === 0) return models.filter((model) => full || !model.full);
  return names.map((name) => {
    const known = models.find((model) => model.name === name);
    if (known !== undefined) return known;
    if (name.endsWith('.gguf')) {
      const base = name.replace(/^.*\//, '').slice(0, -5);
      return {name: base, title: base, path: name};
    }
    throw new Error(`no model is called '${name}'; expected a .gguf file or one of ` +
                    models.map((model) => model.name).join(', '));
  });
}
