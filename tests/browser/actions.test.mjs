// The forms that acknowledge, silence and maintain: they work without JavaScript, and are accessible.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, until } from './support/network.mjs'

/** Smallest side of what is clicked, pixels. */
const MIN_TARGET = 24

test('the forms of /actions', async (t) => {
  const stage = new Stage(t)
  const simulated = await stage.simulated(2)
  const wrongKey = simulated.replace(/key: '?"?0x[0-9a-f]{64}'?"?/, `key: "0x${'11'.repeat(32)}"`)
  assert.notEqual(wrongKey, simulated)
  const agent = await stage.agent(`state_dir: '${stage.file('state')}'\ndefaults: { interval: 1s, timeout: 800ms }\n${wrongKey}`)
  const get = async (route) => (await fetch(`${agent.url}/api/v1/${route}`)).json()
  const alert = async () => (await get('alerts')).find((it) => it.alertname === 'ConvexPeerIdentityChanged')
  await until('an alert', alert)
  const browser = await Browser.launch(t)

  await t.test('are reached from the alert, and do what they say without JavaScript', async () => {
    const { page } = await browser.open(agent.url, '/', { javaScriptEnabled: false })
    const act = async (form, button, fill) => {
      await page.goto('/')
      await page.getByRole('link', { name: /Acknowledge or silence ?: Another peer/ }).first().click()
      const section = page.getByRole('region', { name: form })
      await section.getByLabel('Your name').fill('ann')
      if (fill) await section.getByLabel('Reason').fill('<b>as planned</b>')
      await section.getByRole('button', { name: button }).click()
      await page.waitForURL('**/peers/sim-1')
    }
    await act('Acknowledge', 'Acknowledge', true)
    assert.equal((await alert()).acknowledged.comment, '<b>as planned</b>')
    await page.getByText('<b>as planned</b>').first().waitFor()
    await act('Silence', 'Silence', true)
    assert.equal((await alert()).silenced.created_by, 'ann')
    await act('Active: acknowledgement', 'End now', false)
    assert.equal((await alert()).acknowledged, undefined)
    await act('Start maintenance', 'Start maintenance', true)
    assert.equal((await get('peers/sim-1')).maintenance, true)
  })

  await t.test('are accessible in light and dark, fit on a phone, and are easy to hit', async () => {
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { viewport: { width: 320, height: 640 } }]) {
      for (const path of ['/', '/peers/sim-1', '/actions?alertname=ConvexPeerIdentityChanged&peer=sim-1&network=simulated']) {
        const site = await browser.open(agent.url, path, options)
        assert.deepEqual(await site.accessibility(), [], `${path} ${JSON.stringify(options)}`)
        assert.equal(await site.overflow(), 0, `${path} ${JSON.stringify(options)}`)
        await site.assertPolicyHolds()
        const sizes = await site.page.locator('.act, .act-on button, .act-on input:not([type=hidden]), .act-on select').evaluateAll((targets) =>
          targets.map((it) => it.getBoundingClientRect()).map(({ width, height }) => Math.min(width, height)))
        assert.ok(sizes.length > 0 && sizes.every((size) => size >= MIN_TARGET), `${path}: ${sizes}`)
      }
    }
  })

  browser.assertClean()
})
