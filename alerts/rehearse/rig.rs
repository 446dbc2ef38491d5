//! Everything that a rehearsal runs, and what happens to it. Dropping the rig stops it.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use convex_client::{HttpOptions, http_client};
use convex_simulator::{Network, Options, Script, StartError, Traffic};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::agent::{Agent, NAME};
use super::canary;
use super::pipeline::{Alertmanager, Pace, Prometheus, Receiver, own_address};
use super::rehearsal::{Act, Rehearsal, Setup, Special, Way};
use super::relay::{Mode, Relay};
use super::service::{Served, Service};

/// Time before the fault, in which the network is healthy and the whole pipeline sees it.
pub(super) const fn lead(pace: Pace) -> Duration {
    Duration::from_secs(match pace {
        Pace::Shipped => 60,
        Pace::Fast => 25,
    })
}

/// A peer as it is configured.
struct Entry {
    number: usize,
    name: String,
    in_maintenance: bool,
}

pub(super) struct Rig {
    pub(super) network_started: Instant,
    pub(super) receiver: Receiver,
    pub(super) service: Option<Served>,
    setup: Setup,
    way: Way,
    pace: Pace,
    network: Network,
    entries: Vec<Entry>,
    /// Relays of agent `a` to both ports of each peer, if it needs them.
    relays: Vec<[Relay; 2]>,
    agents: Vec<Agent>,
    /// Where Alertmanager is, even while it is away.
    alertmanager_address: SocketAddr,
    alertmanager: Option<Alertmanager>,
    /// `None` if the agents notify themselves.
    prometheus: Option<Prometheus>,
}

impl Rig {
    /// Starts everything. The agents write into `dir`.
    pub(super) async fn start(
        rehearsal: &Rehearsal,
        (way, pace): (Way, Pace),
        service: Option<Service>,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let setup = rehearsal.setup;
        let receiver = Receiver::start().await?;
        let service = match service {
            Some(service) => Some(Served::start(service).await?),
            None => None,
        };
        let alertmanager_address = own_address()?;
        let alertmanager = match way {
            Way::Prometheus | Way::Own => {
                Some(Alertmanager::start_at(alertmanager_address, pace, &receiver).await?)
            }
            Way::Webhook => None,
        };
        let mut agents = vec![Agent::prepare(
            dir.join("agent-a"),
            setup.clock,
            is_named(setup.special),
        )?];
        if setup.special == Special::Pair {
            agents.push(Agent::prepare(dir.join("agent-b"), None, false)?);
        }
        let prometheus = match way {
            Way::Prometheus => {
                let agents: Vec<_> = agents.iter().map(|it| it.address.to_string()).collect();
                let started = match &agents[..] {
                    [a, b] => Prometheus::start_pair(pace, "a", [a, b], alertmanager_address).await,
                    all => Prometheus::start(pace, &all[0], Some(alertmanager_address)).await,
                };
                Some(started?)
            }
            Way::Own | Way::Webhook => None,
        };
        // After the slow starts above, because the fault begins a fixed time after this.
        let network_started = Instant::now();
        let faults = rehearsal.faults.iter();
        let faults: Vec<_> = faults
            .map(|fault| fault.script(lead(pace), (way, pace)))
            .collect();
        let traffic = Traffic::parse("1s", setup.peers)?;
        let has_canary = setup.special == Special::Canary;
        if has_canary {
            canary::write_key(agents[0].dir())?;
        }
        let options = Options {
            peers: setup.peers,
            seed: 1,
            accounts: has_canary.then(canary::account).into_iter().collect(),
            script: Script::parse(faults.iter().map(String::as_str), setup.peers)?,
            traffic: (setup.special != Special::Idle).then_some(traffic),
            ..Options::default()
        };
        let network = start_network(&options).await?;
        let configured = setup.peers - usize::from(setup.special == Special::Incomplete);
        let entry = |number| Entry {
            number,
            name: format!("sim-{number}"),
            in_maintenance: setup.special == Special::Maintained,
        };
        let mut relays = Vec::new();
        if rehearsal.needs_relays() {
            let both = |i| [Relay::to(network.http(i)), Relay::to(network.tcp(i))];
            relays.extend((1..=setup.peers).map(both));
        }
        let mut rig = Self {
            network_started,
            receiver,
            service,
            setup,
            way,
            pace,
            network,
            entries: (1..=configured).map(entry).collect(),
            relays,
            agents,
            alertmanager_address,
            alertmanager,
            prometheus,
        };
        rig.configure()?;
        for agent in &mut rig.agents {
            agent.start()?;
        }
        if let Some(prometheus) = &rig.prometheus {
            prometheus.load_rules(|rules| rules).await?;
        }
        Ok(rig)
    }

