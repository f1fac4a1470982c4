//! A server of this machine: its folder with certificate, passes and data, its process, and whom it lets in. The
//! program is NATS's own.

use crate::community::PrivateKey;
use crate::record::key::Hash;
use crate::swarm::contributor::{Contributor, Known};
use crate::swarm::error::SwarmError;
use crate::swarm::link::{Link, runtime};
use crate::swarm::names::Lane;
use crate::swarm::pass::{Pass, Role};
use crate::swarm::rights::{self, Login};
use crate::swarm::stock::{Stall, Stock};
use crate::system::atomic_file;
use crate::system::process;
use crate::system::process::Group;
use crate::system::tied::tied;
use nkeys::KeyPair;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub const COORDINATOR_PASS: &str = "coordinator.pass";
pub const MACHINE_PASS: &str = "machine.pass";
const CERTIFICATE: &str = "certificate.der";
const LOG: &str = "server.log";
const CONFIGURATION: &str = "nats.conf";
const GUESTS: &str = "contributors.json";
/// Time between two looks at who is invited.
const LOOK: Duration = Duration::from_secs(1);
/// How long the server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

/// A running server. It ends with this value, and with the thread that has started it.
pub struct Server {
    process: Group,
    folder: PathBuf,
    listen: SocketAddr,
    runtime: Runtime,
    /// To read who is invited.
    _link: Link,
    stock: Stock,
    /// Who may log in, beside contributors.
    owner: Vec<Login>,
    /// The list of contributors that the server knows, and when it was last looked at.
    edition: u64,
    looked: Instant,
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
        let login = |pass: &Pass| -> Result<Login, SwarmError> {
            Ok(Login { role: pass.role, lane: Lane::OWN, key: pass.login()?.public_key() })
        };
        let owner = vec![login(&coordinator)?, login(&machine)?];
        let guests = if new_keys { Vec::new() } else { read_guests(&folder) };
        let configuration = folder.join(CONFIGURATION);
        keep(&configuration, rights::configuration(listen, &folder, &[&owner[..], &guests].concat()).as_bytes())?;
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
        let mut process = Group::new(child);
        let (runtime, url) = (runtime()?, url(listen));
        let (link, stock) = wait_until_ready(&runtime, &mut process, &url, &coordinator, &path)?;
        if new_keys {
            runtime.block_on(forget_all(&stock))?;
        }
        let (edition, looked) = (0, Instant::now());
        let mut server = Self { process, folder, listen, runtime, _link: link, stock, owner, edition, looked };
        server.admit()?;
        Ok(server)
    }

    /// Where this machine reaches it.
    pub fn url(&self) -> String {
        url(self.listen)
    }

    /// Where other machines probably reach it.
    pub fn url_for_others(&self) -> String {
        let ip = if self.listen.ip().is_unspecified() { outward() } else { Some(self.listen.ip()) };
        ip.map_or_else(|| self.url(), |ip| format!("tls://{}", SocketAddr::new(ip, self.listen.port())))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets in who is invited, and no more who is out. Call it again and again.
    ///
    /// # Errors
    /// The server has ended by itself.
    pub fn check(&mut self) -> Result<(), SwarmError> {
        ended(&mut self.process, &self.folder.join(LOG))?;
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        match self.admit() {
            // It is busy: the next look tries again.
            Err(SwarmError::Server { .. }) => Ok(()),
            admitted => admitted,
        }
    }

    /// Gives the server its configuration again if the list of contributors has changed.
    fn admit(&mut self) -> Result<(), SwarmError> {
        let edition = self.runtime.block_on(self.stock.edition())?;
        if edition == self.edition {
            return Ok(());
        }
        let all = self.runtime.block_on(self.stock.contributors())?;
        let let_in = all.into_iter().filter(|(_, known)| known.is_out.is_none());
        let guests: Vec<(Contributor, String)> = let_in.map(|(name, known)| (name, known.login)).collect();
        let list = serde_json::to_vec(&guests).map_err(SwarmError::server("the list of contributors"))?;
        keep(&self.folder.join(GUESTS), &list)?;
        let logins = [&self.owner[..], &logins(guests)].concat();
        let text = rights::configuration(self.listen, &self.folder, &logins);
        let path = self.folder.join(CONFIGURATION);
        if fs::read(&path).is_ok_and(|known| known != text.as_bytes()) {
            keep(&path, text.as_bytes())?;
            self.process.hang_up();
        }
        self.edition = edition;
        Ok(())
    }

    /// Ends the server in order: what it holds is on its disk.
    pub fn end(mut self) -> Result<(), SwarmError> {
        self.process.end_in_order().map(drop).map_err(|source| SwarmError::Io { path: self.folder.clone(), source })
    }
}

