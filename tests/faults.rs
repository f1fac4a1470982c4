//! A swarm in which something fails again and again: machines, their networks, the server and the coordinator, as real
//! processes and, where the system allows it, in network namespaces of their own. Nothing is lost, and nothing counts
//! twice.

use crate::common::home::said;
use crate::common::liar::{self, Lie};
use crate::common::swarm::{Process, Swarm, ended_well};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Number of faults, if `HOST_TEST_SWARM_FAULTS` names no other.
const FAULTS: u32 = 24;
const MACHINES: usize = 3;

/// Random numbers that a failing test can have again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A network of one machine: a namespace, and a cable to the rest of the world. Removed on drop.
struct Network {
    name: String,
    /// Address of the other end, where the server is.
    outside: String,
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|end| end.success())
}

impl Network {
    /// None where the system does not allow it.
    fn make(number: usize) -> Option<Self> {
        let process = std::process::id();
        let net = format!("10.{}.{number}", 64 + process % 64);
        let network = Self { name: format!("sw{process}n{number}"), outside: format!("{net}.1") };
        let (name, inside) = (network.name.as_str(), format!("{net}.2"));
        let cable = format!("{name}c");
        let made = ip(&["netns", "add", name])
            && ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", name])
            && ip(&["addr", "add", &format!("{}/30", network.outside), "dev", &cable])
            && ip(&["link", "set", &cable, "up"])
            && ip(&["-n", name, "addr", "add", &format!("{inside}/30"), "dev", "eth0"])
            && ip(&["-n", name, "link", "set", "eth0", "up"]);
        made.then_some(network)
    }

    fn is_up(&self, up: bool) {
        assert!(ip(&["link", "set", &format!("{}c", self.name), if up { "up" } else { "down" }]));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
        ip(&["link", "del", &format!("{}c", self.name)]);
    }
}

/// Where a machine in this network finds the server.
fn url(swarm: &Swarm, network: Option<&Network>) -> String {
    network.map_or_else(|| swarm.url(), |network| format!("tls://{}:{}", network.outside, swarm.port()))
}

/// Starts a command in a network.
fn start_in(network: Option<&Network>, mut command: Command) -> Process {
    let Some(network) = network else { return Process::start(&mut command) };
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", &network.name]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        inside.current_dir(folder);
    }
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Process::start(&mut inside)
}

/// A machine in its network.
fn machine(swarm: &Swarm, network: Option<&Network>) -> Process {
    let (url, pass) = (url(swarm, network), swarm.pass("machine.pass"));
    let args = ["--json", "--threads", "1", "work", &url, "--pass", pass.to_str().unwrap()];
    start_in(network, swarm.home.command(&args))
}

/// Three machines in networks of their own: one works, one dies, and one is a contributor's and lies.
#[test]
fn a_night_on_three_networks_is_that_of_one_machine_though_one_lies_and_one_dies() {
    let Some(swarm) = Swarm::up_at("0.0.0.0") else { return };
    let alone = ended_well(Process::start(&mut swarm.night("alone", false)));
    let networks: Vec<Option<Network>> = (0..MACHINES).map(|number| Network::make(10 + number)).collect();
    if networks.iter().any(Option::is_none) {
        eprintln!("not tried: machines in networks of their own, since this system allows no namespaces");
    }
    let [lies, dies, works] = [0, 1, 2].map(|number| networks[number].as_ref());
    let pass = swarm.invite("anna", 4);
    let _liar = start_in(lies, liar::command(&url(&swarm, lies), &pass, Lie::Score));
    let dies = machine(&swarm, dies);
    dies.event("ready");
    swarm.wait_for_machine_of("anna");
    let night = Process::start(&mut swarm.night("many", true));
    dies.event("begun");
    dies.signal("-KILL");
    // The liar is the only one left for a while.
    night.wait_for("a claim that has to be made again", |event| {
        event["event"] == "note"
            && event["text"].as_str().is_some_and(|text| text.contains("waits for a machine of yours"))
    });
    let _works = machine(&swarm, works);
    let (mut events, code) = night.end();
    assert_eq!(code, Some(0), "{events:#?}");
    let is_out = |event: &Value| event["text"].as_str().is_some_and(|text| text.contains("anna is out: it lied about"));
    assert!(events.iter().any(is_out), "{events:#?}");
    let many = events.pop().unwrap();
    for figure in ["champion", "champion_bpb", "champion_experiment", "test_bpb", "sample", "runs"] {
        assert_eq!(many[figure], alone[figure], "{figure}");
    }
    assert_eq!(swarm.results("many"), swarm.results("alone"));
}

#[test]
fn whatever_fails_the_nights_end_with_the_same_results() {
    let wanted = std::env::var("HOST_TEST_SWARM_FAULTS").ok().map_or(FAULTS, |count| count.parse().unwrap());
    let Some(mut swarm) = Swarm::up_at("0.0.0.0") else { return };
    ended_well(Process::start(&mut swarm.night("alone", false)));
    let alone = swarm.results("alone");
    let networks: Vec<Option<Network>> = (0..MACHINES).map(Network::make).collect();
    if networks.iter().any(Option::is_none) {
        eprintln!("not tried: machines without their network, since this system allows no namespaces");
    }
    let mut machines: Vec<Process> = networks.iter().map(|network| machine(&swarm, network.as_ref())).collect();
    let mut random = Random(20_261_127);
    let (mut faults, mut nights, mut told) = (0, 0, [0; 8]);
    while faults < wanted {
        let mut is_resumed = false;
        let store = format!("night-{nights}");
        let mut night = Process::start(&mut swarm.night(&store, true));
        while faults < wanted && !night.has_ended() {
            sleep(Duration::from_millis(300 + random.below(1500)));
            let which = random.below(MACHINES as u64) as usize;
            let pause = Duration::from_millis(200 + random.below(4000));
            let kind = random.below(8) as usize;
            match kind {
                // A machine is killed, and started again.
                0 | 1 => {
                    machines[which].signal("-KILL");
                    machines[which] = machine(&swarm, networks[which].as_ref());
                }
                // It is paused, now and then for longer than a job waits for it.
                2 => {
                    machines[which].signal("-STOP");
                    sleep(if random.below(6) == 0 { Duration::from_secs(25) } else { pause });
                    machines[which].signal("-CONT");
                }
                // What it runs is killed.
                3 => machines[which].kill_children(),
                // Its network is cut.
                4 | 5 => {
                    let Some(network) = &networks[which] else { continue };
                    network.is_up(false);
                    sleep(pause);
                    network.is_up(true);
                }
                // The server is restarted.
                6 => {
                    swarm.stop();
                    sleep(pause / 2);
                    swarm.start();
                }
                // The coordinator is killed, and started again.
                _ => {
                    is_resumed = true;
                    night.signal("-KILL");
                    night = Process::start(&mut swarm.night(&store, true));
                }
            }
            faults += 1;
            told[kind] += 1;
        }
        ended_well(night);
        let results = swarm.results(&store);
        if is_resumed {
            // What a night proposes depends on when it was killed, also on one machine. What an experiment yields
            // does not.
            for experiment in &results[0] {
                let key = experiment.split(' ').next().unwrap();
                let other = alone[0].iter().find(|other| other.starts_with(key));
                assert!(other.is_none_or(|other| other == experiment), "{experiment} and {other:?}");
            }
            let audit = swarm.home.host(&["--store", &store, "verify", "--audit", "2"]);
            assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
        } else {
            assert_eq!(results, alone, "night {nights}, after {faults} faults of the kinds {told:?}");
        }
        nights += 1;
    }
    eprintln!("{faults} faults in {nights} nights: {told:?}");
}
