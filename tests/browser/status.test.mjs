// The status page for the public: without JavaScript, in light and dark, on a phone, from the agent and as files.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Browser } from './support/browser.mjs'
import { PROGRAM, Stage, statusOf, until } from './support/network.mjs'

const run = promisify(execFile)

/** Smallest side of what is clicked, pixels. */
const MIN_TARGET = 24

const TYPES = { '.html': 'text/html', '.css': 'text/css', '.svg': 'image/svg+xml', '.xml': 'application/atom+xml', '.json': 'application/json' }

/** A web server of the simplest kind, which knows nothing of the page. */
async function serve(t, dir) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://x').pathname)
    const file = join(dir, path === '/' ? 'index.html' : path)
    try {
      const content = await readFile(file)
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(content)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `http://127.0.0.1:${server.address().port}`
}

test('the status page', async (t) => {
  const stage = new Stage(t)
  const simulated = await stage.simulated(3, '--fault', 'refuse:2:6s')
  const status = await statusOf(stage, [['sim-1', 'Gateway Paris'], ['sim-2', 'Gateway Oslo']])
  const agent = await stage.agent(`state_dir: '${stage.file('state')}'\ndefaults: { interval: 1s, timeout: 800ms, down_after: 1 }\n${simulated}\n${status.config}`)
  const get = async (route) => (await fetch(`${agent.url}/api/v1/${route}`)).json()
  await until('an incident', async () => (await get('incidents')).length === 1)
  const [{ id }] = await get('incidents')
  const cli = async (...args) => (await run(PROGRAM, [...args, '--url', agent.url], { env: { ...process.env, USER: 'ann' } })).stdout
  await cli('incident', 'note', String(id), 'A disk was full. <b>It</b> has been replaced.')
  await cli('maintenance', 'start', 'sim-1', '--at', new Date(Date.now() + 86_400_000).toISOString().replace(/\.\d+/, ''), '--for', '2h', '--comment', 'secret reason')
  const dir = stage.file('site')
  await cli('status', 'export', dir)
  // Until the listener makes its files again.
  await until('the note on the page', async () => (await (await fetch(status.url)).text()).includes('has been replaced'))
  const browser = await Browser.launch(t)

  for (const [where, url] of [['the agent', status.url], ['a web server', await serve(t, dir)]]) {
    await t.test(`from ${where}: says what happens, without JavaScript`, async () => {
      const { page } = await browser.open(url, '/', { javaScriptEnabled: false })
      await page.getByRole('heading', { level: 2, name: /^Gateway Oslo is down/ }).waitFor()
      const oslo = page.getByRole('region', { name: 'Peers' }).getByRole('listitem').filter({ hasText: 'Gateway Oslo' })
      await oslo.getByText('It could not be reached.').waitFor()
      await page.getByRole('region', { name: 'Incidents' }).getByText('A disk was full. <b>It</b> has been replaced.').waitFor()
      await page.getByRole('region', { name: 'Maintenance' }).getByText('Gateway Paris').waitFor()
      const content = await page.content()
      for (const hidden of ['sim-', 'simulated', 'secret reason', 'ann<', '<script']) assert.ok(!content.includes(hidden), hidden)
      const bars = page.getByRole('img', { name: /^up .* of the .* watched$/ })
      assert.equal(await bars.count(), 3, 'one network and two peers')
      for (const period of ['24 hours', '30 days', '90 days']) {
        await page.getByRole('link', { name: period, exact: true }).click()
        assert.equal(await page.locator('nav [aria-current="page"]').textContent(), period)
        assert.equal(await bars.count(), 3)
      }
    })

    await t.test(`from ${where}: is accessible in light and dark, fits on a phone, and is easy to hit`, async () => {
      for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { viewport: { width: 390, height: 844 } }, { viewport: { width: 320, height: 640 } }]) {
        for (const path of ['/', '/24h.html']) {
          const site = await browser.open(url, path, options)
          assert.deepEqual(await site.accessibility(), [], `${path} ${JSON.stringify(options)}`)
          assert.equal(await site.overflow(), 0, `${path} ${JSON.stringify(options)}`)
          await site.assertPolicyHolds()
          const sizes = await site.page.locator('nav a').evaluateAll((targets) =>
            targets.map((it) => it.getBoundingClientRect()).map(({ width, height }) => Math.min(width, height)))
          assert.ok(sizes.length > 3 && sizes.every((size) => size >= MIN_TARGET), `${path}: ${sizes}`)
        }
      }
    })
  }

  await t.test('has the colours and the logo of its theme', async () => {
    for (const [colorScheme, accent] of [['light', 'rgb(122, 31, 92)'], ['dark', 'rgb(255, 179, 230)']]) {
      const { page } = await browser.open(status.url, '/', { colorScheme })
      const link = page.getByRole('link', { name: 'Contact' })
      assert.equal(await link.evaluate((it) => getComputedStyle(it).color), accent)
      assert.ok(await page.locator('img.logo').evaluate((it) => it.complete && it.naturalWidth > 0), 'the logo')
      assert.equal(await page.evaluate(() => window.pwned), undefined)
    }
  })

  browser.assertClean()
})
