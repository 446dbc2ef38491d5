// The charts of a peer: one cursor over all of them, and a range that is dragged. The values are those of the table below.
'use strict'

/** A drag shorter than this is a click, pixels. */
const MIN_DRAG = 8

const SVG = 'http://www.w3.org/2000/svg'

/** What is drawn on the charts now; the section is replaced when another range is shown. */
let view
/** Time that the cursor stays at, milliseconds since the epoch; none: the last value. */
let cursorAt
/** Where dragging began: x in pixels, the plot, and the time there. */
let drag

function readView() {
  const charts = document.getElementById('charts')
  view = undefined
  if (!charts) return
  const [from, to, left, right] = ['from', 'to', 'left', 'right'].map((name) => Number(charts.dataset[name]))
  const table = document.querySelector('#values table')
  const columns = [...table.tHead.rows[0].cells].slice(1).map((cell) => ({ chart: Number(cell.dataset.chart), line: Number(cell.dataset.line) }))
  const rows = [...table.tBodies[0].rows].map((row) => ({ at: Number(row.dataset.at), time: row.cells[0].textContent, cells: [...row.cells].slice(1) }))
  const plots = [...charts.querySelectorAll('.plot > svg')].map((svg) => {
    const { width, height } = svg.viewBox.baseVal
    const layer = document.createElementNS(SVG, 'g')
    svg.append(layer)
    return { layer, width, height }
  })
  const events = [...document.querySelectorAll('#chart-events li')].map((it) => ({ at: Number(it.dataset.at), text: it.querySelector('a').textContent }))
  view = { charts, from, to, left, right, columns, rows, plots, events, slider: document.getElementById('cursor'), text: document.getElementById('cursor-text') }
  view.whole = view.text.textContent
  view.slider.addEventListener('input', () => showCursor(view.rows[view.slider.value].at))
  if (cursorAt !== undefined) showCursor(cursorAt)
}

/** The row whose time is nearest. */
function nearestRow(at) {
  const distance = (row) => Math.abs(row.at - at)
  return view.rows.reduce((best, row, i) => (distance(row) < distance(view.rows[best]) ? i : best), 0)
}

/** The part of the width of a chart at which a time lies, and the other way round. */
const shareOf = (at) => view.left + ((view.right - view.left) * (at - view.from)) / (view.to - view.from)
function timeAt(x, plot) {
  const box = plot.getBoundingClientRect()
  const share = ((x - box.left) / box.width - view.left) / (view.right - view.left)
  return view.from + Math.min(Math.max(share, 0), 1) * (view.to - view.from)
}

function svgElement(name, attributes) {
  const element = document.createElementNS(SVG, name)
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value)
  return element
}

/** Shows the values nearest to a time in all charts. */
function showCursor(at) {
  const i = nearestRow(at)
  const row = view.rows[i]
  cursorAt = row.at
  view.slider.value = i
  for (const plot of view.plots) {
    const x = shareOf(row.at) * plot.width
    plot.layer.replaceChildren(svgElement('line', { class: 'cursor', x1: x, x2: x, y1: 0, y2: plot.height }))
  }
  row.cells.forEach((cell, column) => {
    const { chart, line } = view.columns[column]
    document.getElementById(`value-${chart}-${line}`).textContent = cell.textContent
    const plot = view.plots[chart]
    if (cell.dataset.y) plot.layer.append(svgElement('circle', { class: `dot dot-${line}`, cx: shareOf(row.at) * plot.width, cy: cell.dataset.y, r: 3 }))
  })
  // An event counts as of this time up to half way to the values beside it.
  const isNear = (event) => nearestRow(event.at) === i
  const events = view.events.filter(isNear).map((event) => event.text)
  view.text.textContent = [`${row.time} UTC`, ...events].join(' · ')
  const values = [...view.charts.querySelectorAll('figure')].map((figure) => figure.querySelector('figcaption').innerText.replace(/\s+/g, ' '))
  view.slider.setAttribute('aria-valuetext', [view.text.textContent, ...values].join('; '))
}

/** Shows the last values again. */
function hideCursor() {
  cursorAt = undefined
  for (const plot of view.plots) plot.layer.replaceChildren()
  const last = (column) => view.rows.findLast((row) => row.cells[column].dataset.y)
  view.columns.forEach(({ chart, line }, column) => {
    document.getElementById(`value-${chart}-${line}`).textContent = last(column)?.cells[column].textContent ?? ''
  })
  view.text.textContent = view.whole
  view.slider.value = view.slider.max
}

/** Marks the range between two times in all charts. */
function showRange(a, b) {
  const [from, to] = [Math.min(a, b), Math.max(a, b)].map(shareOf)
  for (const plot of view.plots) {
    plot.layer.append(svgElement('rect', { class: 'range', x: from * plot.width, width: (to - from) * plot.width, y: 0, height: plot.height }))
  }
}

/** The address of the charts of a range. */
function rangeUrl(a, b) {
  const utc = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
  const url = new URL(location.href)
  url.search = new URLSearchParams({ from: utc(Math.min(a, b)), to: utc(Math.max(a, b) + 999) })
  url.hash = ''
  return url.href
}

const plotOf = (event) => event.target.closest?.('.plot')

document.addEventListener('pointerdown', (event) => {
  const plot = plotOf(event)
  if (!view || !plot || event.button !== 0) return
  drag = { x: event.clientX, plot, from: timeAt(event.clientX, plot) }
  if (event.pointerType === 'mouse') event.preventDefault()
})

document.addEventListener('pointermove', (event) => {
  const plot = drag?.plot ?? plotOf(event)
  if (!view) return
  if (!plot) {
    if (cursorAt !== undefined && document.activeElement !== view.slider) hideCursor()
    return
  }
  const at = timeAt(event.clientX, plot)
  showCursor(at)
  if (drag) showRange(drag.from, at)
})

function endDrag() {
  drag = undefined
}

document.addEventListener('pointerup', (event) => {
  if (!view || !drag) return
  const { x, plot, from } = drag
  endDrag()
  if (Math.abs(event.clientX - x) < MIN_DRAG) {
    showCursor(timeAt(event.clientX, plot))
    return
  }
  cursorAt = undefined
  // `navigate` is of live.js: it shows the page at another address without loading it.
  navigate(rangeUrl(from, timeAt(event.clientX, plot)), 'push')
})

document.addEventListener('pointercancel', endDrag)

document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || !view) return
  endDrag()
  hideCursor()
})

// The panel is replaced while the page is live, and when another range is shown.
const panel = document.getElementById('history-panel')
new MutationObserver(readView).observe(panel, { childList: true })
readView()