    /// Gives each agent its configuration.
    fn configure(&self) -> anyhow::Result<()> {
        for (i, agent) in self.agents.iter().enumerate() {
            agent.configure(&self.config(i, agent)?)?;
        }
        Ok(())
    }

    /// Writes the configuration of an agent: shipped defaults, except for the pace.
    fn config(&self, i: usize, agent: &Agent) -> Result<String, fmt::Error> {
        let mut config = String::new();
        let vantage = ["a", "b"][i];
        let state_dir = agent.dir().join("state");
        writeln!(
            config,
            "vantage: {vantage}\nstate_dir: '{}'",
            state_dir.display()
        )?;
        let is_fast = self.pace == Pace::Fast;
        if is_fast {
            config += "defaults: { interval: 2s, timeout: 1900ms }\n\
                       references: { interval: 2s }\n\
                       verdicts: { stall_after: 10s, lag_for: 3s }\n";
        }
        let stake = if is_fast { ", stake_interval: 10s" } else { "" };
        let genesis = self.network.genesis();
        let canary = if self.setup.special == Special::Canary {
            canary::config(self.network.account(0))
        } else {
            String::new()
        };
        writeln!(
            config,
            "networks: [{{ name: simulated, genesis: '{genesis}'{stake}{canary} }}]"
        )?;
        if is_named(self.setup.special) {
            writeln!(config, "self_check: {{ dns_name: {NAME} }}")?;
        }
        if let Some(other) = self.agents.get(1 - i) {
            let (name, address) = (["b", "a"][i], other.address);
            writeln!(
                config,
                "vantages: [{{ name: {name}, url: 'http://{address}' }}]"
            )?;
        }
        match self.way {
            Way::Prometheus => {}
            Way::Own => {
                let address = self.alertmanager_address;
                writeln!(
                    config,
                    "notify: {{ alertmanagers: [{{ name: am, url: 'http://{address}' }}] }}"
                )?;
            }
            Way::Webhook => {
                let url = self.receiver.url("webhook");
                let service = self.service.as_ref();
                let receivers = service.map_or("", |service| &service.config);
                writeln!(
                    config,
                    "notify: {{ webhooks: [{{ name: hook, url: '{url}' }}], receivers: [{receivers}] }}"
                )?;
            }
        }
        // All peers are on one host.
        config += "limits: { per_host_inflight: 512 }\npeers:\n";
        for entry in &self.entries {
            writeln!(config, "  - {}", self.peer(i, entry))?;
        }
        Ok(config)
    }

    /// Writes the entry of a peer in the configuration of agent `i`.
    fn peer(&self, i: usize, entry: &Entry) -> String {
        let Setup { peers, special, .. } = self.setup;
        let (name, number) = (&entry.name, entry.number);
        let is_reference = special == Special::NamedAndReference && number == peers;
        let by_name = is_named(special) && !is_reference;
        let host = |address: SocketAddr| {
            let (ip, port) = (address.ip().to_string(), address.port());
            format!("{}:{port}", if by_name { NAME } else { &ip })
        };
        let [http, tcp] = match self.relays.get(number - 1) {
            Some([http, tcp]) if i == 0 => [http.address, tcp.address],
            _ => [self.network.http(number), self.network.tcp(number)],
        };
        let (http, tcp, key) = (host(http), host(tcp), self.network.key(number));
        let mut peer = format!(
            "{{ name: {name}, network: simulated, key: '{key}', \
             endpoints: ['http://{http}', 'tcp://{tcp}']"
        );
        if is_reference {
            peer += ", role: reference";
        } else if special != Special::Idle {
            // Without this, peers are not expected to make blocks.
            peer += ", expect_block_every: 10m";
        }
        if entry.in_maintenance {
            peer += ", maintenance: [";
            peer += &window();
            peer += "]";
        }
        peer + " }"
    }

