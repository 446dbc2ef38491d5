// Peers, real and simulated, and the agent that watches them: programs on loopback that end with the test.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync, readFileSync, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')

/** The program, as `cargo build` leaves it. */
export const PROGRAM = process.env.PROGRAM ?? join(ROOT, 'target/debug/convex-peer-monitor')

/** Longest wait for something that must happen. */
export const PATIENCE_MS = 120_000

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until `found` gives something. */
export async function until(what, found, patienceMs = PATIENCE_MS) {
  const end = Date.now() + patienceMs
  while (Date.now() < end) {
    const it = await found()
    if (it) return it
    await sleep(50)
  }
  throw new Error(`${what} does not happen within ${patienceMs} ms`)
}

/** The first of `count` ports in a row that are free, outside of those that the system gives by itself and
 *  those of the end-to-end tests and rehearsals. */
async function freePorts(count) {
  for (;;) {
    const first = 26_000 + Math.floor(Math.random() * 6_000)
    const held = []
    try {
      for (let port = first; port < first + count; port++) {
        held.push(await new Promise((resolve, reject) => {
          const server = createServer().once('error', reject).listen(port, '127.0.0.1', () => resolve(server))
        }))
      }
      return first
    } catch {
      // One is taken: elsewhere, then.
    } finally {
      await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))))
    }
  }
}

/** What a test has started, ended in the opposite order. */
export class Stage {
  #ends = []
  #dir = mkdtempSync(join(tmpdir(), 'convex-pages-'))

  constructor(test) {
    test.after(() => this.end())
  }

  async end() {
    for (const end of this.#ends.splice(0).reverse()) await end()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  onEnd(end) {
    this.#ends.push(end)
  }

  file(name) {
    return join(this.#dir, name)
  }

  /** A program whose output is kept to tell of it. */
  start(command, args) {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['pipe', 'pipe', 'pipe'] })
    const running = { child, output: '' }
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (running.output += data))
    const ended = new Promise((resolve) => child.once('exit', resolve))
    running.stop = async (signal = 'SIGTERM') => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      await ended
    }
    this.onEnd(() => running.stop('SIGKILL'))
    return running
  }

  async says(running, pattern) {
    return until(`${pattern} of a program`, () => {
      if (running.child.exitCode !== null) throw new Error(`a program has ended: ${running.output}`)
      return pattern.exec(running.output)
    })
  }

  /** A network of real peers, each a process of its own; one of them makes a block each second. */
  async realPeers(count) {
    const [port, rest] = [await freePorts(count), await freePorts(count)]
    const peers = []
    for (let i = 0; i < count; i++) {
      const args = ['--port', port, '--rest', rest, '--peers', count, '--index', i, '--tick', i === 0 ? 1000 : 0]
      peers.push(this.start('scripts/peer', args.map(String)))
    }
    const network = []
    for (const peer of peers) {
      const [, said] = await this.says(peer, /^READY (.*)$/m)
      const value = (name) => new RegExp(`${name}=(\\S+)`).exec(said)[1]
      network.push({
        kill: () => peer.stop('SIGKILL'),
        genesis: value('genesis'),
        key: value('key'),
        endpoints: [`http://${value('rest')}`, `tcp://${value('binary')}`]
      })
    }
    return network
  }

  /** A simulated network; gives the configuration of an agent for it. */
  async simulated(peers, ...more) {
    const config = this.file('simulated.yml')
    const base = await freePorts(peers > 1_000 ? 2 : 2 * peers)
    const running = this.start(PROGRAM, ['simulate', '--peers', String(peers), '--listen-base', String(base), '--write-config', config, ...more])
    await this.says(running, /to monitor it:/)
    await until('its configuration', () => existsSync(config))
    return readFileSync(config, 'utf8')
  }

  /** An agent with this configuration; gives its address, and how to stop it and to start it there again. */
  async agent(config) {
    const file = this.file('config.yml')
    writeFileSync(file, config)
    let running
    const start = async (listen) => {
      running = this.start(PROGRAM, ['run', '--config', file, '--listen', listen, '--log-format', 'json'])
      const [, address] = await this.says(running, /"monitoring".*"listen":"([^"]+)"/)
      return address
    }
    const address = await start('127.0.0.1:0')
    return { url: `http://${address}`, stop: () => running.stop(), again: () => start(address) }
  }
}

/** A status page of these peers, and where it will be. Its logo tries to run a script. */
export async function statusOf(stage, peers) {
  const logo = stage.file('logo.svg')
  writeFileSync(logo, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 32" width="120" height="32" onload="top.pwned = 1"><script>top.pwned = 1</script>
<circle cx="16" cy="16" r="14" fill="#7a1f5c"/><circle cx="48" cy="16" r="14" fill="#c2499a"/><circle cx="80" cy="16" r="14" fill="#ffb3e6"/></svg>`)
  const listen = `127.0.0.1:${await freePorts(1)}`
  const config = [
    'status:',
    '  title: Example gateways',
    '  description: Public access to Protonet',
    `  listen: ${listen}`,
    '  links: [{ text: Contact, url: "https://status.example/contact" }]',
    '  networks: [{ network: simulated, name: Protonet }]',
    '  peers:',
    ...peers.map(([peer, name]) => `    - { peer: ${peer}, name: ${name} }`),
    `  theme: { light: { accent: "#7a1f5c" }, dark: { accent: "#ffb3e6" }, logo: '${logo}' }`
  ].join('\n') + '\n'
  return { url: `http://${listen}`, config }
}

/** The configuration of an agent for these peers, which polls once a second. */
export function configOf(network, peers) {
  const item = ({ name, key, endpoints, more = '' }) =>
    `  - { name: ${name}, network: ${network.name}, ${key ? `key: "${key}", ` : ''}endpoints: ${JSON.stringify(endpoints)}${more} }`
  return [
    'defaults: { interval: 1s, timeout: 800ms }',
    'networks:',
    `  - { name: ${network.name}${network.genesis ? `, genesis: "${network.genesis}"` : ''}, stake_interval: 10s }`,
    'peers:',
    ...peers.map(item)
  ].join('\n') + '\n'
}