fn url(listen: SocketAddr) -> String {
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    format!("tls://{}", SocketAddr::new(ip, listen.port()))
}

fn ended(process: &mut Group, log: &Path) -> Result<(), SwarmError> {
    match process.exit_status() {
        Ok(None) => Ok(()),
        Ok(Some(status)) => Err(SwarmError::ServerEnded(status, log.to_owned())),
        Err(source) => Err(SwarmError::Io { path: log.to_owned(), source }),
    }
}

/// Waits for the server, and makes streams and buckets.
fn wait_until_ready(
    runtime: &Runtime,
    process: &mut Group,
    url: &str,
    pass: &Pass,
    log: &Path,
) -> Result<(Link, Stock), SwarmError> {
    let since = Instant::now();
    loop {
        ended(process, log)?;
        let opened = runtime.block_on(async {
            let link = Link::connect(url, pass.clone(), |_| {}).await?;
            Stall::open(&link, Lane::OWN, None).await?;
            let stock = Stock::open(&link).await?;
            Ok((link, stock))
        });
        match opened {
            Err(error) if since.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}

/// The contributors that the server let in last, so that they need not wait when it starts again.
fn read_guests(folder: &Path) -> Vec<Login> {
    let guests = fs::read(folder.join(GUESTS)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    logins(guests.unwrap_or_default())
}

/// What contributors log in with, by their names and keys.
fn logins(guests: Vec<(Contributor, String)>) -> Vec<Login> {
    // A key is written into the configuration as it is.
    let is_key = |key: &String| KeyPair::from_public_key(key).is_ok();
    let login = |(name, key)| Login { role: Role::Contributor, lane: Lane::of(&name), key };
    guests.into_iter().filter(|(_, key)| is_key(key)).map(login).collect()
}

/// The passes of all contributors name a certificate that is no more.
async fn forget_all(stock: &Stock) -> Result<(), SwarmError> {
    for (name, known) in stock.contributors().await? {
        if known.is_out.is_none() {
            stock.remember(&name, &Known { is_out: Some("the swarm has new keys".into()), ..known }).await?;
        }
    }
    Ok(())
}

/// The passes of a folder, which are made if they are missing.
fn passes(folder: &Path, new_keys: bool) -> Result<(Pass, Pass), SwarmError> {
    let (of_coordinator, of_machine) = (folder.join(COORDINATOR_PASS), folder.join(MACHINE_PASS));
    if !new_keys && of_coordinator.exists() && of_machine.exists() && folder.join(CERTIFICATE).exists() {
        return Ok((Pass::read(&of_coordinator, &[Role::Coordinator])?, Pass::read(&of_machine, &[Role::Machine])?));
    }
    let made = rcgen::generate_simple_self_signed(["nightlab-swarm".to_string()]);
    let made = made.map_err(|error| SwarmError::Certificate(error.to_string()))?;
    keep(&folder.join("cert.pem"), made.cert.pem().as_bytes())?;
    keep(&folder.join("key.pem"), made.signing_key.serialize_pem().as_bytes())?;
    let draw = || PrivateKey::draw().map_err(|source| SwarmError::Io { path: folder.to_owned(), source });
    let (coordinator, machine) = (draw()?, draw()?);
    let pass = |role, key: &PrivateKey| Pass {
        role,
        lane: Lane::OWN,
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
