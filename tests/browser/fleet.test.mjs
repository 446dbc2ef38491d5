// The pages of a simulated network with faults: what can be done on them, by whom, and what may never happen.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, configOf, until } from './support/network.mjs'

/** An agent on eight simulated peers of two regions, of which the second is gone and the third has a wrong clock. */
async function faulty(t) {
  const stage = new Stage(t)
  const simulated = await stage.simulated(8, '--fault', 'refuse:2', '--fault', 'skew=5s:3', '--traffic', '1s')
  const regions = simulated.replace(/name: sim-(\d+), /g, (found, i) => `${found}labels: { region: ${i < 5 ? 'eu' : 'us'} }, `)
  const agent = await stage.agent(`defaults: { interval: 1s, timeout: 800ms }\n${regions}`)
  const health = async (name) => (await (await fetch(`${agent.url}/api/v1/peers/${name}`)).json()).health
  await until('the verdicts', async () =>
    (await health('sim-2')) === 'down' && (await health('sim-3')) === 'degraded' && (await health('sim-8')) === 'up')
  return { stage, agent, browser: await Browser.launch(t) }
}

test('a fleet', async (t) => {
  const { agent, browser } = await faulty(t)

  await t.test('is filtered, ordered and grouped without a reload, and the address says how', async () => {
    const site = await browser.open(agent.url, '/')
    const { page } = site
    await site.live()
    assert.deepEqual((await site.rows()).slice(0, 2), ['sim-2', 'sim-3'])
    await page.evaluate(() => { window.notReloaded = true })

    await page.getByLabel('Search').fill('sim-3')
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 1)
    assert.match(page.url(), /\?q=sim-3$/)
    await page.getByLabel('Search').fill('')
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 8)

    await page.getByLabel('Health').selectOption('amiss')
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 2)
    await page.getByLabel('Health').selectOption('all')
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 8)
    await page.getByRole('columnheader', { name: 'Peer' }).getByRole('link').click()
    await page.locator('th[aria-sort="ascending"]', { hasText: 'Peer' }).waitFor()
    assert.equal((await site.rows())[0], 'sim-1')
    await page.getByRole('columnheader', { name: 'Peer' }).getByRole('link').click()
    await page.locator('th[aria-sort="descending"]', { hasText: 'Peer' }).waitFor()
    assert.equal((await site.rows())[0], 'sim-8')

    await page.getByLabel('Group').selectOption('label:region')
    await page.locator('tr.group').nth(1).waitFor()
    assert.deepEqual(await page.locator('tr.group').allInnerTexts(), ['region: eu', 'region: us'])
    assert.match(page.url(), /sort=-name/)
    assert.equal(await page.evaluate(() => window.notReloaded), true)

    const shown = await site.rows()
    await page.reload()
    assert.deepEqual(await site.rows(), shown, 'the address alone shows the same')
    await site.live()
    await site.assertPolicyHolds()
  })

  await t.test('is used by keyboard alone, and keeps the focus while it changes', async () => {
    const site = await browser.open(agent.url, '/')
    const { page } = site
    await site.live()
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the peers')
    assert.ok(await page.evaluate(() => document.activeElement.getBoundingClientRect().left >= 0), 'it is seen')
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(() => document.activeElement.id), 'rows')
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim())
    await page.keyboard.press('Tab')
    assert.equal(await focused(), 'sim-2', 'the first peer is near')
    await page.goto('/')
    await site.live()
    const tabTo = async (text) => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab')
        if ((await focused()) === text) return
      }
      assert.fail(`the keyboard does not reach ${text}`)
    }
    await tabTo('Peer')
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
    assert.equal(outline, 'solid', 'the focus is seen')
    await page.keyboard.press('Enter')
    await page.locator('th[aria-sort="ascending"]', { hasText: 'Peer' }).waitFor()
    assert.equal(await focused(), 'Peer', 'the focus stays on the title')
    await tabTo('sim-3')
    // The row is replaced with every poll.
    const before = await page.locator('tr[data-key="sim-3"]').innerHTML()
    await page.waitForFunction((before) => document.querySelector('tr[data-key="sim-3"]').innerHTML !== before, before)
    await page.waitForTimeout(1_500)
    assert.equal(await focused(), 'sim-3')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/peers/sim-3')
    await site.live()
    const summary = page.locator('#problems summary').first()
    await summary.focus()
    await page.keyboard.press('Enter')
    await page.locator('#problems details[open] h3').first().waitFor()
  })

  await t.test('has keys to search and to move, and says which', async () => {
    const site = await browser.open(agent.url, '/')
    const { page } = site
    await site.live()
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim())
    await page.keyboard.press('j')
    assert.equal(await focused(), 'sim-2')
    await page.keyboard.press('j')
    assert.equal(await focused(), 'sim-3')
    await page.keyboard.press('k')
    assert.equal(await focused(), 'sim-2')
    await page.keyboard.press('/')
    await page.keyboard.type('sim-j')
    assert.equal(await page.getByLabel('Search').inputValue(), 'sim-j', 'keys that are typed move nothing')
    await page.keyboard.press('Escape')
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor()
    assert.deepEqual(await site.accessibility(), [])
    await page.keyboard.press('Escape')
    assert.equal(await page.getByRole('dialog').count(), 0)
    await site.assertPolicyHolds()
  })

  await t.test('goes back through views, and opens a peer by a click anywhere in its row', async () => {
    const site = await browser.open(agent.url, '/')
    const { page } = site
    await site.live()
    await page.getByRole('link', { name: '1 of 8 peers down' }).click()
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 1)
    assert.match(page.url(), /\?health=down$/)
    await page.getByRole('link', { name: '30 d', exact: true }).click()
    await page.waitForURL(/bars=30d/)
    await page.goBack()
    await page.goBack()
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 8)
    assert.equal(await page.getByLabel('Health').inputValue(), 'all')
    await page.locator('tr[data-key="sim-3"] [data-cell="state"]').click()
    await page.waitForURL('**/peers/sim-3')
  })

  await t.test('sends a page that is not seen its title and icon only', async () => {
    const site = await browser.open(agent.url, '/')
    await site.live()
    const head = await (await fetch(`${agent.url}/live?head=`)).body.getReader().read()
    const news = new TextDecoder().decode(head.value)
    assert.match(news, /"title":"1 of 8 peers down, 1 degraded/)
    assert.doesNotMatch(news, /sections|rows/)
    await site.page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await site.live()
    await site.page.evaluate(() => {
      delete document.hidden
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await site.live()
  })

  await t.test('is whole without JavaScript', async () => {
    const site = await browser.open(agent.url, '/', { javaScriptEnabled: false })
    const { page } = site
    assert.equal((await page.locator('#rows > tr').count()), 8)
    assert.equal(await page.locator('#freshness').innerText(), '')
    await page.getByLabel('Search').fill('clock is off')
    await page.getByRole('button', { name: 'Show' }).click()
    assert.equal((await page.locator('#rows > tr').count()), 1)
    await page.getByRole('columnheader', { name: 'Latency' }).getByRole('link').click()
    assert.match(page.url(), /q=clock\+is\+off&sort=latency$/)
    await page.getByRole('link', { name: 'sim-3', exact: true }).click()
    assert.match(await page.locator('h1').innerText(), /sim-3/)
    await page.locator('.problem', { hasText: 'clock is off' }).getByText('More of the runbook').click()
    assert.ok(await page.locator('#problems details[open]').isVisible())
  })

  for (const colorScheme of ['light', 'dark']) {
    await t.test(`has no accessibility violation in the ${colorScheme}`, async () => {
      for (const path of ['/', '/?group=label:region', '/peers/sim-2', '/peers/sim-1/charts?span=1h', '/runbooks/']) {
        for (const viewport of [{ width: 1360, height: 860 }, { width: 320, height: 640 }]) {
          const site = await browser.open(agent.url, path, { colorScheme, viewport })
          assert.deepEqual(await site.accessibility(), [], `${path} at ${viewport.width} px`)
        }
      }
    })
  }

  await t.test('shows each peer in two lines on a phone, and the rest when it is opened', async () => {
    const site = await browser.open(agent.url, '/', { viewport: { width: 390, height: 844 } })
    const row = site.page.locator('tr[data-key="sim-1"]')
    await site.live()
    const height = async () => (await row.boundingBox()).height
    assert.ok(await height() < 90, `${await height()} px`)
    assert.ok(!await row.locator('[data-cell="state"]').isVisible())
    await row.getByLabel('More about sim-1').click()
    assert.ok(await row.locator('[data-cell="state"]').isVisible())
    // Cells change with every poll.
    await site.page.waitForTimeout(2_500)
    assert.ok(await row.locator('[data-cell="state"]').isVisible(), 'it stays open')
  })

  await t.test('fits on a phone', async () => {
    for (const path of ['/', '/peers/sim-2', '/peers/sim-1', '/runbooks/ConvexPeerDown']) {
      const site = await browser.open(agent.url, path, { viewport: { width: 320, height: 640 } })
      assert.equal(await site.overflow(), 0, path)
    }
  })

  await t.test('makes no page do what none may do', () => browser.assertClean())
})

test('a page whose agent has gone says that it is stale, and is live again with the agent', async (t) => {
  const { stage, agent, browser } = await faulty(t)
  const site = await browser.open(agent.url, '/')
  await site.live()
  site.expectsOutage = true
  await agent.stop()
  await site.page.locator('#freshness', { hasText: /^stale: no news since/ }).waitFor()
  assert.ok(await site.page.evaluate(() => document.documentElement.classList.contains('is-stale')))
  assert.match(await site.page.title(), /^stale · /)
  assert.match(await site.page.locator('#icon').getAttribute('href'), /health=unknown/)
  assert.equal((await site.rows()).length, 8, 'what was known stays')
  await agent.again()
  await site.live()
  assert.ok(await site.page.evaluate(() => !document.documentElement.classList.contains('is-stale')))
  browser.assertClean()
})

test('what a hostile peer says is text', async (t) => {
  const evil = '<script>document.title="evil"</script><img src=x onerror="alert(1)">\u202egnp.\u0007'
  const server = createServer((request, response) => {
    response.writeHead(500, { 'content-type': 'text/html' })
    response.end(evil.repeat(Math.floor(1_000_000 / evil.length)))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const stage = new Stage(t)
  const endpoints = [`http://127.0.0.1:${server.address().port}`]
  const agent = await stage.agent(configOf({ name: 'evil' }, [{ name: 'hostile', endpoints }]))
  const browser = await Browser.launch(t)
  for (const path of ['/', '/peers/hostile', '/peers/hostile/charts', '/peers/hostile/events', '/peers/hostile/diagnostics']) {
    const site = await browser.open(agent.url, path)
    await site.live()
    await site.page.locator('.is-down').first().waitFor()
    await site.page.waitForTimeout(1_500)
    assert.doesNotMatch(await site.page.title(), /evil/)
    assert.equal(await site.page.locator('main script, main img').count(), 0)
    assert.doesNotMatch(await site.page.content(), /[\u202e\u0007]/)
    assert.equal(await site.overflow(), 0)
    await site.assertPolicyHolds()
  }
  browser.assertClean()
})
