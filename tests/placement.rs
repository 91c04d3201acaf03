//! Where shards go on hosts of 1, 2, 64 and 256 CPUs, which were recorded.

mod common;

use as112d::config::cpus::{Cpus, Shards, Steer};
use as112d::config::written::Written as _;
use as112d::config::{self, Config, Flags};
use as112d::daemon::placement::{Host, Placement};
use as112d::sys::steering::Steering;
use as112d::sys::topology::Topology;
use common::host::RecordedHost;

/// The host, with an affinity mask of all CPUs that are online and not isolated, as a process has it there.
fn host(recorded: &RecordedHost) -> Host {
    let root = recorded.root().to_owned();
    let topology = Topology::read(&root).expect("processors were recorded");
    let (isolated, common): (Vec<_>, Vec<_>) = topology.cpus.iter().partition(|cpu| cpu.isolated);
    let number =
        |cpus: Vec<&as112d::sys::topology::Cpu>| cpus.iter().map(|cpu| cpu.number).collect::<Vec<_>>();
    let (isolated, mask) = (number(isolated), number(common));
    Host { root, parallelism: mask.len(), topology, mask, isolated }
}

/// What an operator asks for, on addresses that are not the loopback's.
fn wish(cpus: &str, shards: &str) -> Config {
    let flags = Flags {
        cpus: (!cpus.is_empty()).then(|| Cpus::read(cpus).expect(cpus)),
        shards: Some(Shards::read(shards).expect(shards)),
        ..Flags::default()
    };
    let mut config = config::load(None, &flags).expect("it is consistent");
    config.listen = vec!["192.0.2.1:53".parse().expect("an address")];
    config
}

fn decide(host: &Host, cpus: &str, shards: &str) -> Result<Placement, String> {
    Placement::decide(&wish(cpus, shards), host)
}

/// The CPUs of the shards.
fn cpus(host: &Host, cpus: &str, shards: &str) -> Vec<usize> {
    let placement = decide(host, cpus, shards).expect("it is possible");
    placement.cpus().into_iter().map(|cpu| cpu.expect("each shard is pinned")).collect()
}

#[test]
fn without_cpus_shards_are_not_pinned() {
    for (name, shards) in [("1", 1), ("2", 2), ("64", 58), ("256", 256)] {
        let recorded = RecordedHost::unpack(name);
        let host = host(&recorded);
        let placement = decide(&host, "", "auto").unwrap();
        assert_eq!(placement.cpus(), vec![None; shards], "{name}");
        assert_eq!((placement.steering, placement.notes), (None, vec![]), "{name}");
        assert_eq!(
            decide(&host, "", "7").unwrap().cpus(),
            vec![None; 7],
            "{name}: more than CPUs, if one wants"
        );
    }
}

#[test]
fn a_quota_bounds_shards_that_nobody_counted_and_is_told_otherwise() {
    let recorded = RecordedHost::unpack("64");
    let host = Host { parallelism: 4, ..host(&recorded) };
    assert_eq!(decide(&host, "", "auto").unwrap().cpus(), [None; 4]);
    let placement = decide(&host, "node:0", "auto").unwrap();
    assert_eq!(placement.places.len(), 29);
    assert!(placement.notes.iter().any(|note| note.ends_with("raise the quota, or give --shards 4")));
    assert!(decide(&host, "physical", "4").unwrap().notes.iter().all(|note| !note.contains("quota")));
}

