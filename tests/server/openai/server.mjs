// A server of its own for tests.
import {spawn} from 'node:child_process';

// Starts `sluice serve` on a free port and waits until it is ready.
export async function startServer(args) {
  const child = spawn(process.env.SLUICE, ['serve', '--port', '0', ...args],
                      {stdio: ['ignore', 'inherit', 'pipe']});
  let log = '';
  const closed = new Promise((resolve) => child.on('close', resolve));
  const port = await new Promise((resolve, reject) => {
    closed.then((status) => reject(new Error(`the server ended with ${status}:\n${log}`)));
    child.stderr.on('data', (data) => {
      log += data;
      const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(log);
      if (found) resolve(found[1]);
    });
  });
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    if ((await fetch(`${url}/health`)).status === 200) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    url,
    log: () => log,
    // The exit status.
    async stop() {
      child.kill('SIGTERM');
      return closed;
    },
  };
}
