// The lists of alerts and events, the page of an event, the configuration, and the navigation that leads to them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, until } from './support/network.mjs'

/** Smallest side of what is clicked, pixels. */
const MIN_TARGET = 24

const EVIL = '<img src=x onerror=alert(1)>'

test('lists of alerts and events', async (t) => {
  const stage = new Stage(t)
  const simulated = await stage.simulated(3, '--fault', 'refuse:2')
  const wrongKey = simulated.replace(/key: '?"?0x[0-9a-f]{64}'?"?/, `key: "0x${'11'.repeat(32)}"`)
  assert.notEqual(wrongKey, simulated)
  const agent = await stage.agent(`state_dir: '${stage.file('state')}'\ndefaults: { interval: 1s, timeout: 800ms }\n${wrongKey}`)
  const get = async (route) => (await fetch(`${agent.url}/api/v1/${route}`, { headers: { accept: 'application/json' } })).json()
  const act = async (action) => {
    const body = JSON.stringify({ created_by: 'ann', comment: EVIL, ...action })
    const answer = await fetch(`${agent.url}/api/v1/actions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    assert.equal(answer.status, 201)
  }
  await until('an alert', async () => (await get('alerts')).some((it) => it.alertname === 'ConvexPeerIdentityChanged'))
  await until('a peer that is down', async () => (await get('peers/sim-2')).health === 'down')
  const browser = await Browser.launch(t)

  await t.test('are filtered without JavaScript, by addresses that can be shared', async () => {
    const { page } = await browser.open(agent.url, '/', { javaScriptEnabled: false })
    const site = page.getByRole('navigation', { name: 'Site' })
    await site.getByRole('link', { name: 'Alerts' }).click()
    assert.match(await site.locator('[aria-current=page]').innerText(), /^Alerts/)
    const rows = page.locator('#rows > tr')
    // The options are part of the labels' texts.
    const select = (name) => page.locator(`select[name=${name}]`)
    await select('alert').selectOption('ConvexPeerIdentityChanged')
    await select('state').selectOption('firing')
    await page.getByRole('button', { name: 'Show' }).click()
    assert.match(page.url(), /\/alerts\?alert=ConvexPeerIdentityChanged&state=firing$/)
    assert.equal(await rows.count(), 1)
    await select('state').selectOption('ended')
    await page.getByRole('button', { name: 'Show' }).click()
    assert.equal(await rows.count(), 0)
    await page.getByText('No alert matches.').waitFor()
    await page.getByRole('link', { name: 'Show all' }).click()
    assert.match(page.url(), /\/alerts$/)
    await rows.filter({ hasText: 'ConvexPeerIdentityChanged' }).getByRole('link', { name: /^Events/ }).click()
    assert.match(page.url(), /\/events\?from=.*&peer=sim-1$/)
    await select('kind').selectOption({ label: 'alert began' })
    await page.getByRole('button', { name: 'Show' }).click()
    assert.match(page.url(), /&kind=alert_began$/)
    await rows.first().locator('[data-cell=time] a').click()
    assert.match(page.url(), /\/events\/\d+$/)
    await page.getByRole('link', { name: 'What to do: ConvexPeerIdentityChanged' }).waitFor()
    await page.getByRole('link', { name: 'sim-1', exact: true }).click()
    await page.waitForURL('**/peers/sim-1')
  })

  await t.test('say what is wrong with an address', async () => {
    const site = await browser.open(agent.url, '/events?last=%3Cscript%3E&kind=x')
    // The browser says so too.
    site.faults = site.faults.filter((fault) => !/400/.test(fault))
    const alert = site.page.getByRole('alert')
    assert.equal(await alert.locator('li').count(), 2)
    assert.match(await alert.innerText(), /`last` is "<script>", which is not a length of time/)
    assert.deepEqual(await site.accessibility(), [])
  })

  await t.test('are updated live, and what operators type is text', async () => {
    const alerts = await browser.open(agent.url, '/alerts')
    const events = await browser.open(agent.url, '/events')
    await alerts.live()
    await events.live()
    for (const { page } of [alerts, events]) await page.evaluate(() => { window.notReloaded = true })
    const row = alerts.page.locator('#rows > tr', { hasText: 'ConvexPeerIdentityChanged' })
    await act({ kind: 'acknowledgement', alertname: 'ConvexPeerIdentityChanged' })
    await row.getByText(EVIL).waitFor()
    await events.page.locator('#rows > tr').first().getByText(EVIL).waitFor()
    const count = async () => Number((await alerts.page.locator('#alert-count .count').innerText()).match(/\d+/)[0])
    const before = await count()
    await act({ kind: 'maintenance', peer: 'sim-1', seconds: 600 })
    await row.filter({ hasText: 'maintenance' }).waitFor()
    await until('the count', async () => (await alerts.page.locator('#alert-count .count').count()) === 0 || (await count()) < before)
    for (const site of [alerts, events]) {
      assert.equal(await site.page.evaluate(() => window.notReloaded), true)
      assert.equal(await site.page.locator('main img').count(), 0)
      await site.assertPolicyHolds()
    }
  })

  const [event] = (await get('events?peer=sim-2&limit=1'))
  const paths = ['/alerts', '/events', '/events?kind=reset_began', `/events/${event.id}`, '/configuration', '/networks', '/events/1']

  await t.test('are accessible in light and dark, fit on a phone, and are easy to hit', async () => {
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { viewport: { width: 390, height: 844 } }, { viewport: { width: 320, height: 640 } }]) {
      for (const path of paths) {
        const site = await browser.open(agent.url, path, options)
        // The browser itself says that a page was not found.
        site.faults = site.faults.filter((fault) => !/404/.test(fault))
        assert.deepEqual(await site.accessibility(), [], `${path} ${JSON.stringify(options)}`)
        assert.equal(await site.overflow(), 0, `${path} ${JSON.stringify(options)}`)
        await site.assertPolicyHolds()
        const sizes = await site.page.locator('.top nav a, .log a, .filter input, .filter select, .filter button, .paging nav a').evaluateAll((targets) =>
          targets.map((it) => [it.textContent, it.getBoundingClientRect()]).map(([text, { width, height }]) => [text, Math.min(width, height)]))
        const small = sizes.filter(([, size]) => size < MIN_TARGET)
        assert.ok(sizes.length > 0 && small.length === 0, `${path}: ${small}`)
      }
    }
  })

  browser.assertClean()
})
