// The page of a peer: its parts, its charts with one cursor, "Poll now", and commands to copy.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, until } from './support/network.mjs'

/** Smallest side of what is clicked, pixels. */
const MIN_TARGET = 24

const PARTS = ['', '/charts', '/events', '/diagnostics']

/** Links in running text may be lower than other targets. */
const TARGETS = '.tabs a, nav.spans a, .act, .copy, .poll-now button, .cursor-bar input, #range input, #range button, .problem summary, #values > summary'

/** An agent on four simulated peers: the second is gone, and the third has an endpoint that fails and too little stake. */
async function faulty(t) {
  const stage = new Stage(t)
  const simulated = await stage.simulated(4, '--fault', 'refuse:2:5s', '--fault', 'http-500:3', '--fault', 'low-stake:3', '--traffic', '1s')
  const agent = await stage.agent(`defaults: { interval: 1s, timeout: 800ms }\n${simulated.replace('name: simulated,', 'name: simulated, stake_interval: 10s,')}`)
  const peer = async (name) => (await fetch(`${agent.url}/api/v1/peers/${name}`)).json()
  await until('the verdicts', async () => (await peer('sim-2')).health === 'down' && (await peer('sim-3')).conditions?.includes('own_stake_low'))
  await until('some polls', async () => (await (await fetch(`${agent.url}/api/v1/peers/sim-1/polls`)).json()).length > 12)
  return { agent, browser: await Browser.launch(t) }
}

