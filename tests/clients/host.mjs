// A real host for one test: the binary, on a free port of loopback, with the module in `users/`.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const HERE = import.meta.dirname;
const ROOT = path.resolve(HERE, '../..');
const TARGET = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target');
const SUBCAST = process.env.SUBCAST ?? path.join(TARGET, 'debug', 'subcast');
const PYTHON = process.env.SUBCAST_TEST_PYTHON ?? path.join(ROOT, '.venv', 'bin', 'python');

/** No test waits longer than this for one thing; the first start of a module compiles it. */
const PATIENCE_MS = 120_000;

/** An option of `node:test`: a test with its hooks takes at most so long. Far above what a busy machine needs. */
export const LIMIT = { timeout: 600_000 };

/** An option that ends a request, a child or the wait for an event after the longest time. */
export const bounded = () => ({ signal: AbortSignal.timeout(PATIENCE_MS) });

/** The compiled module; built when its sources have changed. */
async function module() {
  const { stdout } = await promisify(execFile)(
    PYTHON,
    [path.join(ROOT, 'scripts/guest.py'), path.join(HERE, 'users')],
    bounded(),
  );
  return stdout.trim();
}

/** Waits until `condition` answers something true, and returns that. Fails after a bounded time, naming `what`. */
export async function until(what, condition, patience = PATIENCE_MS) {
  const giveUp = Date.now() + patience;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > giveUp) throw new Error(`waited ${patience} ms in vain: ${what}`);
    await delay(10);
  }
}

export class Host {
  /** Starts a host and waits until it serves. Ends with the test, whatever happens in it. */
  static async start(test, { port = 0 } = {}) {
    const child = spawn(SUBCAST, ['serve', await module(), '--listen', `127.0.0.1:${port}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // What embeds the host has routes of its own, which take no credential: the tests publish in one way.
      env: { ...process.env, NO_COLOR: '1', SUBCAST_PUBLISH_ANONYMOUS: 'true' },
    });
    const host = new Host(child);
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    test.after(async () => {
      await host.stop('SIGKILL');
      process.off('exit', kill);
    });
    host.port = await host.#listening();
    await until('ready', () => fetch(`${host.url}/readyz`, bounded()).then((answer) => answer.ok, () => false));
    return host;
  }

  constructor(child) {
    this.child = child;
    this.log = [];
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get socketUrl() {
    return `ws://127.0.0.1:${this.port}/graphql`;
  }

  /** The port that the host says it listens on. Its output is read to the end, so that it never blocks on a pipe. */
  #listening() {
    return new Promise((resolve, reject) => {
      for (const stream of [this.child.stdout, this.child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          this.log.push(line);
          const found = /listening.*127\.0\.0\.1:(\d+)/.exec(line);
          if (found) resolve(Number(found[1]));
        });
      }
      this.child.once('error', reject);
      this.child.once('close', (code) => reject(new Error(`the host ended with ${code}:\n${this.log.join('\n')}`)));
      setTimeout(() => reject(new Error(`the host does not listen:\n${this.log.join('\n')}`)), PATIENCE_MS).unref();
    });
  }

  /** Ends the host and returns its exit code; null if a signal ended it. */
  async stop(signal) {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit', bounded());
      child.kill(signal);
      await exit;
    }
    return child.exitCode;
  }

  /** Publishes events, given as `[channel, type, data]`. */
  async publish(...events) {
    const answer = await fetch(`${this.url}/events`, {
      ...bounded(),
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(events.map(([channel, type, data]) => ({ channel, type, data }))),
    });
    if (answer.status !== 202) throw new Error(`publishing failed: ${answer.status} ${await answer.text()}`);
  }

  /** Publishes a changed user. */
  updateUser(id, name) {
    return this.publish(['users', 'userUpdated', { id, name, email: `${name.toLowerCase()}@example.com` }]);
  }

  /** The sum of a metric over its labels; 0 before it was first counted. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`, bounded())).text();
    const found = text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'));
    return [...found].reduce((sum, [, value]) => sum + Number(value), 0);
  }

  /** Waits until exactly so many subscriptions are live; from then on they receive what is published. */
  subscriptions(count) {
    return until(`${count} live subscriptions`, async () => (await this.metric('subcast_subscriptions')) === count);
  }
}
