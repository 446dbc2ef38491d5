// The page of a network whose beliefs are read: readable with few peers and with many, in light and dark, on a phone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, until } from './support/network.mjs'

/** An agent that reads the beliefs of simulated peers every ten seconds. */
async function reading(t, peers, { traffic = '1s', polls = '{ interval: 1s, timeout: 800ms }' } = {}, ...more) {
  const stage = new Stage(t)
  const simulated = await stage.simulated(peers, '--traffic', traffic, ...more)
  const config = simulated.replace('name: simulated,', 'name: simulated, consensus_interval: 10s,')
  const agent = await stage.agent(`defaults: ${polls}\n${config}`)
  const consensus = async () => (await (await fetch(`${agent.url}/api/v1/networks/simulated`)).json()).consensus
  return { agent, consensus, browser: await Browser.launch(t) }
}

test('the page of a network', async (t) => {
  const { agent, consensus, browser } = await reading(t, 4, {}, '--fault', 'fork:4:30s')
  await until('a belief of each peer', async () => (await consensus()).hearing.length === 4)

  await t.test('shows who hears whom, the votes and the last blocks, and the fork when it is there', async () => {
    const site = await browser.open(agent.url, '/')
    const { page } = site
    await page.getByRole('link', { name: 'simulated' }).first().click()
    await page.waitForURL('**/networks/simulated')
    await site.live()
    assert.equal(await page.locator('table.matrix tbody tr').count(), 4)
    assert.equal(await page.locator('.levels .bar').count(), 4)
    assert.equal(await page.locator('#rows tr').count(), 4)
    assert.equal(await page.locator('#rows .ladder').count(), 4)
    await page.locator('#production tbody tr').first().waitFor()
    await page.locator('#histories', { hasText: '2 different histories' }).waitFor({ timeout: 120_000 })
    await page.locator('#histories', { hasText: 'the first different one' }).waitFor()
    await page.locator('#agreement tbody', { hasText: '2 different' }).first().waitFor()
    await site.assertPolicyHolds()
  })

  await t.test('keeps the rows of the peers while their orders grow', async () => {
    const site = await browser.open(agent.url, '/networks/simulated')
    const { page } = site
    await site.live()
    const first = page.locator('#rows tr').first()
    await first.evaluate((row) => { row.kept = true })
    const blocks = () => first.locator('.ladder .first').textContent()
    const before = await blocks()
    await until('more blocks', async () => await blocks() !== before)
    assert.ok(await first.evaluate((row) => row.kept), 'only the cells have changed')
  })

  await t.test('is complete without JavaScript', async () => {
    const site = await browser.open(agent.url, '/networks/simulated', { javaScriptEnabled: false })
    const { page } = site
    assert.equal(await page.locator('#rows .ladder').count(), 4)
    assert.ok(await page.locator('svg.agreement').count() >= 4)
    assert.match(await page.locator('#compared').textContent(), /answering peers/)
  })

  await t.test('is accessible in light and dark, and fits on a phone', async () => {
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { viewport: { width: 320, height: 640 } }]) {
      const site = await browser.open(agent.url, '/networks/simulated', options)
      await site.live()
      assert.deepEqual(await site.accessibility(), [], JSON.stringify(options))
      assert.equal(await site.overflow(), 0, JSON.stringify(options))
    }
  })

  browser.assertClean()
})

test('the page of a network of 64 peers', async (t) => {
  const { agent, consensus, browser } = await reading(t, 64, { traffic: '5s', polls: '{ interval: 2s, timeout: 1900ms }' })
  await until('the registry, and a belief of each peer', async () => {
    const { hearing } = await consensus()
    return hearing.length === 64 && hearing.every((it) => Object.keys(it.holds).length >= 63)
  })
  for (const options of [{ viewport: { width: 1280, height: 800 } }, { viewport: { width: 320, height: 640 } }]) {
    const site = await browser.open(agent.url, '/networks/simulated', options)
    const { page } = site
    await site.live()
    assert.equal(await page.locator('table.matrix tbody tr').count(), 64)
    assert.equal(await page.locator('table.matrix thead th').count(), 66)
    assert.equal(await site.overflow(), 0, JSON.stringify(options))
    assert.deepEqual(await site.accessibility(), [], JSON.stringify(options))

    // All of it is seen at once on a desktop; on a phone it is scrolled, and stays there while the page changes.
    const matrix = page.locator('#hearing .scroll')
    const scrolls = await matrix.evaluate((it) => it.scrollWidth > it.clientWidth)
    assert.equal(scrolls, options.viewport.width < 1000)
    if (scrolls) {
      await matrix.evaluate((it) => { it.scrollLeft = 40 })
      await page.evaluate(() => updateSection('hearing', document.getElementById('hearing').innerHTML))
      assert.equal(await matrix.evaluate((it) => it.scrollLeft), 40)
    }
    const name = page.locator('table.matrix tbody th').first()
    assert.ok((await name.boundingBox()).x >= 0, 'the name of the row is seen')
  }
  browser.assertClean()
})

