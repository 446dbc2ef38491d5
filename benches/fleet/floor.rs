//! The floor: as many bare tokio connections as the agent has, which exchange the bytes of a poll
//! at the same rate without reading them. Both ends are this program, in separate processes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use convex_client::Transport;
use convex_peer_monitor::config::DescriptorLimit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{Instant, sleep, sleep_until};

use crate::INTERVAL;
use crate::exchange::Turns;
use crate::program::{Cores, Program, ReadyOn};
use crate::report::{ConfiguredIdentity, Row};

/// The first argument of both ends.
pub(crate) const ROLE: &str = "floor";

/// Both ends; they stop when dropped.
#[derive(Debug)]
pub(crate) struct Floor {
    targets: usize,
    asking: Program,
    _answering: Program,
}

impl Floor {
    pub(crate) async fn start(
        cores: &Cores,
        targets: usize,
        turns: &Turns,
    ) -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let this = this.to_str().context("a path in UTF-8")?;
        let turns = turns.to_string();
        let mut command = Command::new(this);
        command.args([ROLE, "answer", &turns]);
        let address = |line: &str| line.parse::<SocketAddr>().ok();
        let (answering, address) = Program::start(command, ReadyOn::Stdout, address).await?;
        let mut command = cores.measured(this);
        command.args([
            ROLE,
            "ask",
            &turns,
            &address.to_string(),
            &targets.to_string(),
        ]);
        let connected = |line: &str| (line == "connected").then_some(());
        let (asking, ()) = Program::start(command, ReadyOn::Stdout, connected).await?;
        Ok(Self {
            targets,
            asking,
            _answering: answering,
        })
    }

    pub(crate) async fn measure(&self, transport: Transport, rounds: usize) -> anyhow::Result<Row> {
        sleep(INTERVAL).await;
        let cpu = self.asking.rounds(rounds, INTERVAL).await?;
        let row = Row::new(ConfiguredIdentity::Floor, transport, self.targets, &cpu);
        Ok(row.resident(self.asking.resident_kib()?))
    }
}

/// Runs one of the two ends until it is killed.
pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    DescriptorLimit::raise()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["answer", turns] => runtime.block_on(answer(turns.parse()?)),
        ["ask", turns, address, targets] => {
            runtime.block_on(ask(turns.parse()?, address.parse()?, targets.parse()?))
        }
        _ => bail!("unknown arguments of the floor: {arguments:?}"),
    }
}

async fn answer(turns: Turns) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer_one(stream, turns.clone()));
    }
}

async fn answer_one(mut stream: TcpStream, Turns(turns): Turns) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = buffer(&turns);
    loop {
        for (request, reply) in &turns {
            stream.read_exact(&mut bytes[..*request]).await?;
            stream.write_all(&bytes[..*reply]).await?;
        }
    }
}

async fn ask(turns: Turns, address: SocketAddr, targets: u32) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..targets {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    println!("connected");
    let began = Instant::now();
    let apart = INTERVAL / targets;
    for (stream, i) in streams.into_iter().zip(0..) {
        tokio::spawn(ask_one(stream, turns.clone(), began + apart * i));
    }
    sleep(Duration::MAX).await;
    Ok(())
}

async fn ask_one(
    mut stream: TcpStream,
    Turns(turns): Turns,
    mut due: Instant,
) -> std::io::Result<()> {
    let mut bytes = buffer(&turns);
    loop {
        sleep_until(due).await;
        due += INTERVAL;
        for (request, reply) in &turns {
            stream.write_all(&bytes[..*request]).await?;
            stream.read_exact(&mut bytes[..*reply]).await?;
        }
    }
}

/// Makes a buffer for the longest message.
fn buffer(turns: &[(usize, usize)]) -> Vec<u8> {
    let longest = turns.iter().map(|(sent, received)| *sent.max(received));
    vec![0; longest.max().unwrap_or(0)]
}