#[test]
fn a_list_is_taken_as_it_is_if_it_can_be() {
    let recorded = RecordedHost::unpack("64");
    let mut host = host(&recorded);
    assert_eq!(cpus(&host, "5,4,40", "auto"), [5, 4, 40]);
    assert_eq!(cpus(&host, "5,4,40", "2"), [5, 4]);
    // Isolated CPUs are in no mask, and are served to who names them.
    let placement = decide(&host, "2,28", "auto").unwrap();
    assert_eq!(
        placement.places.iter().map(|place| place.why.as_str()).collect::<Vec<_>>(),
        ["named", "named, isolated"]
    );
    assert_eq!(placement.notes, Vec::<String>::new());
    host.isolated.clear();
    assert_eq!(
        decide(&host, "28", "auto").unwrap_err(),
        "this process may not use CPU 28; list some of 0-27,32-61"
    );
    // A cpuset or taskset.
    host.mask = vec![3, 4];
    assert!(decide(&host, "5", "auto").unwrap_err().contains("may not use CPU 5; list some of 3-4"));
    for offline in ["62", "64", "1024", "8191"] {
        let message = decide(&host, offline, "auto").unwrap_err();
        assert_eq!(message, format!("CPU {offline} is not online on this host; list some of 3-4"));
    }
}

#[test]
fn a_node_gives_its_cores_before_their_second_threads() {
    let recorded = RecordedHost::unpack("64");
    let mut host = host(&recorded);
    let cores: Vec<usize> = (0..28).step_by(2).collect();
    let threads: Vec<usize> = (32..60).step_by(2).collect();
    // The core of the isolated CPU 28 has 60 left; 30 is isolated, and its other thread offline.
    let expected = [&cores[..], &[60], &threads[..]].concat();
    assert_eq!(cpus(&host, "node:0", "auto"), expected);
    assert_eq!(cpus(&host, "node:0", "14"), cores);
    let placement = decide(&host, "node:0", "auto").unwrap();
    assert_eq!(placement.places[15].why, "another thread of the core of CPU 0");
    let note = "isolated CPUs 28,30 are left out; `--cpus 28,30` would use them";
    assert_eq!(placement.notes, [note]);
    assert_eq!(
        decide(&host, "node:0", "30").unwrap_err(),
        "30 shards but only 29 CPUs in node:0; give fewer, or \"auto\""
    );
    assert_eq!(decide(&host, "node:2", "auto").unwrap_err(), "no CPU is in NUMA node 2; the nodes are 0-1");
    host.mask = vec![1, 3];
    assert_eq!(
        decide(&host, "node:0", "auto").unwrap_err(),
        "this process may not use any CPU of node 0; list some with --cpus"
    );

    let recorded = RecordedHost::unpack("256");
    let expected: Vec<usize> = (112..128).chain(240..256).collect();
    assert_eq!(cpus(&self::host(&recorded), "node:7", "auto"), expected);
}

#[test]
fn physical_is_one_thread_of_each_core() {
    for (name, expected) in [
        ("1", vec![0]),
        ("2", vec![0, 1]),
        // 28 to 31 are isolated; of their cores 60 and 61 are left.
        ("64", (0..28).chain([60, 61]).collect()),
        ("256", (0..128).collect()),
    ] {
        let recorded = RecordedHost::unpack(name);
        assert_eq!(cpus(&host(&recorded), "physical", "auto"), expected, "{name}");
    }
    let recorded = RecordedHost::unpack("64");
    let host = Host { mask: vec![2, 34, 35], ..host(&recorded) };
    assert_eq!(cpus(&host, "physical", "auto"), [2, 35], "the thread that may be used");
}

