//! Whether the agent reports the latency of the peers and not its own load: the latencies in its
//! metrics compared with a bare exchange of the same bytes with the same peers, at the same rate on
//! the same core.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use convex_client::{FrameDecoder, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::codec::Decoder;

use crate::INTERVAL;
use crate::agent::Agent;
use crate::network::SimulatedNetwork;
use crate::program::Cores;
use crate::report::{ConfiguredIdentity, HonestyRow, Latency};

/// The first argument of the process of the bare exchange.
pub(crate) const ROLE: &str = "time";

const PEERS: usize = 1_000;
const HALF_TARPITS: &str = "tarpit:50%";
/// Number of replies in a poll: status, ping and query.
const REPLIES: usize = 3;
/// Number of intervals until all are connected and caches are warm.
const WARM_UP: u32 = 2;

/// Measures a healthy fleet, and one of which half the peers never answer.
pub(crate) async fn measure(cores: &Cores, rounds: usize) -> anyhow::Result<Vec<HonestyRow>> {
    let mut rows = Vec::new();
    for (fleet, faults, answering) in [
        (format!("{PEERS}"), &[][..], PEERS),
        (
            format!("{PEERS}, half of them tarpits"),
            &[HALF_TARPITS.to_owned()][..],
            PEERS / 2,
        ),
    ] {
        let networks = [SimulatedNetwork::start(PEERS, faults).await?];
        eprintln!("{fleet}: a bare exchange with those that answer");
        let floor = timed(cores, &networks[0], answering, rounds).await?;
        eprintln!("{fleet}: what the agent reports");
        let reported = reported(cores, &networks, answering, rounds).await?;
        rows.push(HonestyRow {
            fleet,
            polls: reported.len(),
            floor: Latency::of(floor),
            reported: Latency::of(reported),
        });
    }
    Ok(rows)
}

async fn reported(
    cores: &Cores,
    networks: &[SimulatedNetwork],
    answering: usize,
    rounds: usize,
) -> anyhow::Result<Vec<f64>> {
    let agent = Agent::start(
        cores,
        networks,
        Transport::Tcp,
        ConfiguredIdentity::Agent,
        "full",
    )
    .await?;
    sleep(INTERVAL * WARM_UP).await;
    let mut all = Vec::new();
    for _ in 0..rounds {
        sleep(INTERVAL).await;
        let some = agent.reported().await?;
        ensure!(
            some.len() == answering,
            "only {} of {answering} peers answer",
            some.len()
        );
        all.extend(some);
    }
    Ok(all)
}

async fn timed(
    cores: &Cores,
    network: &SimulatedNetwork,
    answering: usize,
    rounds: usize,
) -> anyhow::Result<Vec<f64>> {
    let turns = network.turns(Transport::Tcp).await?;
    let [turn] = &turns[..] else {
        bail!("a poll over TCP is one turn, not {}", turns.len());
    };
    let this = std::env::current_exe()?;
    let mut command = cores.measured(this.to_str().context("a path in UTF-8")?);
    command.args([ROLE, &rounds.to_string(), &hex::encode(&turn.request)]);
    for endpoint in network.endpoints(Transport::Tcp).take(answering) {
        command.arg(format!("{}:{}", endpoint.host(), endpoint.port()));
    }
    let output = command.kill_on_drop(true).output().await?;
    ensure!(
        output.status.success(),
        "the bare exchange failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs the rounds and prints the duration of each exchange in seconds, as JSON.
pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    let [rounds, request, addresses @ ..] = arguments else {
        bail!("the arguments are ROUNDS REQUEST ADDRESS...");
    };
    let (rounds, request) = (rounds.parse()?, hex::decode(request)?);
    let addresses: Result<Vec<SocketAddr>, _> = addresses.iter().map(|it| it.parse()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let took = runtime.block_on(exchange(addresses?, request, rounds))?;
    println!("{}", serde_json::to_string(&took)?);
    Ok(())
}

async fn exchange(
    addresses: Vec<SocketAddr>,
    request: Vec<u8>,
    rounds: u32,
) -> anyhow::Result<Vec<f64>> {
    let apart = INTERVAL / u32::try_from(addresses.len())?;
    let mut streams = Vec::new();
    for address in addresses {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let began = Instant::now();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for (mut stream, i) in streams.into_iter().zip(0..) {
        let (request, sender) = (request.clone(), sender.clone());
        tokio::spawn(async move {
            for round in 0..WARM_UP + rounds {
                sleep_until(began + INTERVAL * round + apart * i).await;
                let took = one(&mut stream, &request).await;
                if round >= WARM_UP && sender.send(took).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut all = Vec::new();
    while let Some(took) = receiver.recv().await {
        all.push(took?);
    }
    Ok(all)
}

/// Sends the request, reads all replies, and returns the duration in seconds.
async fn one(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<f64> {
    let mut frames = FrameDecoder::new(1 << 20);
    let mut bytes = BytesMut::new();
    let began = Instant::now();
    stream.write_all(request).await?;
    let mut replies = 0;
    while replies < REPLIES {
        ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "a peer closed the connection"
        );
        while frames.decode(&mut bytes)?.is_some() {
            replies += 1;
        }
    }
    Ok(began.elapsed().as_secs_f64())
}