test('the page of a network of 200 peers, of which 150 are watched', async (t) => {
  const slower = { traffic: '20s', polls: '{ interval: 5s, timeout: 4s }' }
  const { agent, consensus, browser } = await reading(t, 200, slower, '--watch', '1-150')
  await until('the registry, and a belief of each peer', async () => {
    const { hearing } = await consensus()
    return hearing.length === 150 && hearing.every((it) => Object.keys(it.holds).length >= 199)
  })
  for (const options of [{ viewport: { width: 1280, height: 800 } }, { viewport: { width: 390, height: 844 }, colorScheme: 'dark' }]) {
    const site = await browser.open(agent.url, '/networks/simulated', options)
    const { page } = site
    await site.live()
    assert.equal(await page.locator('#rows tr').count(), 200)
    assert.equal(await page.locator('#rows tr', { hasText: 'not watched' }).count(), 50)
    await page.getByRole('img', { name: '200 columns' }).waitFor()
    assert.equal(await site.overflow(), 0, JSON.stringify(options))
    assert.deepEqual(await site.accessibility(), [], JSON.stringify(options))

    // The table scrolls within its place, and stays there while its cells change.
    const table = page.getByRole('group', { name: 'Registered peers' })
    await table.evaluate((it) => { it.scrollTop = 500 })
    const before = await page.locator('#rows').innerHTML()
    await until('more blocks', async () => await page.locator('#rows').innerHTML() !== before)
    assert.equal(await table.evaluate((it) => it.scrollTop), 500)
    await site.assertPolicyHolds()
  }
  browser.assertClean()
})

test('what two agents say', async (t) => {
  const stage = new Stage(t)
  const simulated = await stage.simulated(4, '--traffic', '1s')
  const settings = 'defaults: { interval: 1s, timeout: 800ms, down_after: 1 }\n'
  const other = await stage.agent(`vantage: us-1\n${settings}${simulated}`)
  // The first peer is somewhere else for this agent: nobody listens there.
  const cut = simulated.replace(/(name: sim-1,.*endpoints: )\[[^\]]*\]/, "$1['tcp://127.0.0.1:1']")
  assert.notEqual(cut, simulated)
  const vantages = `vantages: [{ name: us-1, url: '${other.url}' }, { name: gone, url: 'http://127.0.0.1:1' }]\n`
  const agent = await stage.agent(`vantage: eu-1\n${settings}${vantages}${cut}`)
  const browser = await Browser.launch(t)
  await until('the conclusion', async () => (await (await fetch(`${agent.url}/api/v1/peers/sim-1`)).json()).conclusion?.place === 'path')

  await t.test('stands side by side on the page of a peer, with its age and its differences', async () => {
    const site = await browser.open(agent.url, '/peers/sim-1')
    const { page } = site
    await site.live()
    const table = page.getByRole('group', { name: 'What each agent says' })
    assert.match(await table.locator('thead').textContent(), /eu-1 this agent.*us-1.*gone/)
    assert.match(await table.locator('tbody tr', { hasText: 'Said' }).textContent(), /(ago|now).*no recent opinion/)
    assert.match(await table.locator('tbody tr', { hasText: 'Health' }).locator('.differs').textContent(), /up/)
    assert.match(await page.locator('#vantages').textContent(), /path.*The cause is the path/)
    assert.deepEqual(await site.accessibility(), [])
  })

  await t.test('stands in the rows of the fleet and on the page of the network', async () => {
    for (const viewport of [{ width: 1440, height: 900 }, { width: 390, height: 844 }]) {
      const site = await browser.open(agent.url, '/', { viewport })
      const { page } = site
      await site.live()
      const cell = page.locator('[data-key="sim-1"] [data-cell="vantages"]')
      await until('the conclusion in the row', async () => /path.*us-1.*up.*1 without opinion/.test(await cell.textContent()))
      assert.match(await page.locator('[data-key="sim-2"] [data-cell="vantages"]').textContent(), /1 agree/)
      assert.equal(await site.overflow(), 0, JSON.stringify(viewport))
      assert.deepEqual(await site.accessibility(), [])
      await page.goto(`${agent.url}/networks/simulated`)
      assert.match(await page.locator('#vantages').textContent(), /Stake reached/)
      assert.equal(await site.overflow(), 0, JSON.stringify(viewport))
    }
  })

  browser.assertClean()
})