test('the page of a peer', async (t) => {
  const { agent, browser } = await faulty(t)

  await t.test('has parts with addresses of their own, which work without JavaScript', async () => {
    const { page } = await browser.open(agent.url, '/peers/sim-2', { javaScriptEnabled: false })
    for (const [name, shows] of [
      ['Charts', 'svg.chart'],
      ['Events', '.events li[id] >> text=connection refused'],
      ['Diagnostics', '#facts caption'],
      ['Overview', '.problem >> text=connection refused']
    ]) {
      await page.getByRole('navigation', { name: 'Parts of this page' }).getByRole('link', { name }).click()
      await page.locator(shows).first().waitFor()
      assert.equal(await page.locator('.tabs [aria-current]').innerText(), name)
    }
    await page.getByRole('button', { name: 'Poll now' }).click()
    await page.waitForURL(/sim-2\?polled=\d+#poll-result$/)
    await page.locator('#poll-result', { hasText: 'The poll failed' }).waitFor()
    assert.match(await page.locator('#poll-result').innerText(), /tcp ✕ connection refused/)
    assert.equal(await page.locator('.copy:visible').count(), 0)
    await page.goto('/peers/sim-1/charts')
    await page.getByRole('link', { name: '1h', exact: true }).click()
    await page.waitForURL(/span=1h$/)
    assert.equal(await page.locator('#cursor:visible').count(), 0)
    await page.locator('#values summary').click()
    await page.locator('#values tbody tr').first().waitFor()
    await page.getByLabel('From (UTC)').fill('2026-01-31T12:00')
    await page.getByLabel('To (UTC)').fill('2026-01-31T13:00')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.waitForURL(/from=2026-01-31T12%3A00/)
    await page.getByText('Nothing was measured in this time.').waitFor()
    await page.getByRole('link', { name: 'wider' }).click()
    await page.waitForURL(/from=2026-01-31T11:30:00Z/)
  })

  await t.test('names the worst first, with a runbook of what is wrong and commands to copy', async () => {
    const site = await browser.open(agent.url, '/peers/sim-3')
    const { page } = site
    await site.live()
    assert.match(await page.locator('.trouble').innerText(), /^Own stake is below the minimum/i)
    assert.match(await page.locator('.problem').first().innerText(), /ConvexOwnStakeBelowMinimum/)
    await page.goto('/peers/sim-2')
    await site.live()
    const problem = page.locator('.problem').first()
    assert.match(await problem.innerText(), /ConvexPeerDown/)
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: agent.url })
    await page.getByRole('button', { name: 'Copy' }).first().click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    const copied = await page.evaluate(() => navigator.clipboard.readText())
    assert.match(copied, /^convex-peer-monitor probe http:\/\/127\.0\.0\.1:\d+ tcp:\/\/127\.0\.0\.1:\d+$/)
    await problem.getByText('More of the runbook').click()
    await page.waitForTimeout(2_500)
    assert.ok(await problem.locator('details[open] h3').first().isVisible(), 'it stays open while the page changes')
    await problem.getByRole('link', { name: 'Runbook ConvexPeerDown' }).click()
    await page.getByText('With the names of sim-2 filled in.').waitFor()
    await site.assertPolicyHolds()
  })

  await t.test('shows in place what a poll found, on every part', async () => {
    for (const part of PARTS) {
      const site = await browser.open(agent.url, `/peers/sim-1${part}`)
      const { page } = site
      await site.live()
      await page.evaluate(() => { window.notReloaded = true })
      // A peer is polled on request once a second at most.
      await page.waitForTimeout(1_100)
      await page.getByRole('button', { name: 'Poll now' }).click()
      await page.locator('#poll-result', { hasText: 'The peer answered' }).waitFor()
      assert.match(await page.locator('#poll-result').innerText(), /http [\d.]+ m?s.*tcp [\d.]+ m?s/s)
      assert.ok(await page.evaluate(() => window.notReloaded))
      assert.match(page.url(), new RegExp(`sim-1${part}$`))
      await site.assertPolicyHolds()
    }
  })

  await t.test('shows in every chart the values at one time: under the pointer, and by keyboard', async () => {
    const site = await browser.open(agent.url, '/peers/sim-1/charts')
    const { page } = site
    await site.live()
    const plots = page.locator('.plot')
    const count = await plots.count()
    assert.ok(count >= 4, `${count} charts`)
    const sizes = await plots.evaluateAll((all) => all.map((it) => it.getBoundingClientRect()).map(({ width, height }) => `${width}x${height}`))
    assert.equal(new Set(sizes).size, 1, `of equal size: ${sizes}`)
    const text = () => page.locator('#cursor-text').innerText()
    await plots.nth(1).hover({ position: { x: 150, y: 50 } })
    assert.equal(await page.locator('.cursor').count(), count)
    const at = await page.locator('.cursor').evaluateAll((lines) => lines.map((line) => line.getAttribute('x1')))
    assert.equal(new Set(at).size, 1, 'at one time')
    const shown = await text()
    assert.match(shown, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/)
    // The values are those of the table.
    const place = async () => Number(await page.locator('#cursor').inputValue())
    const under = await place()
    const row = page.locator('#values tbody tr').nth(under)
    assert.equal(`${await row.locator('th').textContent()} UTC`, shown.slice(0, 23))
    const cells = await row.locator('td').evaluateAll((cells) => cells.map((cell) => cell.textContent))
    assert.deepEqual(await page.locator('.value').evaluateAll((values) => values.map((it) => it.textContent)), cells)

    await page.locator('#cursor').focus()
    await page.keyboard.press('ArrowLeft')
    assert.equal(await place(), under - 1)
    await page.keyboard.press('ArrowRight')
    assert.equal(await text(), shown)
    assert.match(await page.locator('#cursor').getAttribute('aria-valuetext'), /Latency.*Finality delay/)
    await page.keyboard.press('Escape')
    assert.equal(await page.locator('.cursor').count(), 0)
    await site.assertPolicyHolds()
  })

  await t.test('zooms into a range that is dragged, and the address and Back know it', async () => {
    const site = await browser.open(agent.url, '/peers/sim-1/charts')
    const { page } = site
    await site.live()
    await page.evaluate(() => { window.notReloaded = true })
    const box = await page.locator('.plot').first().boundingBox()
    const rows = await page.locator('#values tbody tr').count()
    const y = box.y + box.height / 2
    await page.mouse.move(box.x + box.width * 0.3, y)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.8, y, { steps: 4 })
    assert.equal(await page.locator('.range').count(), await page.locator('.plot').count())
    await page.mouse.up()
    await page.waitForURL(/from=[^&]+Z&to=[^&]+Z$/)
    await page.waitForFunction((rows) => document.querySelectorAll('#values tbody tr').length < rows, rows)
    assert.equal(await page.evaluate(() => window.notReloaded), true)
    const zoomed = await page.locator('#values tbody tr').count()
    assert.ok(zoomed > 0)

    const shared = await browser.open(agent.url, new URL(page.url()).pathname + new URL(page.url()).search)
    await shared.live()
    assert.equal(await shared.page.locator('#values tbody tr').count(), zoomed, 'the address alone shows the same')
    await page.goBack()
    await page.locator('nav.spans [aria-current]', { hasText: 'last polls' }).waitFor()
    assert.match(page.url(), /\/charts$/)
    await site.assertPolicyHolds()
  })

  await t.test('marks events in the charts and leads to them', async () => {
    const site = await browser.open(agent.url, '/peers/sim-2/charts?span=1h')
    const { page } = site
    await site.live()
    await page.locator('.chart .mark.worse').first().waitFor()
    const event = page.locator('#chart-events a', { hasText: 'down, was' })
    await event.click()
    await page.waitForURL(/\/events#event-\d+$/)
    // An update of the page draws it again, so that it is no longer :target.
    await page.locator(`.events ${new URL(page.url()).hash}`, { hasText: 'down, was' }).waitFor()
  })

  await t.test('is accessible in light and dark, fits on a phone, and is easy to hit', async () => {
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark', viewport: { width: 390, height: 844 } }, { viewport: { width: 320, height: 640 } }]) {
      for (const peer of ['sim-1', 'sim-2']) {
        for (const part of PARTS) {
          const what = `${peer}${part} ${JSON.stringify(options)}`
          const site = await browser.open(agent.url, `/peers/${peer}${part}`, options)
          await site.live()
          assert.deepEqual(await site.accessibility(), [], what)
          assert.equal(await site.overflow(), 0, what)
          const small = await site.page.locator(TARGETS).evaluateAll((targets, least) => targets
            .filter((it) => it.checkVisibility())
            .map((it) => ({ text: it.textContent, box: it.getBoundingClientRect() }))
            .filter(({ box }) => Math.min(box.width, box.height) < least)
            .map(({ text, box }) => `${text}: ${box.width}x${box.height}`), MIN_TARGET)
          assert.deepEqual(small, [], what)
          const letters = await site.page.locator('svg.chart text').evaluateAll((texts) => texts.map((it) => it.getBoundingClientRect().height))
          assert.ok(letters.every((height) => height >= 9), `${what}: letters can be read: ${Math.min(...letters)} px`)
          await site.assertPolicyHolds()
          await site.page.context().close()
        }
      }
    }
  })

  browser.assertClean()
})
