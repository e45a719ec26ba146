// A small client of the protocol graphql-transport-ws, without dependencies.
//
// One socket, many subscriptions. It connects with the first subscription, answers pings, and after a lost connection
// it connects again, with growing pauses, and subscribes again. It does not authenticate. For an application take the
// npm package `graphql-ws`; this file shows how little the protocol asks for.

/** Closes that mean "your mistake": trying again would not help. The rest is worth another attempt. */
const FATAL = (code) => (code >= 4400 && code < 4500 && ![4403, 4408, 4499].includes(code))
  || [1002, 1003, 1007, 1008, 1009, 1010, 1011].includes(code);

export class Client {
  /**
   * @param {string} url e.g. ws://127.0.0.1:8000/graphql
   * @param {(state: 'connecting' | 'connected' | 'closed', reason: string) => void} onState
   */
  constructor(url, onState = () => {}) {
    this.url = url;
    this.onState = onState;
    this.subscriptions = new Map(); // operation id → {payload, handler}
    this.nextId = 1;
    this.attempts = 0;
    this.acknowledged = false;
  }

  /**
   * Subscribes; returns the function that ends it.
   * @param {{query: string, variables?: object, operationName?: string}} payload
   * @param {{next(result: object): void, error?(errors: object[]): void, complete?(): void}} handler
   */
  subscribe(payload, handler) {
    const id = String(this.nextId++);
    this.subscriptions.set(id, { payload, handler });
    if (this.acknowledged) this.#send({ id, type: 'subscribe', payload });
    else if (!this.socket) this.#connect();
    return () => {
      if (!this.subscriptions.delete(id)) return;
      if (this.acknowledged) this.#send({ id, type: 'complete' });
    };
  }

  /** Closes the socket for good. */
  dispose() {
    this.subscriptions.clear();
    clearTimeout(this.timer);
    this.socket?.close(1000, 'Normal Closure');
  }

  #send(message) {
    this.socket.send(JSON.stringify(message));
  }

  #connect() {
    this.onState('connecting', '');
    const socket = new WebSocket(this.url, 'graphql-transport-ws');
    this.socket = socket;
    socket.onopen = () => this.#send({ type: 'connection_init' });
    socket.onmessage = ({ data }) => this.#handle(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      this.socket = undefined;
      this.acknowledged = false;
      this.onState('closed', reason || (code === 1006 ? 'no connection' : `code ${code}`));
      if (this.subscriptions.size === 0 || FATAL(code)) return;
      // Half of the pause is random, so that clients of a restarted host do not all return in the same instant.
      const pause = Math.min(500 * 2 ** this.attempts++, 15_000) * (0.5 + Math.random() / 2);
      this.timer = setTimeout(() => this.#connect(), pause);
    };
  }

  #handle({ type, id, payload }) {
    const subscription = this.subscriptions.get(id);
    switch (type) {
      case 'connection_ack':
        this.acknowledged = true;
        this.attempts = 0;
        this.onState('connected', '');
        for (const [each, { payload: request }] of this.subscriptions) {
          this.#send({ id: each, type: 'subscribe', payload: request });
        }
        break;
      case 'ping':
        this.#send({ type: 'pong', payload });
        break;
      case 'next':
        subscription?.handler.next(payload);
        break;
      case 'error': // ends the operation; no complete follows
        this.subscriptions.delete(id);
        subscription?.handler.error?.(payload);
        break;
      case 'complete':
        this.subscriptions.delete(id);
        subscription?.handler.complete?.();
        break;
    }
  }
}