    /// Lets something happen.
    pub(super) async fn perform(&mut self, act: Act) -> anyhow::Result<()> {
        let a = &mut self.agents[0];
        match act {
            Act::CutOff(first, last) => {
                for relay in self.relays[first - 1..last].iter().flatten() {
                    relay.set(Mode::SilentAfter(0)).await;
                }
            }
            Act::SetClock(offset) => a.set_clock(offset)?,
            Act::Pause => a.signal(Signal::STOP)?,
            Act::Resume => a.signal(Signal::CONT)?,
            Act::Starve => a.starve()?,
            Act::Restart => {
                a.stop().await?;
                a.start()?;
            }
            Act::Kill => a.kill().await?,
            Act::LoseNames => a.lose_names()?,
            Act::FindNames => a.find_names()?,
            Act::Maintain(peer) => {
                self.entries[peer - 1].in_maintenance = true;
                self.configure()?;
            }
            Act::Rename(peer, name) => {
                name.clone_into(&mut self.entries[peer - 1].name);
                self.configure()?;
            }
            Act::Add(number) => {
                self.entries.push(Entry {
                    number,
                    name: format!("sim-{number}"),
                    in_maintenance: false,
                });
                self.configure()?;
            }
            Act::StopAlertmanager => self.alertmanager = None,
            Act::StartAlertmanager => {
                let address = self.alertmanager_address;
                let started = Alertmanager::start_at(address, self.pace, &self.receiver);
                self.alertmanager = Some(started.await?);
            }
        }
        Ok(())
    }

    /// Waits until all agents find all peers up. Returns false if `deadline` comes first.
    pub(super) async fn all_up_before(&self, deadline: Instant) -> anyhow::Result<bool> {
        while Instant::now() < deadline {
            if self.all_are_up().await? {
                return Ok(true);
            }
            sleep(Duration::from_millis(250)).await;
        }
        Ok(false)
    }

    async fn all_are_up(&self) -> anyhow::Result<bool> {
        let expected = self.entries.len() * self.agents.len();
        if let Some(prometheus) = &self.prometheus {
            let up = "count(convex_peer_health{state=\"up\"} == 1)";
            let expected = f64::from(u32::try_from(expected)?);
            return Ok(prometheus.query(up).await? == Some(expected));
        }
        let client = http_client(&HttpOptions::default(), Duration::from_secs(5))?;
        let mut found = 0;
        for agent in &self.agents {
            let request = client.get(format!("http://{}/metrics", agent.address));
            let exposition = async { request.send().await?.text().await };
            // It may not listen yet.
            let Ok(exposition) = exposition.await else {
                return Ok(false);
            };
            let up = |line: &&str| {
                line.starts_with("convex_peer_health{") && line.ends_with("state=\"up\"} 1")
            };
            found += exposition.lines().filter(up).count();
        }
        Ok(found == expected)
    }
}

/// Starts a network on ports that nothing else uses while this program runs: the kernel could give
/// the port of a peer that is down to a peer of another rehearsal.
async fn start_network(options: &Options) -> Result<Network, StartError> {
    /// Below the ports that the kernel assigns, and those that the end-to-end tests use.
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    const END: u16 = 20_000;
    let ports = u16::try_from(2 * options.peers).unwrap_or(u16::MAX);
    loop {
        let first = NEXT.fetch_add(ports, Ordering::Relaxed);
        let started = Network::start(Options {
            first_port: Some(first),
            ..options.clone()
        });
        match started.await {
            // Another program uses one of them.
            Err(StartError::InUse { .. }) if first < END => {}
            started => return started,
        }
    }
}

/// Returns whether own peers are configured by name.
const fn is_named(special: Special) -> bool {
    matches!(special, Special::Named | Special::NamedAndReference)
}

/// Returns a maintenance window from a minute ago until tomorrow.
fn window() -> String {
    let now = SystemTime::now();
    let from = humantime::format_rfc3339_seconds(now - Duration::from_secs(60));
    let to = humantime::format_rfc3339_seconds(now + Duration::from_secs(86_400));
    format!("{{ from: {from}, to: {to} }}")
}

impl fmt::Display for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} peers", self.setup.peers)?;
        for agent in &self.agents {
            write!(f, ", agent http://{}", agent.address)?;
        }
        if self.alertmanager.is_some() {
            write!(f, ", Alertmanager http://{}", self.alertmanager_address)?;
        }
        match &self.prometheus {
            Some(prometheus) => write!(f, ", Prometheus http://{}", prometheus.address()),
            None => f.write_str(", no Prometheus: the agent notifies by itself"),
        }
    }
}
