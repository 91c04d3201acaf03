//! The two listeners: that of the operator, and that of the public.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::config::doors::{DEFAULT_ADDRESS, HttpListen};
use crate::sys::inherited::Inherited;

/// What came of the wish for a listener.
#[derive(Debug)]
pub enum Opened {
    /// A listener.
    At(TcpListener),
    /// The default address is not available. Serving DNS does not depend on it.
    Busy(io::Error),
    /// None is wanted.
    Off,
}

impl Opened {
    /// Where it is served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener()?.local_addr().ok()
    }

    const fn listener(&self) -> Option<&TcpListener> {
        match self {
            Self::At(listener) => Some(listener),
            Self::Busy(_) | Self::Off => None,
        }
    }

    /// The listener, if there is one.
    pub(super) fn taken(self) -> Option<TcpListener> {
        match self {
            Self::At(listener) => Some(listener),
            Self::Busy(_) | Self::Off => None,
        }
    }
}

/// Both listeners.
#[derive(Debug)]
pub struct Listeners {
    /// It has everything, and is the operator's.
    pub operator: Opened,
    /// It has what anybody may see.
    pub public: Opened,
}

/// Where both are; `None` for one that is not there.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// That of the operator.
    pub operator: Option<SocketAddr>,
    /// That of the public.
    pub public: Option<SocketAddr>,
}

impl Listeners {
    /// Opens both, or takes those that were there before this process.
    ///
    /// # Errors
    /// The address that was asked for and is not available, its option, and why.
    pub fn open(
        operator: HttpListen,
        public: HttpListen,
        inherited: &mut Inherited,
    ) -> Result<Self, (SocketAddr, &'static str, io::Error)> {
        let mut open =
            |listen, option| open(listen, inherited).map_err(|(address, error)| (address, option, error));
        Ok(Self { operator: open(operator, "--http")?, public: open(public, "--http-public")? })
    }

    /// Those that are there.
    pub fn all(&self) -> impl Iterator<Item = &TcpListener> {
        [&self.operator, &self.public].into_iter().filter_map(Opened::listener)
    }

    /// Where they are.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses { operator: self.operator.address(), public: self.public.address() }
    }
}

fn open(listen: HttpListen, inherited: &mut Inherited) -> Result<Opened, (SocketAddr, io::Error)> {
    let mut bind = |address: SocketAddr| {
        let listener = inherited.take_listener(address).map_or_else(|| TcpListener::bind(address), Ok)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    match listen {
        HttpListen::Off => Ok(Opened::Off),
        HttpListen::IfFree => Ok(bind(DEFAULT_ADDRESS).map_or_else(Opened::Busy, Opened::At)),
        HttpListen::At(address) => bind(address).map(Opened::At).map_err(|error| (address, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_asked_for_must_be_free() {
        let Opened::At(listener) =
            open(HttpListen::At("127.0.0.1:0".parse().unwrap()), &mut Inherited::default()).unwrap()
        else {
            panic!("a listener was asked for");
        };
        let address = listener.local_addr().unwrap();
        let (refused, error) = open(HttpListen::At(address), &mut Inherited::default()).unwrap_err();
        assert_eq!((refused, error.kind()), (address, io::ErrorKind::AddrInUse));
        let mut kept = Inherited::sort(vec![listener.into()]);
        let Ok(Opened::At(again)) = open(HttpListen::At(address), &mut kept) else {
            panic!("it was there before");
        };
        assert_eq!(again.local_addr().unwrap(), address);
        assert!(matches!(open(HttpListen::Off, &mut Inherited::default()), Ok(Opened::Off)));
    }
}
