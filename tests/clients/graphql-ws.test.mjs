// The npm package `graphql-ws`, unmodified: the reference client of graphql-transport-ws.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { bounded, Host, LIMIT, until } from './host.mjs';

const NAMES = 'subscription { userUpdated { name } }';
const name = (text) => ({ data: { userUpdated: { name: text } } });

/** A client of `host` that ends with the test. It counts its connections, and remembers how they were closed. */
function connect(test, host, options = {}) {
  const client = createClient({
    url: host.socketUrl,
    webSocketImpl: WebSocket,
    retryAttempts: Infinity, // a host takes its time to come back on a busy machine
    retryWait: () => delay(25), // the default begins with one second
    shouldRetry: () => true, // by default a refused connection, which `ws` reports as an error, is final
    ...options,
  });
  client.connections = 0;
  client.closes = [];
  client.on('connected', () => client.connections++);
  client.on('closed', (event) => client.closes.push(event.code));
  // The host ends before its clients; one that is just trying to come back rejects.
  test.after(() => Promise.resolve(client.dispose()).catch(() => {}));
  return client;
}

/** Subscribes, and collects what arrives: `results`, then `ended` with 'complete' or the errors. */
function collect(client, query, variables) {
  const seen = { results: [], ended: undefined };
  seen.unsubscribe = client.subscribe({ query, variables }, {
    next: (result) => seen.results.push(result),
    error: (errors) => (seen.ended = errors),
    complete: () => (seen.ended = 'complete'),
  });
  return seen;
}

const received = (seen, count) => until(`${count} results`, () => seen.results.length >= count);
const ended = (seen) => until('the end', () => seen.ended);

test('a subscriber receives exactly the fields that it selected, in their order', LIMIT, async (t) => {
  const host = await Host.start(t);
  const seen = collect(connect(t, host), 'subscription { who: userUpdated { email label: name __typename } }');
  await host.subscriptions(1);
  await host.updateUser('1', 'Ada');
  await received(seen, 1);
  const expected = { data: { who: { email: 'ada@example.com', label: 'Ada', __typename: 'User' } } };
  assert.equal(JSON.stringify(seen.results), JSON.stringify([expected]));
});

test('variables choose the events', LIMIT, async (t) => {
  const host = await Host.start(t);
  const query = 'subscription ($id: ID) { userUpdated(id: $id) { name } }';
  const client = connect(t, host);
  const [two, all] = [collect(client, query, { id: '2' }), collect(client, query)];
  await host.subscriptions(2);
  await host.updateUser('1', 'Ada');
  await host.updateUser('2', 'Grace');
  await received(all, 2);
  await received(two, 1);
  assert.deepEqual(all.results, [name('Ada'), name('Grace')]);
  assert.deepEqual(two.results, [name('Grace')]);
});

test('several operations share one socket, and one may leave without the others', LIMIT, async (t) => {
  const host = await Host.start(t);
  const client = connect(t, host);
  const leaving = collect(client, NAMES);
  const staying = [collect(client, NAMES), collect(client, 'subscription { countdown }')];
  await host.subscriptions(3);
  assert.equal(await host.metric('subcast_connections'), 1);

  leaving.unsubscribe();
  await host.subscriptions(2);
  await host.updateUser('1', 'Ada');
  await host.publish(['numbers', 'countdown', { number: 3 }]);
  await Promise.all(staying.map((each) => received(each, 1)));
  assert.deepEqual(staying.map((each) => each.results), [[name('Ada')], [{ data: { countdown: 3 } }]]);
  assert.deepEqual(leaving.results, []);
  assert.equal(client.connections, 1);
});

test('the async iterator of the client receives events in the order of their publishing', LIMIT, async (t) => {
  const host = await Host.start(t);
  const client = connect(t, host);
  const numbers = Array.from({ length: 100 }, (_, index) => 100 - index);
  const iterator = client.iterate({ query: 'subscription { countdown }' });
  const values = (async () => {
    const all = [];
    for await (const { data } of iterator) all.push(data.countdown);
    return all;
  })();
  await host.subscriptions(1);
  await host.publish(...[...numbers, 0].map((number) => ['numbers', 'countdown', { number }]));
  assert.deepEqual(await values, [...numbers, 0], 'the resolver completes after 0, which ends the iteration');
  await host.subscriptions(0);
});

