// The pages of a network of real Convex peers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, configOf } from './support/network.mjs'

test('a real network is shown, and a killed peer turns red without a reload', async (t) => {
  const stage = new Stage(t)
  const peers = await stage.realPeers(2)
  const named = peers.map((peer, i) => ({ ...peer, name: `peer-${i}` }))
  const agent = await stage.agent(configOf({ name: 'local', genesis: peers[0].genesis }, named))
  const browser = await Browser.launch(t)
  const site = await browser.open(agent.url, '/')
  const { page } = site
  await site.live()
  for (const peer of named) await page.locator(`tr.is-up[data-key="${peer.name}"]`).waitFor()
  assert.match(await page.locator('.network').innerText(), /local/)
  await page.evaluate(() => { window.notReloaded = true })

  await peers[1].kill()
  const row = page.locator('tr[data-key="peer-1"]')
  await page.locator('tr.is-down[data-key="peer-1"]').waitFor()
  assert.equal(await page.evaluate(() => window.notReloaded), true)
  assert.equal((await site.rows())[0], 'peer-1', 'the worst is first')
  assert.match(await row.innerText(), /connection refused/)
  await page.waitForFunction(() => document.title.startsWith('1 of 2 peers down'))
  assert.match(await page.locator('#icon').getAttribute('href'), /health=down&count=1/)
  const red = await row.locator('.health').evaluate((it) => getComputedStyle(it).color)
  const green = await page.locator('tr[data-key="peer-0"] .health').evaluate((it) => getComputedStyle(it).color)
  assert.notEqual(red, green)

  const open = page.waitForURL('**/peers/peer-1')
  await row.locator('th a').click()
  await open
  assert.match(await page.locator('#verdict').innerText(), /down/)
  assert.match(await page.locator('#problems').innerText(), /ConvexPeerDown/)
  await page.getByRole('link', { name: 'Diagnostics' }).click()
  await page.waitForURL('**/peers/peer-1/diagnostics')
  assert.match(await page.locator('#transcripts').innerText(), /refused/)
  assert.match(await page.locator('#facts').innerText(), /Genesis/)
  await site.assertPolicyHolds()
  browser.assertClean()
})
