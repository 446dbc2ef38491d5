// Two thousand peers: the page stays usable. Times are measured and told, not judged: machines differ.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser } from './support/browser.mjs'
import { Stage, until } from './support/network.mjs'

const PEERS = 2_000

test(`${PEERS} peers are found, ordered and scrolled`, async (t) => {
  const stage = new Stage(t)
  const simulated = await stage.simulated(PEERS, '--fault', 'refuse:1-20', '--traffic', '5s:100')
  const agent = await stage.agent(`defaults: { interval: 15s, timeout: 5s }\n${simulated}`)
  await until('every peer is judged', async () => /(\d+) of \d+ peers down/.exec(await (await fetch(agent.url)).text())?.[1] === '20')
  const browser = await Browser.launch(t)
  const timed = async (what, act) => {
    const begun = performance.now()
    await act()
    t.diagnostic(`${what}: ${Math.round(performance.now() - begun)} ms`)
  }
  const html = await (await fetch(agent.url)).text()
  t.diagnostic(`the page: ${Math.round(html.length / 1000)} kB of HTML`)

  let site
  await timed('open', async () => { site = await browser.open(agent.url, '/') })
  const { page } = site
  await timed('live', () => site.live())
  assert.equal((await site.rows())[0], 'sim-1', 'the worst first')
  await timed('find one', async () => {
    await page.getByLabel('Search').fill('sim-1999')
    await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length === 1)
  })
  await page.getByLabel('Search').fill('')
  await page.waitForFunction(() => document.querySelectorAll('#rows > tr').length > 1)
  await timed('order by latency', async () => {
    await page.getByRole('columnheader', { name: 'Latency' }).getByRole('link').click()
    await page.locator('th[aria-sort]', { hasText: 'Latency' }).waitFor()
  })
  await timed('turn the page', async () => {
    await page.getByRole('link', { name: 'Next →' }).click()
    await page.getByText('101 to 200 of').waitFor()
  })
  const longest = await page.evaluate(async () => {
    let [longest, before] = [0, performance.now()]
    for (let frame = 0; frame < 120; frame++) {
      scrollBy(0, 60)
      await new Promise(requestAnimationFrame)
      const now = performance.now()
      longest = Math.max(longest, now - before)
      before = now
    }
    return longest
  })
  t.diagnostic(`the longest frame while scrolling and being told news: ${Math.round(longest)} ms`)
  await site.assertPolicyHolds()
  browser.assertClean()
})