test('an invalid query ends in errors, and its socket serves on', LIMIT, async (t) => {
  const host = await Host.start(t);
  const client = connect(t, host);
  const living = collect(client, NAMES);
  await host.subscriptions(1);

  for (const query of ['subscription { nothingLikeThis }', 'subscription {', 'subscription ($id: ID!) { userUpdated(id: $id) { name } }']) {
    const seen = collect(client, query);
    const [error, ...others] = await ended(seen);
    assert.equal(typeof error?.message, 'string', query);
    assert.ok(error.message.length > 0 && others.every((each) => typeof each.message === 'string'), query);
    assert.deepEqual(seen.results, []);
  }

  await host.updateUser('1', 'Ada');
  await received(living, 1);
  assert.equal(client.connections, 1);
});

test('an error of a resolver is a result, and the subscription lives on', LIMIT, async (t) => {
  const host = await Host.start(t);
  const seen = collect(connect(t, host), 'subscription { payment }');
  await host.subscriptions(1);
  await host.publish(['payments', 'payment', { amount: -1 }], ['payments', 'payment', { amount: 2.5 }]);
  await received(seen, 2);
  const [failed, paid] = seen.results;
  assert.equal(failed.data, null);
  assert.equal(failed.errors[0].message, 'the amount is negative');
  assert.equal(failed.errors[0].extensions.code, 'NEGATIVE');
  assert.deepEqual(failed.errors[0].path, ['payment']);
  assert.deepEqual(paid, { data: { payment: 2.5 } });
});

test('dispose ends the subscriptions on the host', LIMIT, async (t) => {
  const host = await Host.start(t);
  const client = connect(t, host);
  const seen = [collect(client, NAMES), collect(client, NAMES)];
  await host.subscriptions(2);
  await client.dispose();
  await host.subscriptions(0);
  await until('no connection', async () => (await host.metric('subcast_connections')) === 0);
  // The client learns of the end when the host has answered its goodbye.
  assert.deepEqual(await Promise.all(seen.map(ended)), ['complete', 'complete']);
  await until('the close', () => client.closes.length > 0);
  assert.deepEqual(client.closes, [1000]);
});

test('a query over the socket answers once and completes', LIMIT, async (t) => {
  const host = await Host.start(t);
  const seen = collect(connect(t, host), '{ __typename __schema { subscriptionType { name } } }');
  assert.equal(await ended(seen), 'complete');
  assert.deepEqual(seen.results, [{ data: { __typename: 'Query', __schema: { subscriptionType: { name: 'Subscription' } } } }]);
});

test('keep-alive pings of the client are answered', LIMIT, async (t) => {
  const host = await Host.start(t);
  const client = connect(t, host, { lazy: false, keepAlive: 20 });
  let pongs = 0;
  client.on('pong', (received) => received && pongs++);
  await until('three pongs', () => pongs >= 3);
});

for (const [signal, code, manner] of [['SIGKILL', 1006, 'was killed'], ['SIGTERM', 1012, 'drains']]) {
  test(`after a host that ${manner} the client resumes by itself`, LIMIT, async (t) => {
    const host = await Host.start(t);
    const client = connect(t, host);
    const seen = [collect(client, NAMES), collect(client, 'subscription { userUpdated(id: 2) { name } }')];
    await host.subscriptions(2);
    await host.updateUser('1', 'Ada');
    await received(seen[0], 1);

    const exitCode = await host.stop(signal);
    assert.equal(exitCode, signal === 'SIGTERM' ? 0 : null, host.log.join('\n'));
    const successor = await Host.start(t, { port: host.port });
    await successor.subscriptions(2);
    await successor.updateUser('2', 'Grace');
    await Promise.all([received(seen[0], 2), received(seen[1], 1)]);

    assert.deepEqual(seen.map((each) => each.results), [[name('Ada'), name('Grace')], [name('Grace')]]);
    assert.equal(client.connections, 2);
    assert.equal(client.closes[0], code);
    assert.deepEqual(seen.map((each) => each.ended), [undefined, undefined]);
  });
}

test('connections that vanish without a close leave no subscription behind', LIMIT, async (t) => {
  const host = await Host.start(t);
  const sockets = Array.from({ length: 10 }, () => {
    const socket = new WebSocket(host.socketUrl, 'graphql-transport-ws');
    t.after(() => socket.terminate());
    return socket;
  });
  await Promise.all(sockets.map(async (socket) => {
    await once(socket, 'open', bounded());
    socket.send(JSON.stringify({ type: 'connection_init' }));
    await once(socket, 'message', bounded());
    for (const id of ['a', 'b', 'c']) socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query: NAMES } }));
  }));
  await host.subscriptions(30);
  for (const [index, socket] of sockets.entries()) {
    // The other half resets the connection instead of closing it.
    if (index % 2) socket._socket.resetAndDestroy();
    else socket._socket.destroy();
  }
  await host.subscriptions(0);
  await until('no connection', async () => (await host.metric('subcast_connections')) === 0);
});