#[test]
fn shards_follow_the_queues_of_a_card() {
    let recorded = RecordedHost::unpack("64");
    let host = host(&recorded);
    let placement = decide(&host, "nic:ens1f0", "auto").unwrap();
    assert_eq!(placement.cpus(), (0..16).map(|queue| Some(2 * queue)).collect::<Vec<_>>());
    for (shard, place) in placement.places.iter().enumerate() {
        assert_eq!(place.queues, [(shard, 130 + shard as u32)]);
        // Queues 14 and 15 interrupt isolated CPUs: somebody bound them there.
        let why = if shard < 14 {
            "interrupted by its queue"
        } else {
            "interrupted by its queue, which is isolated"
        };
        assert_eq!(place.why, why);
    }
    assert_eq!(placement.steered, "cpu (each queue of ens1f0 interrupts the CPU of its shard)");

    let recorded = RecordedHost::unpack("256");
    let host = self::host(&recorded);
    assert_eq!(cpus(&host, "nic:eth0", "auto"), (64..127).collect::<Vec<_>>());
    assert_eq!(decide(&host, "nic:eth0", "auto").unwrap().places[5].queues, [(5, 406)], "not those of eth1");

    for (name, cpu, irq) in [("1", 0, 10), ("2", 1, 38)] {
        let recorded = RecordedHost::unpack(name);
        let host = self::host(&recorded);
        let placement = decide(&host, "nic:eth0", "auto").unwrap();
        assert_eq!((placement.cpus(), &placement.places[0].queues), (vec![Some(cpu)], &vec![(0, irq)]));
        assert_eq!(placement.steered, "off (one shard receives everything)");
    }
}

#[test]
fn queues_on_one_cpu_share_a_shard() {
    let recorded = RecordedHost::unpack("64");
    let placement = decide(&host(&recorded), "nic:eno1", "auto").unwrap();
    assert_eq!(placement.cpus(), [Some(0)]);
    assert_eq!(placement.places[0].queues, [(0, 61), (1, 62), (2, 63), (3, 64)]);
}

