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

function updateRows({ rows = {}, cells = {}, order }) {
  const body = document.getElementById('rows')
  if (!body) return
  const byKey = new Map([...body.children].map((row) => [row.dataset.key, row]))
  for (const [key, changed] of Object.entries(cells)) {
    const row = byKey.get(key)
    for (const [place, html] of Object.entries(changed)) {
      if (row?.cells[place]) replaceKeepingFocus(row.cells[place], parse(html).firstElementChild)
    }
  }
  for (const [key, html] of Object.entries(rows)) {
    const row = parse(html).firstElementChild
    const previous = byKey.get(key)
    if (previous) replaceKeepingFocus(previous, row)
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

/** Replaces a row or a cell by `fresh`, and keeps the focus on the same link, and what is open. */
function replaceKeepingFocus(element, fresh) {
  const focusable = (of) => [...of.querySelectorAll('a, summary')]
  const focused = focusable(element).indexOf(document.activeElement)
  const details = fresh.querySelector('details')
  if (details) details.open = element.querySelector('details')?.open ?? false
  element.replaceWith(fresh)
  if (focused >= 0) focusable(fresh)[focused]?.focus({ preventScroll: true })
}

function update(changes) {
  document.title = changes.title
  liveIcon = changes.icon
  if (icon.getAttribute('href') !== liveIcon) icon.setAttribute('href', liveIcon)
  // A page that is not seen gets its title and icon only.
  if (document.hidden) return
  for (const [id, html] of Object.entries(changes.sections ?? {})) updateSection(id, html)
  updateRows(changes)
}

// --- the stream ---

const STALE = 'stale · '
const icon = document.getElementById('icon')
/** The icon of a stale page is fetched now: later the agent does not answer. */
const staleIcon = icon.getAttribute('href').replace(/\?.*/, '?health=unknown')
new Image().src = staleIcon
let liveIcon = icon.getAttribute('href')

function setFreshness(text, stale) {
  if (freshness.textContent !== text) freshness.textContent = text
  document.documentElement.classList.toggle('is-stale', stale)
  const title = document.title.replace(STALE, '')
  document.title = stale ? STALE + title : title
  const href = stale ? staleIcon : liveIcon
  if (icon.getAttribute('href') !== href) icon.setAttribute('href', href)
}

function markFresh() {
  lastEvent = Date.now()
  setFreshness('live', false)
}

function connect() {
  source?.close()
  const { live } = page.dataset
  source = new EventSource(document.hidden ? `${live}${live.includes('?') ? '&' : '?'}head=` : live)
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

// A page that comes into view again gets all that it has missed.
document.addEventListener('visibilitychange', connect)

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

/** Shows this page as it is at another URL. `record` says how the browser remembers that: `push`, `replace` or not. */
async function navigate(url, record) {
  const navigation = ++navigations
  const response = await fetch(url, { headers: { accept: 'text/html' } })
  const other = new DOMParser().parseFromString(await response.text(), 'text/html')
  // A later navigation has started meanwhile.
  if (navigation !== navigations) return
  if (!response.ok) {
    location.assign(url)
    return
  }
  if (record === 'push') history.pushState(null, '', url)
  if (record === 'replace') history.replaceState(null, '', url)
  document.title = other.title
  for (const selector of ['#summary', '#alerts', '#networks', '#paging', '#table-head', '#rows', '#history-panel']) {
    const [here, there] = [document.querySelector(selector), other.querySelector(selector)]
    if (here && there) preservingFocus(here, () => here.replaceChildren(...there.childNodes))
  }
  if (filter) updateFilter(other.getElementById('filter'), record === undefined)
  updateTimes(document)
  const { live } = other.getElementById('page').dataset
  if (live !== page.dataset.live) {
    page.dataset.live = live
    connect()
  }
}

/** Updates the filter; the search text only if `whole`, because it may be being typed. */
function updateFilter(other, whole) {
  if (whole) filter.elements.q.value = other.querySelector('[name=q]').value
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
  const navigateAfter = (delay, record) => {
    clearTimeout(timer)
    timer = setTimeout(() => navigate(filterUrl(), record), delay)
  }
  // Each letter is no step to go back to.
  filter.addEventListener('input', (event) => event.target.type === 'search' ? navigateAfter(150, 'replace') : navigateAfter(0, 'push'))
  filter.addEventListener('submit', (event) => {
    event.preventDefault()
    navigateAfter(0, 'push')
  })
}

addEventListener('popstate', () => navigate(location.href))

document.addEventListener('click', (event) => {
  if (event.button !== 0) return
  const opensElsewhere = event.ctrlKey || event.metaKey || event.shiftKey
  const link = event.target.closest('a, button, summary, input, select')
  if (link) {
    if (opensElsewhere || !link.matches('#table-head a, #paging nav a, .spans a, .headline a')) return
    event.preventDefault()
    navigate(link.href, 'push')
    return
  }
  // The whole row is a link, unless text in it is being selected.
  const row = event.target.closest('#rows tr.peer')
  if (!row || !getSelection().isCollapsed) return
  const { href } = row.querySelector('th a')
  if (opensElsewhere) window.open(href)
  else location.assign(href)
})
document.documentElement.classList.add('can-click')

// --- keys ---

const help = document.getElementById('keys')

function moveTo(step) {
  const rows = [...document.querySelectorAll('#rows tr.peer')]
  if (rows.length === 0) return
  const current = rows.findIndex((row) => row.contains(document.activeElement))
  const next = rows[Math.min(Math.max(current + step, 0), rows.length - 1)]
  next.querySelector('th a').focus()
  next.scrollIntoView({ block: 'nearest' })
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.matches('input:not([type=checkbox]), select, textarea')
  if (event.key === 'Escape' && isTyping) event.target.blur()
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return
  const search = filter?.elements.q
  const actions = { '/': search && (() => search.focus()), j: () => moveTo(1), k: () => moveTo(-1), '?': help && (() => help.showModal()) }
  const action = actions[event.key]
  if (!action) return
  event.preventDefault()
  action()
})

// History is read from disk, so it is not part of the stream: it is reloaded periodically, unless somebody fills in its form.
const reloaded = document.querySelector('[data-reload-seconds]')
if (reloaded) {
  setInterval(() => {
    const isTyping = reloaded.contains(document.activeElement?.closest('form'))
    if (!document.hidden && !isTyping && !isSelected(reloaded)) navigate(location.href)
  }, reloaded.dataset.reloadSeconds * 1_000)
}

// --- "Poll now" ---

document.addEventListener('submit', async (event) => {
  const form = event.target
  if (!form.matches('.poll-now')) return
  event.preventDefault()
  const result = document.getElementById('poll-result')
  result.textContent = 'Polling…'
  try {
    const response = await fetch(form.action, { method: 'POST' })
    const other = new DOMParser().parseFromString(await response.text(), 'text/html')
    const found = other.querySelector('#poll-result') ?? other.querySelector('main')
    result.replaceChildren(...found.childNodes)
    updateTimes(result)
  } catch {
    result.textContent = 'The agent does not answer.'
  }
})

// --- commands to copy ---

document.addEventListener('click', async (event) => {
  const button = event.target.closest('button.copy')
  if (!button) return
  const code = button.parentElement.querySelector('code')
  try {
    await navigator.clipboard.writeText(code.textContent)
  } catch {
    // Browsers have no clipboard for pages over plain HTTP. What is selected can be copied by hand at least.
    getSelection().selectAllChildren(code)
    document.execCommand('copy')
  }
  button.textContent = 'Copied'
  setTimeout(() => { button.textContent = 'Copy' }, 2_000)
})

updateTimes(document)
connect()
