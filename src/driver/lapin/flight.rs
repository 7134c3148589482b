//! Publishes on their way: first being written, then waiting for the confirm.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, PublisherConfirm};

use super::bell::{Bell, Clapper, Key};

/// Where a producer's messages go, and what they carry.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) channel: Channel,
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) options: BasicPublishOptions,
    pub(super) properties: BasicProperties,
}

/// Gives the body back for the next message.
pub(super) type Writing =
    Pin<Box<dyn Future<Output = (Vec<u8>, lapin::Result<PublisherConfirm>)> + Send>>;

/// Publishes `body`; done when lapin has written it to the socket.
pub(super) fn write(outlet: &Arc<Outlet>, body: Vec<u8>) -> Writing {
    let outlet = Arc::clone(outlet);
    Box::pin(async move {
        let written = outlet
            .channel
            .basic_publish(
                outlet.exchange.clone(),
                outlet.key.clone(),
                outlet.options,
                &body,
                outlet.properties.clone(),
            )
            .await;
        (body, written)
    })
}

/// What a publish waits for.
pub(super) enum State {
    /// Nothing: the place is free.
    Landed,
    /// To be written.
    Writing(Writing),
    /// To be confirmed.
    Confirming(PublisherConfirm),
}

/// One publish.
pub(super) struct Flight {
    pub(super) state: State,
    pub(super) producer: u32,
    /// Counts a producer's messages from 1, as lapin does a channel's.
    pub(super) tag: u64,
    pub(super) sequence: u64,
    pub(super) size: u64,
    pub(super) clapper: Arc<Clapper>,
    pub(super) waker: Waker,
}

/// All of a port's publishes; places and wakers are used again.
#[derive(Default)]
pub(super) struct Flights {
    places: Vec<Flight>,
    free: Vec<u32>,
}

impl Flights {
    /// A place for one more, and its number.
    pub(super) fn launch(&mut self, bell: &Arc<Bell>) -> (u32, &mut Flight) {
        let index = self.free.pop().unwrap_or(self.places.len() as u32);
        if index as usize == self.places.len() {
            let (clapper, waker) = Clapper::new(bell, Key::Flight(index));
            self.places.push(Flight {
                state: State::Landed,
                producer: 0,
                tag: 0,
                sequence: 0,
                size: 0,
                clapper,
                waker,
            });
        }
        (index, &mut self.places[index as usize])
    }

    pub(super) fn get(&mut self, index: u32) -> &mut Flight {
        &mut self.places[index as usize]
    }

    /// Frees a place.
    pub(super) fn land(&mut self, index: u32) {
        self.places[index as usize].state = State::Landed;
        self.free.push(index);
    }

    /// Frees the places of all producers for which `is_gone` says so.
    pub(super) fn ground(&mut self, is_gone: impl Fn(u32) -> bool) {
        for (index, flight) in self.places.iter_mut().enumerate() {
            if !matches!(flight.state, State::Landed) && is_gone(flight.producer) {
                flight.state = State::Landed;
                self.free.push(index as u32);
            }
        }
    }
}
