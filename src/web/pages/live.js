// Live updates: replaces the HTML that has changed on the server, and shows when updates stop coming.
'use strict'

const page = document.getElementById('page')
const freshness = document.getElementById('freshness')

/** The server sends an event at least every 5 s. */
const STALE_AFTER_MS = 12_000
const RETRY_MS = 3_000

let source
let lastEvent = Date.now()

// --- times ---

const UNITS = [[172_800, 86_400, 'd'], [7_200, 3_600, 'h'], [120, 60, 'min'], [0, 1, 's']]

function relative(at, now, lasting) {
  const seconds = Math.floor(Math.abs(now - at) / 1000)
  const [, size, unit] = UNITS.find(([from]) => seconds >= from)
  const span = `${Math.floor(seconds / size)} ${unit}`
  if (lasting) return `for ${span}`
  if (seconds === 0) return 'now'
  return at > now ? `in ${span}` : `${span} ago`
}

/** Makes the times within `root` relative to now, by the clock of this browser. */
function updateTimes(root) {
  const now = Date.now()
  for (const time of root.querySelectorAll('time')) {
    const text = relative(Date.parse(time.dateTime), now, 'lasting' in time.dataset)
    if (time.textContent !== text) time.textContent = text
  }
}

// --- parts of the page ---

function parse(html) {
  const template = document.createElement('template')
  template.innerHTML = html
  updateTimes(template.content)
  return template.content
}

/** Calls `change`, which replaces the content of `root`, and restores focus, open details and scrolling. */
function preservingFocus(root, change) {
  const focusable = () => [...root.querySelectorAll('a, button, input, select, summary, [tabindex]')]
  const focused = focusable().indexOf(document.activeElement)
  const open = [...root.querySelectorAll('details[open]')].map((it) => it.id)
  const scrolled = [...root.querySelectorAll('.scroll')].map((it) => [it.scrollLeft, it.scrollTop])
  change()
  root.querySelectorAll('.scroll').forEach((it, i) => it.scrollTo(...(scrolled[i] ?? [0, 0])))
  for (const id of open) {
    const details = document.getElementById(id)
    if (details) details.open = true
  }
  if (focused >= 0) focusable()[focused]?.focus({ preventScroll: true })
}

/** Whether text in the element is selected, perhaps to be copied. */
function isSelected(element) {
  const selection = getSelection()
  return selection && !selection.isCollapsed && selection.containsNode(element, true)
}

/** Updates of sections that wait until their text is no longer selected. */
const deferredSections = new Map()

function updateSection(id, html) {
  const section = document.getElementById(id)
  if (!section) return
  if (isSelected(section)) {
    deferredSections.set(id, html)
    return
  }
  deferredSections.delete(id)
  const fresh = parse(html)
  preservingFocus(section, () => section.replaceChildren(fresh))
}

function updateRows(rows, order) {
  const body = document.getElementById('rows')
  if (!body) return
  const byKey = new Map([...body.children].map((row) => [row.dataset.key, row]))
  for (const [key, html] of Object.entries(rows)) {
    const row = parse(html).firstElementChild
    const previous = byKey.get(key)
    if (previous) replaceRow(previous, row)
    byKey.set(key, row)
  }
  if (!order) return
  const focused = document.activeElement
  const ordered = order.map((key) => byKey.get(key)).filter(Boolean)
  ordered.forEach((row, i) => {
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null)
  })
  while (body.children.length > ordered.length) body.lastElementChild.remove()
  // Moving a row makes it lose the focus.
  if (focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true })
}

/** Replaces a row by `fresh`, and keeps the focus on the same link. */
function replaceRow(row, fresh) {
  const links = [...row.querySelectorAll('a')]
  const focused = links.indexOf(document.activeElement)
  row.replaceWith(fresh)
  if (focused >= 0) fresh.querySelectorAll('a')[focused]?.focus({ preventScroll: true })
}

