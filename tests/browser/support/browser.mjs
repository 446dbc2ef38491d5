// A headless Chromium, and what a page must never do in it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const ARGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

export class Browser {
  #browser
  #sites = []

  static async launch(test) {
    const it = new Browser()
    // Chromium's own sandbox does not work for root, nor in many containers; the pages here are our own.
    const args = [...ARGS, '--no-sandbox']
    it.#browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args })
    test.after(() => it.#browser.close())
    return it
  }

  /** A page of the site at `url`, in a context of its own. */
  async open(url, path, options = {}) {
    const context = await this.#browser.newContext({ baseURL: url, viewport: { width: 1360, height: 860 }, ...options })
    const page = await context.newPage()
    const site = new Site(page, url)
    this.#sites.push(site)
    await site.watch()
    await page.goto(path)
    return site
  }

  /** No page has done what none may do. */
  assertClean() {
    for (const site of this.#sites) site.assertClean()
  }
}

/** A page, watched. */
export class Site {
  constructor(page, url) {
    this.page = page
    this.url = url
    this.faults = []
    /** While the agent is stopped on purpose its absence is no fault. */
    this.expectsOutage = false
  }

  async watch() {
    const { page } = this
    page.on('pageerror', (error) => this.faults.push(`error: ${error.message}`))
    page.on('dialog', (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`)
      return dialog.dismiss()
    })
    page.on('console', (message) => {
      if (message.type() === 'error' && !this.expectsOutage) this.faults.push(`console: ${message.text()}`)
    })
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== new URL(this.url).origin) this.faults.push(`request to ${request.url()}`)
    })
    await page.addInitScript(() => {
      window.violations = []
      document.addEventListener('securitypolicyviolation', (event) => {
        window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`)
      })
    })
  }

  async assertPolicyHolds() {
    assert.deepEqual(await this.page.evaluate(() => window.violations), [])
  }

  assertClean() {
    assert.deepEqual(this.faults, [])
  }

  /** The keys of the rows, in order. */
  rows() {
    return this.page.locator('#rows > tr').evaluateAll((rows) => rows.map((row) => row.dataset.key))
  }

  /** Waits until the page says that it is live. */
  async live() {
    await this.page.locator('#freshness', { hasText: /^live$/ }).waitFor()
  }

  /** What axe finds. It is put in by the driver, past the policy of the page. */
  async accessibility() {
    await this.page.evaluate(AXE)
    const { violations } = await this.page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }))
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(' | ')}`)
  }

  /** How far the page is wider than its window. */
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  }
}
