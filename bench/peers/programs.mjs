// Programs that are measured, and the files that they run.

import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

// A line on a terminal that says what is being done; nothing in a pipe.
export function show(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

// Runs a program and returns what it writes to stdout.
export function capture(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args.map(String), {stdio: ['ignore', 'pipe', 'pipe']});
    let output = '';
    let errors = '';
    child.stdout.on('data', (data) => output += data);
    child.stderr.on('data', (data) => errors += data);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) {
        resolve(output);
      } else {
        reject(new Error(`${program} ${args.join(' ')}: ${signal ?? `status ${status}`}\n` +
                         errors.trim().split('\n').slice(-5).join('\n')));
      }
    });
  });
}

export async function captureJson(program, args) {
  return JSON.parse(await capture(program, args));
}

// The file of a model, made where it is not there yet, and whether it goes away afterwards.
export async function fileOf(model, options) {
  if (model.path !== undefined) return {file: model.path, temporary: false};
  const folder = options['keep-models'] ?? path.join(root, 'build/peers/models');
  const file = path.join(folder, `${model.name}.gguf`);
  const temporary = options['keep-models'] === undefined;
  if (!fs.existsSync(file)) {
    fs.mkdirSync(folder, {recursive: true});
    show(`making ${file}`);
    const part = `${file}.part`;  // so that what was interrupted is not taken for a model
    await capture(options.sluice, ['make-model', model.shape, part, '--type', model.type,
                                   '--layers', model.layers ?? 0]);
    fs.renameSync(part, file);
  }
  return {file, temporary};
}

// Both sides find the file in the page cache.
export async function readThrough(file) {
  show(`reading ${file}`);
  for await (const chunk of fs.createReadStream(file, {highWaterMark: 1 << 22})) void chunk;
}
