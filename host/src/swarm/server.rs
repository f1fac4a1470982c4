//! A server of this machine: its folder with certificate, passes and data, and its process. The program is NATS's own.

use crate::community::PrivateKey;
use crate::record::key::Hash;
use crate::swarm::error::SwarmError;
use crate::swarm::link::Link;
use crate::swarm::pass::{Pass, Role};
use crate::swarm::rights;
use crate::swarm::stock::Stock;
use crate::system::atomic_file;
use crate::system::process;
use crate::system::process::Group;
use crate::system::tied::tied;
use std::fs::{DirBuilder, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

pub const COORDINATOR_PASS: &str = "coordinator.pass";
pub const MACHINE_PASS: &str = "machine.pass";
const CERTIFICATE: &str = "certificate.der";
const LOG: &str = "server.log";
/// How long the server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

/// A running server. It ends with this value, and with the thread that has started it.
pub struct Server {
    process: Group,
    folder: PathBuf,
    listen: SocketAddr,
}

impl Server {
    /// Starts the server of a folder. The first time, it makes its certificate and passes; `new_keys` makes others, and
    /// every older pass is of no use then.
    pub fn start(
        folder: &Path,
        listen: SocketAddr,
        program: Option<&Path>,
        new_keys: bool,
    ) -> Result<Self, SwarmError> {
        let program = match program {
            Some(program) => {
                program.canonicalize().map_err(|source| SwarmError::Io { path: program.into(), source })?
            }
            None => process::on_path("nats-server").into_iter().next().ok_or(SwarmError::NoServer)?,
        };
        let at = |source| SwarmError::Io { path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
        let folder = folder.canonicalize().map_err(at)?;
        let (coordinator, machine) = passes(&folder, new_keys)?;
        let logins = [(Role::Coordinator, login(&coordinator)?), (Role::Machine, login(&machine)?)];
        let configuration = folder.join("nats.conf");
        keep(&configuration, rights::configuration(listen, &folder, &logins).as_bytes())?;
        let path = folder.join(LOG);
        let at = |source| SwarmError::Io { path: path.clone(), source };
        let log = File::create(&path).map_err(at)?;
        let child = tied(&program)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(at)?)
            .stderr(log)
            // Ctrl-C is for this process, which ends the server in order.
            .process_group(0)
            .spawn()
            .map_err(at)?;
        let mut server = Self { process: Group::new(child), folder, listen };
        server.wait_until_ready(&coordinator)?;
        Ok(server)
    }

    /// Where this machine reaches it.
    pub fn url(&self) -> String {
        let ip = if self.listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.listen.ip() };
        format!("tls://{}", SocketAddr::new(ip, self.listen.port()))
    }

    /// Where other machines probably reach it.
    pub fn url_for_others(&self) -> String {
        let ip = if self.listen.ip().is_unspecified() { outward() } else { Some(self.listen.ip()) };
        ip.map_or_else(|| self.url(), |ip| format!("tls://{}", SocketAddr::new(ip, self.listen.port())))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fails if the server has ended by itself.
    pub fn check(&mut self) -> Result<(), SwarmError> {
        match self.process.exit_status() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(SwarmError::ServerEnded(status, self.folder.join(LOG))),
            Err(source) => Err(SwarmError::Io { path: self.folder.clone(), source }),
        }
    }

    /// Ends the server in order: what it holds is on its disk.
    pub fn end(mut self) -> Result<(), SwarmError> {
        self.process.end_in_order().map(drop).map_err(|source| SwarmError::Io { path: self.folder.clone(), source })
    }

    /// Waits for the server, and makes streams and buckets.
    fn wait_until_ready(&mut self, pass: &Pass) -> Result<(), SwarmError> {
        let (url, since) = (self.url(), Instant::now());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(SwarmError::server("a thread"))?;
        loop {
            self.check()?;
            let opened = runtime.block_on(async {
                let link = Link::connect(&url, pass.clone(), |_| {}).await?;
                Stock::open(&link).await.map(drop)
            });
            match opened {
                Err(error) if since.elapsed() > PATIENCE => return Err(error),
                Err(_) => thread::sleep(AGAIN),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// The passes of a folder, which are made if they are missing.
fn passes(folder: &Path, new_keys: bool) -> Result<(Pass, Pass), SwarmError> {
    let (of_coordinator, of_machine) = (folder.join(COORDINATOR_PASS), folder.join(MACHINE_PASS));
    if !new_keys && of_coordinator.exists() && of_machine.exists() && folder.join(CERTIFICATE).exists() {
        return Ok((Pass::read(&of_coordinator, Role::Coordinator)?, Pass::read(&of_machine, Role::Machine)?));
    }
    let made = rcgen::generate_simple_self_signed(["nightlab-swarm".to_string()]);
    let made = made.map_err(|error| SwarmError::Certificate(error.to_string()))?;
    keep(&folder.join("cert.pem"), made.cert.pem().as_bytes())?;
    keep(&folder.join("key.pem"), made.signing_key.serialize_pem().as_bytes())?;
    let draw = || PrivateKey::draw().map_err(|source| SwarmError::Io { path: folder.to_owned(), source });
    let (coordinator, machine) = (draw()?, draw()?);
    let pass = |role, key: &PrivateKey| Pass {
        role,
        certificate: Hash::of(made.cert.der()),
        coordinator: coordinator.public(),
        machines: machine.public(),
        key: key.clone(),
    };
    let (coordinator, machine) = (pass(Role::Coordinator, &coordinator), pass(Role::Machine, &machine));
    coordinator.write(&of_coordinator)?;
    machine.write(&of_machine)?;
    // Last, so that a folder that has it has all.
    keep(&folder.join(CERTIFICATE), made.cert.der())?;
    Ok((coordinator, machine))
}

fn login(pass: &Pass) -> Result<String, SwarmError> {
    Ok(pass.login()?.public_key())
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), SwarmError> {
    atomic_file::replace_private(path, &[bytes])
        .map_err(|error| SwarmError::Io { path: error.path, source: error.source })
}

/// The address of this machine on the way to others. Nothing is sent.
fn outward() -> Option<IpAddr> {
    let found = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // A place that exists for documentation alone.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    found().ok()
}