#[test]
fn what_cannot_be_followed_says_what_to_do() {
    let small = RecordedHost::unpack("64");
    let large = RecordedHost::unpack("256");
    for (recorded, name, message) in [
        (&small, "eth9", "there is no interface eth9; give one that `ip link` lists, or list CPUs"),
        (&small, "bond0", "bond0 is not a physical NIC, so its queues have no interrupts to follow; list"),
        (&large, "eth2", "the interrupt of queue 0 of eth2 is unknown: no line of"),
    ] {
        let error = decide(&host(recorded), &format!("nic:{name}"), "auto").unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
    let narrow = Host { mask: (0..8).collect(), isolated: vec![], ..host(&small) };
    let error = decide(&narrow, "nic:ens1f0", "auto").unwrap_err();
    assert!(error.starts_with(
        "queue 4 of ens1f0 interrupts CPU 8, which this process may not use; bind interrupt 134"
    ));
}

/// The shard of each CPU that has one.
fn map(placement: &Placement) -> &[(usize, usize)] {
    let Some(Steering::Cpu(map)) = &placement.steering else { panic!("{}", placement.steered) };
    map
}

#[test]
fn steering_by_itself_only_where_packets_come_to_the_shards() {
    let recorded = RecordedHost::unpack("64");
    let host = host(&recorded);
    let steered = |config: &Config| Placement::decide(config, &host).unwrap().steered;
    assert!(steered(&wish("nic:ens1f0", "auto")).starts_with("cpu ("));
    for (cpus, shards) in [("", "auto"), ("0-3", "auto"), ("node:0", "auto"), ("nic:ens1f0", "15")] {
        let expected = "off (shards are not tied to NIC queues; see --cpus nic:IFACE)";
        assert_eq!(steered(&wish(cpus, shards)), expected, "{cpus} {shards}");
    }
    let mut loopback = wish("nic:ens1f0", "auto");
    loopback.listen = vec!["127.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
    assert!(steered(&loopback).starts_with("off (loopback only"));
    recorded.write("sys/class/net/ens1f0/queues/rx-3/rps_cpus", "00000000,00000100");
    assert_eq!(steered(&wish("nic:ens1f0", "auto")), "off (ens1f0: RPS moves its packets to other CPUs)");
    recorded.write("sys/class/net/ens1f0/queues/rx-3/rps_cpus", "00000000,00000000");
    recorded.write("proc/irq/133/effective_affinity_list", "6,8");
    assert_eq!(
        steered(&wish("nic:ens1f0", "auto")),
        "off (ens1f0: an interrupt of it may reach several CPUs)"
    );
    let large = RecordedHost::unpack("256");
    let placement = decide(&self::host(&large), "nic:eth1", "auto").unwrap();
    assert_eq!(placement.places.len(), 1, "an unbound interrupt counts where it may come first");
    assert_eq!(placement.places[0].why, "first of 0-255 that its queue may interrupt");
}

#[test]
fn steering_as_configured() {
    let recorded = RecordedHost::unpack("64");
    let host = host(&recorded);
    let decide = |cpus, shards, steer| Placement::decide(&Config { steer, ..wish(cpus, shards) }, &host);
    // A CPU without a shard goes to that of its core; 60 has none, as 28 is isolated, and 9 has none either.
    let placement = decide("2,8,40,1", "auto", Steer::Cpu).unwrap();
    assert_eq!(map(&placement), [(1, 3), (2, 0), (8, 1), (33, 3), (34, 0), (40, 2)]);
    assert_eq!(placement.steered, "cpu (as configured)");
    assert!(decide("", "auto", Steer::Cpu).unwrap_err().contains("give --cpus as well"));
    assert_eq!(decide("", "1", Steer::Cpu).unwrap().steering, None);
    assert_eq!(decide("", "auto", Steer::Hash).unwrap().steering, Some(Steering::Hash));
    let off = decide("nic:ens1f0", "auto", Steer::Off).unwrap();
    assert_eq!((off.steering, off.steered.as_str()), (None, "off (as configured)"));
}

#[test]
fn isolated_cpus_that_are_all_there_is_are_pinned_to() {
    let recorded = RecordedHost::unpack("64");
    let host = Host { mask: vec![28, 30], parallelism: 2, ..host(&recorded) };
    let placement = decide(&host, "", "auto").unwrap();
    assert_eq!(placement.cpus(), [Some(28), Some(30)]);
    assert_eq!(placement.places[0].why, "all CPUs in the affinity mask are isolated");
    let error = decide(&host, "", "3").unwrap_err();
    assert_eq!(error, "3 shards but only 2 CPUs in 28,30; give fewer, or \"auto\"");
}

#[test]
fn more_cpus_than_a_mask_of_the_c_library_has_are_no_matter() {
    let recorded = RecordedHost::unpack("2");
    recorded.write("sys/devices/system/cpu/online", "0-2047");
    let host = host(&recorded);
    assert_eq!(host.mask.len(), 2048);
    assert_eq!(decide(&host, "", "auto").unwrap().places.len(), as112d::limits::SHARDS_MAX);
    assert_eq!(cpus(&host, "2000-2047", "auto"), (2000..2048).collect::<Vec<_>>());
    assert_eq!(cpus(&host, "physical", "auto").len(), as112d::limits::SHARDS_MAX);
    let all = Placement::decide(&Config { steer: Steer::Cpu, ..wish("0-2047", "1024") }, &host).unwrap();
    assert_eq!(map(&all).len(), 1024);
}

#[test]
fn the_table_tells_where_and_why() {
    let recorded = RecordedHost::unpack("64");
    let host = host(&recorded);
    let table = decide(&host, "nic:ens1f0", "auto").unwrap().to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "shard  CPU  core  node  queue  IRQ  why");
    assert_eq!(lines[1], "0      0    0:0   0     0      130  interrupted by its queue");
    assert_eq!(lines[16], "15     30   0:30  0     15     145  interrupted by its queue, which is isolated");
    assert_eq!(lines[17], "steering: cpu (each queue of ens1f0 interrupts the CPU of its shard)");
    let table = decide(&host, "node:1", "1").unwrap().to_string();
    assert_eq!(
        table,
        "shard  CPU  core  node  queue  IRQ  why\n\
         0      1    1:1   1     -      -    a core of node 1\n\
         steering: off (one shard receives everything)\n\
         note: isolated CPUs 29,31 are left out; `--cpus 29,31` would use them\n"
    );
    let table = decide(&host, "", "1").unwrap().to_string();
    assert!(table.contains("0      any  -     -     -      -    as configured\n"), "{table}");
}
