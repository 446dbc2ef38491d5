// Keeps a page as it is on the server: takes the HTML of what has changed, and says when nothing comes any more.
'use strict'

const page = document.getElementById('page')
const freshness = document.getElementById('freshness')

/** The server says at least every 5 s that it is there. */
const STALE_AFTER_MS = 12_000
const RETRY_MS = 3_000

let source
let heard = Date.now()

// --- times ---

const UNITS = [[172_800, 86_400, 'd'], [7_200, 3_600, 'h'], [120, 60, 'min'], [0, 1, 's']]

function relative(at, now) {
  const seconds = Math.floor(Math.abs(now - at) / 1000)
  if (seconds === 0) return 'now'
  const [, size, unit] = UNITS.find(([from]) => seconds >= from)
  const span = `${Math.floor(seconds / size)} ${unit}`
  return at > now ? `in ${span}` : `${span} ago`
}

/** Writes the times within `root` as they are now, by this browser's clock. */
function tellTimes(root) {
  const now = Date.now()
  for (const time of root.querySelectorAll('time')) {
    const text = relative(Date.parse(time.dateTime), now)
    if (time.textContent !== text) time.textContent = text
  }
}

// --- pieces of the page ---

function parsed(html) {
  const template = document.createElement('template')
  template.innerHTML = html
  tellTimes(template.content)
  return template.content
}

/** Calls `change`, which replaces what is in `root`, and puts focus and opened details back to where they were. */
function keepingPlace(root, change) {
  const focusable = () => [...root.querySelectorAll('a, button, input, select, summary, [tabindex]')]
  const focused = focusable().indexOf(document.activeElement)
  const open = [...root.querySelectorAll('details[open]')].map((it) => it.id)
  change()
  for (const id of open) {
    const details = document.getElementById(id)
    if (details) details.open = true
  }
  if (focused >= 0) focusable()[focused]?.focus({ preventScroll: true })
}

/** Whether somebody is just marking a text in it, to copy it. */
function isMarked(element) {
  const selection = getSelection()
  return selection && !selection.isCollapsed && selection.containsNode(element, true)
}

const waiting = new Map()

function takeSection(id, html) {
  const section = document.getElementById(id)
  if (!section) return
  if (isMarked(section)) {
    waiting.set(id, html)
    return
  }
  waiting.delete(id)
  const fresh = parsed(html)
  keepingPlace(section, () => section.replaceChildren(fresh))
}

function takeRows(rows, order) {
  const body = document.getElementById('rows')
  if (!body) return
  const shown = new Map([...body.children].map((row) => [row.dataset.key, row]))
  for (const [key, html] of Object.entries(rows)) {
    const row = parsed(html).firstElementChild
    const before = shown.get(key)
    if (before) keepingPlaceOf(before, row)
    shown.set(key, row)
  }
  if (!order) return
  const focused = document.activeElement
  const wanted = order.map((key) => shown.get(key)).filter(Boolean)
  wanted.forEach((row, i) => {
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null)
  })
  while (body.children.length > wanted.length) body.lastElementChild.remove()
  // A row that moves loses the focus.
  if (focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true })
}

/** Puts `fresh` in the place of a row, with the focus on the same link. */
function keepingPlaceOf(row, fresh) {
  const links = [...row.querySelectorAll('a')]
  const focused = links.indexOf(document.activeElement)
  row.replaceWith(fresh)
  if (focused >= 0) fresh.querySelectorAll('a')[focused]?.focus({ preventScroll: true })
}

function take(news) {
  document.title = news.title
  const icon = document.getElementById('icon')
  if (icon.getAttribute('href') !== news.icon) icon.setAttribute('href', news.icon)
  for (const [id, html] of Object.entries(news.sections)) takeSection(id, html)
  takeRows(news.rows, news.order)
}

// --- the stream ---

function say(text, stale) {
  if (freshness.textContent !== text) freshness.textContent = text
  document.documentElement.classList.toggle('is-stale', stale)
}

function hear() {
  heard = Date.now()
  say('live', false)
}

function listen() {
  source?.close()
  source = new EventSource(page.dataset.live)
  source.addEventListener('news', (event) => {
    hear()
    take(JSON.parse(event.data))
  })
  source.addEventListener('quiet', hear)
  // After an answer that is no stream the browser does not try again by itself.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS)
    if (Date.now() - heard > 1_000) tellStale()
  })
}

function tellStale() {
  const at = new Date(heard).toISOString().slice(11, 19)
  say(`stale: no news since ${at} UTC, trying again`, true)
}

setInterval(() => {
  tellTimes(document)
  if (Date.now() - heard > STALE_AFTER_MS) tellStale()
  for (const [id, html] of waiting) takeSection(id, html)
}, 1_000)

// --- finding, ordering and turning pages without a reload ---

const filter = document.getElementById('filter')
let asked = 0

/** Shows what another address of this page shows. */
async function go(address) {
  const mine = ++asked
  const answer = await fetch(address, { headers: { accept: 'text/html' } })
  const other = new DOMParser().parseFromString(await answer.text(), 'text/html')
  // Something else was asked for meanwhile.
  if (mine !== asked) return
  if (!answer.ok) {
    location.assign(address)
    return
  }
  history.replaceState(null, '', address)
  document.title = other.title
  for (const selector of ['#summary', '#networks', '#paging', '.fleet thead', '#rows', '#past']) {
    const [here, there] = [document.querySelector(selector), other.querySelector(selector)]
    if (here && there) keepingPlace(here, () => here.replaceChildren(...there.childNodes))
  }
  if (filter) takeFilter(other.getElementById('filter'))
  tellTimes(document)
  const { live } = other.getElementById('page').dataset
  if (live !== page.dataset.live) {
    page.dataset.live = live
    listen()
  }
}

/** What is asked for besides what is being typed. */
function takeFilter(other) {
  for (const field of filter.querySelectorAll('input[type=hidden]')) field.remove()
  filter.append(...other.querySelectorAll('input[type=hidden]'))
  for (const field of filter.querySelectorAll('select')) {
    field.value = other.querySelector(`select[name=${field.name}]`)?.value ?? ''
  }
}

if (filter) {
  const wanted = () => {
    const fields = [...new FormData(filter)].filter(([name, value]) => value !== '' && !(name === 'health' && value === 'all'))
    const query = new URLSearchParams(fields).toString()
    return filter.getAttribute('action') + (query && `?${query}`)
  }
  let typing
  const soon = (delay) => {
    clearTimeout(typing)
    typing = setTimeout(() => go(wanted()), delay)
  }
  filter.addEventListener('input', (event) => soon(event.target.type === 'search' ? 150 : 0))
  filter.addEventListener('submit', (event) => {
    event.preventDefault()
    soon(0)
  })
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('.fleet thead a, #paging nav a, .spans a')
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return
  event.preventDefault()
  go(link.href)
})

// What is read from the disk is not told live: it is asked for again now and then.
const again = document.querySelector('[data-again]')
if (again) {
  setInterval(() => {
    if (!document.hidden && !isMarked(again)) go(location.href)
  }, again.dataset.again * 1_000)
}

tellTimes(document)
listen()