function update(changes) {
  document.title = changes.title
  const icon = document.getElementById('icon')
  if (icon.getAttribute('href') !== changes.icon) icon.setAttribute('href', changes.icon)
  for (const [id, html] of Object.entries(changes.sections)) updateSection(id, html)
  updateRows(changes.rows, changes.order)
}

// --- the stream ---

function setFreshness(text, stale) {
  if (freshness.textContent !== text) freshness.textContent = text
  document.documentElement.classList.toggle('is-stale', stale)
}

function markFresh() {
  lastEvent = Date.now()
  setFreshness('live', false)
}

function connect() {
  source?.close()
  source = new EventSource(page.dataset.live)
  source.addEventListener('news', (event) => {
    markFresh()
    update(JSON.parse(event.data))
  })
  source.addEventListener('quiet', markFresh)
  // The browser does not reconnect by itself after a response that is not a stream.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
    if (Date.now() - lastEvent > 1_000) markStale()
  })
}

function markStale() {
  const at = new Date(lastEvent).toISOString().slice(11, 19)
  setFreshness(`stale: no news since ${at} UTC, trying again`, true)
}

setInterval(() => {
  updateTimes(document)
  if (Date.now() - lastEvent > STALE_AFTER_MS) markStale()
  for (const [id, html] of deferredSections) updateSection(id, html)
}, 1_000)

// --- searching, sorting and paging without a reload ---

const filter = document.getElementById('filter')
let navigations = 0

/** Shows this page as it is at another URL. */
async function navigate(url) {
  const navigation = ++navigations
  const response = await fetch(url, { headers: { accept: 'text/html' } })
  const other = new DOMParser().parseFromString(await response.text(), 'text/html')
  // A later navigation has started meanwhile.
  if (navigation !== navigations) return
  if (!response.ok) {
    location.assign(url)
    return
  }
  history.replaceState(null, '', url)
  document.title = other.title
  for (const selector of ['#summary', '#networks', '#paging', '.fleet thead', '#rows', '#history-panel']) {
    const [here, there] = [document.querySelector(selector), other.querySelector(selector)]
    if (here && there) preservingFocus(here, () => here.replaceChildren(...there.childNodes))
  }
  if (filter) updateFilter(other.getElementById('filter'))
  updateTimes(document)
  const { live } = other.getElementById('page').dataset
  if (live !== page.dataset.live) {
    page.dataset.live = live
    connect()
  }
}

/** Updates the filter, except the search text, which may be being typed. */
function updateFilter(other) {
  for (const field of filter.querySelectorAll('input[type=hidden]')) field.remove()
  filter.append(...other.querySelectorAll('input[type=hidden]'))
  for (const field of filter.querySelectorAll('select')) {
    field.value = other.querySelector(`select[name=${field.name}]`)?.value ?? ''
  }
}

if (filter) {
  const filterUrl = () => {
    const fields = [...new FormData(filter)].filter(([name, value]) => value !== '' && !(name === 'health' && value === 'all'))
    const query = new URLSearchParams(fields).toString()
    return filter.getAttribute('action') + (query && `?${query}`)
  }
  let timer
  const navigateAfter = (delay) => {
    clearTimeout(timer)
    timer = setTimeout(() => navigate(filterUrl()), delay)
  }
  filter.addEventListener('input', (event) => navigateAfter(event.target.type === 'search' ? 150 : 0))
  filter.addEventListener('submit', (event) => {
    event.preventDefault()
    navigateAfter(0)
  })
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('.fleet thead a, #paging nav a, .spans a')
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return
  event.preventDefault()
  navigate(link.href)
})

// History is read from disk, so it is not part of the stream: it is reloaded periodically.
const reloaded = document.querySelector('[data-reload-seconds]')
if (reloaded) {
  setInterval(() => {
    if (!document.hidden && !isSelected(reloaded)) navigate(location.href)
  }, reloaded.dataset.reloadSeconds * 1_000)
}

updateTimes(document)
connect()
