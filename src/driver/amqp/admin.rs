//! Setting up, inspecting and taking down over a connection of its own: one question at a time.
//!
//! No heartbeats are agreed on, for nobody looks after this connection between its uses. A refused question costs its
//! channel; the next question opens another.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};

use super::encode::{short, table};
use super::handshake::{Wire, goodbye};
use super::{Shared, Wish};
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{Admin, BrokerIdentity, Depth, DriverError};
use crate::topology::{Binding, Exchange, Queue, Topology};
use crate::units::Span;

/// See the module.
#[derive(Debug)]
pub struct AmqpAdmin {
    wire: Wire,
    /// The channel in use; it moves on after each refusal.
    channel: u16,
    is_channel_open: bool,
}

impl AmqpAdmin {
    pub(super) fn open(shared: &Arc<Shared>) -> Result<Self, DriverError> {
        let mut wire = shared.connect(Wish {
            first: 0,
            name: "mqbench admin",
            heartbeat: Span::ZERO,
            channels: 1,
            deadline: Nanos::NEVER,
        })?;
        wire.set_deadline(Nanos::NEVER);
        Ok(Self {
            wire,
            channel: 1,
            is_channel_open: false,
        })
    }

    fn ask(&mut self, method: AMQPClass, what: &str) -> Result<AMQPClass, DriverError> {
        if !self.is_channel_open {
            self.wire.open_channel(self.channel)?;
            self.is_channel_open = true;
        }
        let answer = self.wire.ask(self.channel, method, what);
        if answer.is_err() {
            self.is_channel_open = false;
        }
        answer
    }

    fn declare_exchange(&mut self, wanted: &Exchange) -> Result<(), DriverError> {
        let name = &wanted.broker_name;
        let what = if wanted.existing {
            format!("find exchange {name}")
        } else {
            format!("declare exchange {name}")
        };
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: short("the exchange", name)?,
            kind: wanted.kind.as_str().into(),
            passive: wanted.existing,
            durable: wanted.durable,
            auto_delete: wanted.auto_delete,
            internal: false,
            nowait: false,
            arguments: table(&wanted.arguments)?,
        });
        match self.ask(AMQPClass::Exchange(declare), &what)? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)) => Ok(()),
            other => Err(self.wire.surprised(&other, "exchange.declare-ok")),
        }
    }

    fn declare_queue(&mut self, wanted: &Queue) -> Result<(), DriverError> {
        let name = &wanted.broker_name;
        if wanted.existing {
            return self.find_queue(name).map(|_| ());
        }
        let mut arguments = table(&wanted.arguments)?;
        // Said for classic queues too: a virtual host may have another default.
        let kind = AMQPValue::LongString(LongString::from(wanted.kind.as_str()));
        arguments.insert("x-queue-type".into(), kind);
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: short("the queue", name)?,
            passive: false,
            durable: wanted.durable,
            exclusive: false,
            auto_delete: wanted.auto_delete,
            nowait: false,
            arguments,
        });
        match self.ask(AMQPClass::Queue(declare), &format!("declare queue {name}"))? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)) => Ok(()),
            other => Err(self.wire.surprised(&other, "queue.declare-ok")),
        }
    }

    fn find_queue(&mut self, name: &str) -> Result<Depth, DriverError> {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: short("the queue", name)?,
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        match self.ask(AMQPClass::Queue(declare), &format!("find queue {name}"))? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(Depth {
                ready: u64::from(ok.message_count),
                consumers: u64::from(ok.consumer_count),
            }),
            other => Err(self.wire.surprised(&other, "queue.declare-ok")),
        }
    }

    fn bind(&mut self, topology: &Topology, wanted: &Binding) -> Result<(), DriverError> {
        let exchange = topology
            .exchange(&wanted.exchange)
            .map_or(&wanted.exchange, |exchange| &exchange.broker_name);
        let queue = topology
            .queue(&wanted.queue)
            .map_or(&wanted.queue, |(_, queue)| &queue.broker_name);
        let what = format!("bind queue {queue} to exchange {exchange}");
        let bind = queue::AMQPMethod::Bind(queue::Bind {
            queue: short("the queue", queue)?,
            exchange: short("the exchange", exchange)?,
            routing_key: short("the binding key", &wanted.key)?,
            nowait: false,
            arguments: table(&wanted.arguments)?,
        });
        match self.ask(AMQPClass::Queue(bind), &what)? {
            AMQPClass::Queue(queue::AMQPMethod::BindOk(_)) => Ok(()),
            other => Err(self.wire.surprised(&other, "queue.bind-ok")),
        }
    }

    fn delete_queue(&mut self, name: &str) -> Result<(), DriverError> {
        let delete = queue::AMQPMethod::Delete(queue::Delete {
            queue: short("the queue", name)?,
            if_unused: false,
            if_empty: false,
            nowait: false,
        });
        match self.ask(AMQPClass::Queue(delete), &format!("delete queue {name}"))? {
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_)) => Ok(()),
            other => Err(self.wire.surprised(&other, "queue.delete-ok")),
        }
    }

    fn delete_exchange(&mut self, name: &str) -> Result<(), DriverError> {
        let delete = exchange::AMQPMethod::Delete(exchange::Delete {
            exchange: short("the exchange", name)?,
            if_unused: false,
            nowait: false,
        });
        let what = format!("delete exchange {name}");
        match self.ask(AMQPClass::Exchange(delete), &what)? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(_)) => Ok(()),
            other => Err(self.wire.surprised(&other, "exchange.delete-ok")),
        }
    }
}

/// Something that was to be deleted is gone already.
fn is_gone(error: &DriverError) -> bool {
    matches!(error, DriverError::Refused { said, .. } if said.starts_with("404 "))
}

impl Admin for AmqpAdmin {
    fn broker(&self) -> &BrokerIdentity {
        &self.wire.identity
    }

    fn apply(&mut self, topology: &Topology) -> Result<(), DriverError> {
        for exchange in &topology.exchanges {
            self.declare_exchange(exchange)?;
        }
        for queue in &topology.queues {
            self.declare_queue(queue)?;
        }
        for binding in topology.own_bindings() {
            self.bind(topology, binding)?;
        }
        Ok(())
    }

    fn depth(&mut self, queue: &str) -> Result<Depth, DriverError> {
        self.find_queue(queue)
    }

    fn remove(&mut self, topology: &Topology) -> Result<(), DriverError> {
        let mut first = Ok(());
        let mut note = |result: Result<(), DriverError>| match result {
            Err(error) if first.is_ok() && !is_gone(&error) => first = Err(error),
            _ => {}
        };
        for queue in topology.queues.iter().filter(|queue| !queue.existing) {
            note(self.delete_queue(&queue.broker_name));
        }
        for exchange in topology
            .exchanges
            .iter()
            .filter(|exchange| !exchange.existing)
        {
            note(self.delete_exchange(&exchange.broker_name));
        }
        first
    }
}

impl Drop for AmqpAdmin {
    /// Says goodbye and waits a moment for the answer, so that the broker does not log a lost client.
    fn drop(&mut self) {
        self.wire.set_deadline(Monotonic.now() + Span::from_ms(500));
        let _ = self.wire.ask(0, goodbye(), "say goodbye");
    }
}
