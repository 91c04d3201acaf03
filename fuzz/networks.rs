//! What is tried with a file of networks, of learned resolvers or of measured places: it is refused with
//! places, or every answer holds for as many clients as it says, and is explained as it is given.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use as112d::dns::ecs::Subnet;
use as112d::tailor::spec::{List, Map, Pool, Pop, Spec, Spread};
use as112d::tailor::{Asking, Tailor};

/// What the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Networks,
    Learned,
    Places,
}

/// One file of each kind.
#[allow(dead_code, reason = "the fuzzer has a corpus of its own")]
pub const FILES: [(Kind, &[u8]); 3] = [
    (
        Kind::Networks,
        b"# since May\n11.0.0.0/8 sfo\n11.1.0.0/16 nrt,sfo # Tokyo\n11.1.2.0/24 fra\n10.9.0.0/16 fra\n\
          2400::/12 nrt\n2400:1234::/32 sfo\n198.18.5.128/25 nrt\n0.0.0.0/0 sfo\n",
    ),
    (
        Kind::Learned,
        b"# as112d learned map 1\n192.221.162.8/32 nrt # 312 networks; JP 62 %, US 38 %\n\
          2001:db8::/48 fra\n",
    ),
    (Kind::Places, b"country:JP nrt,fra # 4,810 samples\nas:64500 nrt\nplace:35/139 fra\n"),
];
/// What such files are made of.
#[allow(dead_code, reason = "the fuzzer finds words by itself")]
pub const WORDS: [&[u8]; 12] =
    [b"/", b"/0", b"/32", b"/128", b"::", b"::ffff:1.2.3.4", b",", b"#", b"\n", b"nrt", b"255.", b"country:"];

fn tailor(path: &Path, kind: Kind) -> Result<Tailor, Vec<as112d::problem::Problem>> {
    let of = |kinds: &[Kind]| kinds.contains(&kind).then(|| path.to_owned());
    let map = Map {
        place: "f:1:1".to_owned(),
        networks: of(&[Kind::Networks]).into_iter().collect(),
        learned: of(&[Kind::Networks, Kind::Learned]),
        places: of(&[Kind::Places]),
        ..Map::new("world", List::from_iter([0]))
    };
    let pops = ["sfo", "nrt", "fra"].map(|name| Pop { name: name.to_owned(), at: None }).into();
    let (name, place) = ("web".to_owned(), String::new());
    let pool = Pool { name, place, map: 0, variants: vec![0, 1, 2], spread: Spread::First };
    Tailor::new(&Spec { pops, maps: vec![map], pools: vec![pool] }, Arc::default())
}

fn subnet(address: IpAddr, source: u8) -> Subnet {
    let (family, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let mut option = [&[0, family, source, 0][..], &octets].concat();
    option.truncate(4 + usize::from(source).div_ceil(8));
    if let Some(last) = option[4..].last_mut() {
        *last &= 0xFF_u8.checked_shl(u32::from(source.wrapping_neg() % 8)).unwrap_or(0);
    }
    Subnet::read(&option).expect("it is sound")
}

/// A file. Whether it was taken.
pub fn networks(bytes: &[u8], kind: Kind) -> bool {
    let id = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let path: PathBuf =
        std::env::temp_dir().join(format!("as112d-fuzz-networks-{}", id.replace(['(', ')'], "")));
    fs::write(&path, bytes).expect("there is room for a file");
    let taken = check(&path, bytes, kind);
    fs::remove_file(&path).expect("it was just written");
    taken
}

fn check(path: &Path, bytes: &[u8], kind: Kind) -> bool {
    let tailor = match tailor(path, kind) {
        Ok(tailor) => tailor,
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.place.starts_with(&path.display().to_string()), "{problem}");
                assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem}");
            }
            return false;
        }
    };
    // Addresses that the file has, and some that it hardly has.
    let text = String::from_utf8_lossy(bytes);
    let words = text.split([' ', '\t', '\n', '/', '#']).filter_map(|word| word.parse().ok());
    let others = [IpAddr::V4(Ipv4Addr::new(11, 1, 2, 3)), IpAddr::V6(Ipv6Addr::from(0x2001_0DB8_u128 << 96))];
    for address in words.take(16).chain(others) {
        let max = if address.is_ipv4() { 32 } else { 128 };
        let ask = |address: IpAddr| {
            let asking = Asking { peer: address, id: 7, subnet: Some(subnet(address, max)) };
            tailor.choose(0, &asking)
        };
        let choice = ask(address);
        assert!(choice.scope <= max && choice.pop < 3, "{address}: {choice:?}");
        // Whoever is at the other end of the block gets the same, and says the same.
        let end: IpAddr = match address {
            IpAddr::V4(address) => {
                let beyond = u32::MAX.checked_shr(choice.scope.into()).unwrap_or(0);
                Ipv4Addr::from(address.to_bits() | beyond).into()
            }
            IpAddr::V6(address) => {
                let beyond = u128::MAX.checked_shr(choice.scope.into()).unwrap_or(0);
                Ipv6Addr::from(address.to_bits() | beyond).into()
            }
        };
        let at_end = ask(end);
        assert_eq!((at_end.scope, at_end.subnet), (choice.scope, choice.subnet), "{address} and {end}");
        for subnet in [None, Some(subnet(address, max))] {
            let asking = Asking { peer: address, id: 7, subnet };
            let why = tailor.why(0, &asking).expect("it was read before");
            assert!(why.is_loaded, "{address}: {why:?}");
            assert_eq!(why.choice.pop, why.list[0], "{address}: {why:?}");
        }
    }
    true
}
