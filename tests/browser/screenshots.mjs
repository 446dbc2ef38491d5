// Makes the pictures in docs/images anew: a network of real peers, and a simulated one with faults, in the light and in the dark.
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Browser } from './support/browser.mjs'
import { Stage, configOf, sleep, statusOf, until } from './support/network.mjs'

const IMAGES = join(dirname(fileURLToPath(import.meta.url)), '../../docs/images')
const ends = []
const screenshots = { after: (end) => ends.push(end) }
mkdirSync(IMAGES, { recursive: true })

/** An agent that reads the beliefs of simulated peers of unequal stake, of which it watches all but the last. */
async function readingNetwork(stage, peers, ...faults) {
  const stakes = ['stake=200000:1', 'stake=150000:2-3', ...faults].flatMap((fault) => ['--fault', fault])
  const simulated = await stage.simulated(peers, '--traffic', '2s', '--watch', `1-${peers - 1}`, ...stakes)
  const config = simulated.replace('name: simulated,', 'name: simulated, consensus_interval: 10s,')
  const agent = await stage.agent(`vantage: eu-1\ndefaults: { interval: 2s, timeout: 1s }\n${config}`)
  // Who hears whom is judged after five minutes.
  const shows = (what, found) => until(what, async () => found(await (await fetch(`${agent.url}/api/v1/networks/simulated`)).json()), 600_000)
  return { agent, shows }
}

/** Pictures of the page at `path`, in both colours. */
async function shoot(browser, agent, path, name, { width = 1280, height = 800, isLive = true } = {}) {
  for (const colorScheme of ['light', 'dark']) {
    const site = await browser.open(agent.url, path, { colorScheme, viewport: { width, height } })
    if (isLive) await site.live()
    await site.page.screenshot({ path: join(IMAGES, `${name}-${colorScheme}.png`) })
    console.log(`docs/images/${name}-${colorScheme}.png`)
  }
}

try {
  const browser = await Browser.launch(screenshots)
  const real = new Stage(screenshots)
  const peers = await real.realPeers(2)
  const named = peers.map((peer, i) => ({ ...peer, name: `peer-${i}`, more: `, labels: { region: ${i === 0 ? 'eu' : 'us'} }` }))
  const ofReal = await real.agent(`vantage: eu-1\n${configOf({ name: 'local', genesis: peers[0].genesis }, named)}`)
  const faulty = new Stage(screenshots)
  const simulated = await faulty.simulated(12, '--traffic', '2s',
    '--fault', 'refuse:3:40s', '--fault', 'half-dead:8:55s', '--fault', 'fork:2:20s', '--fault', 'lag=40:4:10s',
    '--fault', 'skew=-5s:6', '--fault', 'low-stake:9')
  const status = await statusOf(faulty, [['sim-1', 'Gateway Paris'], ['sim-3', 'Gateway Oslo'], ['sim-4', 'Gateway Porto']])
  const ofFaulty = await faulty.agent(`vantage: eu-1\nstate_dir: '${faulty.file('state')}'\ndefaults: { interval: 2s, timeout: 1s }\nverdicts: { stall_after: 20s }\n${simulated}\n${status.config}`)
  await until('the last fault', async () => (await (await fetch(`${ofFaulty.url}/`)).text()).includes('2 of 12 peers down'))
  const [sound, forked, isolated, upgrading] = await Promise.all([
    readingNetwork(new Stage(screenshots), 8),
    readingNetwork(new Stage(screenshots), 6, 'fork:5:30s'),
    readingNetwork(new Stage(screenshots), 8, 'isolate:4'),
    readingNetwork(new Stage(screenshots), 8, 'upgrade=24h:1-6')
  ])
  await forked.shows('the fork', ({ consensus }) => consensus.histories?.groups.length === 2)
  await isolated.shows('the isolated peer', ({ consensus }) => consensus.hearing.some((it) => it.isolated))
  await upgrading.shows('the upgrade', ({ protocol }) => protocol?.pending[0]?.readiness)
  // Until the alerts fire that take a minute.
  await sleep(80_000)
  await shoot(browser, ofReal, '/', 'real', { width: 1440, height: 480 })
  await shoot(browser, ofReal, '/peers/peer-0', 'real-peer')
  await shoot(browser, ofFaulty, '/', 'faulty', { width: 1440, height: 1100 })
  await shoot(browser, ofFaulty, '/peers/sim-4', 'faulty-peer', { height: 900 })
  await shoot(browser, sound.agent, '/networks/simulated', 'network', { width: 1440, height: 1500 })
  await shoot(browser, forked.agent, '/networks/simulated#histories-title', 'network-fork', { width: 1440, height: 900 })
  await shoot(browser, isolated.agent, '/networks/simulated#hearing-title', 'network-isolated', { width: 1440, height: 900 })
  await shoot(browser, upgrading.agent, '/networks/simulated', 'network-upgrade', { width: 1440, height: 900 })
  await shoot(browser, ofFaulty, '/peers/sim-3', 'down-peer', { height: 900 })
  await shoot(browser, ofFaulty, '/peers/sim-4/charts', 'peer-charts', { width: 1440, height: 900 })
  await shoot(browser, ofFaulty, '/peers/sim-3', 'phone-peer', { width: 390, height: 844 })
  await shoot(browser, ofFaulty, '/peers/sim-4/charts', 'phone-charts', { width: 390, height: 844 })
  const api = async (method, path, body) => (await fetch(`${ofFaulty.url}/api/v1/${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify({ created_by: 'ann', ...body }) })).json()
  const incidents = await api('GET', 'incidents')
  const oslo = incidents.find((it) => it.component === 'Gateway Oslo')
  await api('PUT', `incidents/${oslo.id}/note`, { text: 'The data centre has lost power. We expect it back at 18:00 UTC.' })
  const tomorrow = Math.floor(Date.now() / 86_400_000 + 1) * 86_400 + 22 * 3_600
  await api('POST', 'actions', { kind: 'maintenance', peer: 'sim-1', starts_at: tomorrow, seconds: 7_200, comment: 'new kernel' })
  await until('the note on the status page', async () => (await (await fetch(status.url)).text()).includes('lost power'))
  await shoot(browser, status, '/', 'status', { width: 900, height: 1500, isLive: false })
  await shoot(browser, ofFaulty, '/', 'phone', { width: 390, height: 844 })
  await shoot(browser, ofFaulty, '/alerts', 'alerts', { width: 1440, height: 640 })
  await shoot(browser, ofFaulty, '/events', 'events', { width: 1440, height: 640 })
} finally {
  for (const end of ends.reverse()) await end()
}
