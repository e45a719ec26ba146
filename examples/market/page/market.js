// The page: two subscriptions, a table of prices and a list of months.

import { Client } from './graphql-transport-ws.js';

const PRICES = `subscription Prices($symbol: String) {
  priceChanged(symbol: $symbol) { symbol date price change }
}`;
const MONTHS = `subscription Months($minimumMove: Float!) {
  marketMoved(minimumMove: $minimumMove) {
    date
    averageMove
    movers { stock { symbol company } move direction }
  }
}`;
const KEPT_PRICES = 36;
const KEPT_MONTHS = 8;

const element = (id) => document.getElementById(id);
const month = new Intl.DateTimeFormat('en', { month: 'short', year: 'numeric', timeZone: 'UTC' });
const dollars = new Intl.NumberFormat('en', { style: 'currency', currency: 'USD' });
const percent = new Intl.NumberFormat('en', { signDisplay: 'exceptZero', minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** An element with text or children: `tag('td', {className: 'number'}, 'text')`. Text is never read as HTML. */
function tag(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A move in per cent; the arrow says without colour what the colour says. */
function move(value) {
  if (value === null) return tag('span', { className: 'empty' }, '–');
  const className = value > 0 ? 'up' : value < 0 ? 'down' : '';
  const arrow = value > 0 ? '▲' : value < 0 ? '▼' : '●';
  return tag('span', { className }, `${arrow} ${percent.format(value)} %`);
}

function sparkline(prices) {
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const height = (price) => (high === low ? 14 : 26 - (24 * (price - low)) / (high - low));
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS(svg.namespaceURI, 'polyline');
  svg.setAttribute('viewBox', `0 0 ${KEPT_PRICES - 1} 28`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `from ${dollars.format(low)} to ${dollars.format(high)}`);
  line.setAttribute('points', prices.map((price, index) => `${index},${height(price).toFixed(1)}`).join(' '));
  svg.append(line);
  return svg;
}

const history = new Map(); // symbol → its last prices
const rows = new Map(); // symbol → its row

function showPrice({ symbol, date, price, change }) {
  const prices = [...(history.get(symbol) ?? []), price].slice(-KEPT_PRICES);
  history.set(symbol, prices);
  const row = tag('tr', { className: 'fresh' },
    tag('th', { scope: 'row' }, symbol),
    tag('td', {}, month.format(new Date(date))),
    tag('td', { className: 'number' }, dollars.format(price)),
    tag('td', { className: 'number' }, move(change)),
    tag('td', {}, sparkline(prices)));
  const body = element('prices');
  body.querySelector('.empty')?.remove();
  if (rows.has(symbol)) rows.get(symbol).replaceWith(row);
  else body.insertBefore(row, rows.get([...rows.keys()].sort().find((each) => each > symbol)) ?? null);
  rows.set(symbol, row);
}

function showMonth({ date, averageMove, movers }) {
  const list = element('months');
  list.querySelector('.empty')?.remove();
  const [first] = movers;
  list.prepend(tag('li', {},
    tag('time', { dateTime: date }, month.format(new Date(date))),
    tag('span', {}, 'average ', move(averageMove)),
    tag('span', {}, `most: ${first.stock.company ?? first.stock.symbol} `, move(first.move))));
  while (list.children.length > KEPT_MONTHS) list.lastChild.remove();
}

function showProblem(errors) {
  element('problem').hidden = !errors;
  element('problem').textContent = errors ? errors.map((error) => error.message).join(' · ') : '';
}

/** The host: `?host=127.0.0.1:8000` in the address, or port 8000 of the machine that this page came from. */
function endpoint() {
  const host = new URLSearchParams(location.search).get('host') ?? `${location.hostname || '127.0.0.1'}:8000`;
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${host}/graphql`;
}

const url = endpoint();
const client = new Client(url, (state, reason) => {
  const text = { connecting: `Connecting to ${url} …`, connected: `Connected to ${url}`, closed: `Disconnected: ${reason}` };
  element('state').dataset.state = state;
  element('state').textContent = text[state];
});

/** Subscribes, and shows each value until the returned function is called. */
function follow(query, variables, field, show) {
  return client.subscribe({ query, variables }, {
    next({ data, errors }) {
      showProblem(errors);
      if (data?.[field]) show(data[field]);
    },
    error: showProblem,
  });
}

const nothing = () => {};
let endPrices = nothing;
let endMonths = nothing;

function followPrices() {
  endPrices();
  const symbol = element('symbol').value || null;
  for (const [each, row] of rows) {
    if (!symbol || each === symbol) continue;
    row.remove();
    rows.delete(each);
  }
  endPrices = follow(PRICES, { symbol }, 'priceChanged', showPrice);
}

function followMonths() {
  endMonths();
  endMonths = follow(MONTHS, { minimumMove: Number(element('move').value) }, 'marketMoved', showMonth);
}

const pause = element('pause');
const paused = () => pause.getAttribute('aria-pressed') === 'true';

pause.addEventListener('click', () => {
  pause.setAttribute('aria-pressed', String(!paused()));
  if (paused()) {
    endPrices();
    endMonths();
  } else {
    followPrices();
    followMonths();
  }
});
element('symbol').addEventListener('change', () => paused() || followPrices());
element('move').addEventListener('change', () => paused() || followMonths());
element('queries').textContent = `${PRICES}\n\n${MONTHS}`;
followPrices();
followMonths();
