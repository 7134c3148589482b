//! Setting up, inspecting and taking down through lapin, over a connection of its own: one question at a time.
//!
//! A refused question costs its channel; the next question opens another.

use std::sync::Arc;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind as Kind};

use super::link::{self, Bounds, Link};
use super::runtime::Runtime;
use super::value::{short, table};
use crate::clock::{Clock, Monotonic, Nanos};
use crate::driver::{Admin, BrokerIdentity, ConnectOptions, Depth, DriverError};
use crate::topology::{Binding, Exchange, ExchangeKind, Queue, Topology};
use crate::units::Span;

/// See the module.
pub struct LapinAdmin {
    // Before the runtime, which it needs to end.
    channel: Option<Channel>,
    link: Link,
    runtime: Runtime,
    bounds: Bounds,
    identity: BrokerIdentity,
}

impl LapinAdmin {
    pub(super) fn open(options: Arc<ConnectOptions>) -> Result<Self, DriverError> {
        let runtime = Runtime::start()?;
        let name = "mqbench admin";
        let (link, index) = link::open(&options, &runtime, 0, name, Span::ZERO, Nanos::NEVER)?;
        Ok(Self {
            identity: link::greet(&options, &runtime, index)?,
            channel: None,
            link,
            runtime,
            bounds: Bounds {
                timeout: options.timeout,
                deadline: Nanos::NEVER,
            },
        })
    }

    fn ask<T>(
        &mut self,
        step: &str,
        question: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<T, DriverError> {
        let address = &self.link.address;
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => {
                let opening = self.link.connection.create_channel();
                self.bounds
                    .step(&self.runtime, address, "open a channel", opening)?
            }
        };
        let answer = question(&channel);
        let answer = self.bounds.step(&self.runtime, address, step, answer)?;
        self.channel = Some(channel);
        Ok(answer)
    }

    fn declare_exchange(&mut self, wanted: &Exchange) -> Result<(), DriverError> {
        let name = &wanted.broker_name;
        let what = if wanted.existing {
            format!("find exchange {name}")
        } else {
            format!("declare exchange {name}")
        };
        let exchange = short("the exchange", name)?;
        let arguments = table(&wanted.arguments)?;
        let kind = match wanted.kind {
            ExchangeKind::Direct => Kind::Direct,
            ExchangeKind::Fanout => Kind::Fanout,
            ExchangeKind::Topic => Kind::Topic,
            ExchangeKind::Headers => Kind::Headers,
        };
        let options = ExchangeDeclareOptions {
            passive: wanted.existing,
            durable: wanted.durable,
            auto_delete: wanted.auto_delete,
            ..ExchangeDeclareOptions::default()
        };
        self.ask(&what, async move |channel| {
            channel
                .exchange_declare(exchange, kind, options, arguments)
                .await
        })
    }

    fn declare_queue(&mut self, wanted: &Queue) -> Result<(), DriverError> {
        let name = &wanted.broker_name;
        if wanted.existing {
            return self.find_queue(name).map(|_| ());
        }
        let queue = short("the queue", name)?;
        let mut arguments = table(&wanted.arguments)?;
        // Said for classic queues too: a virtual host may have another default.
        let kind = AMQPValue::LongString(LongString::from(wanted.kind.as_str()));
        arguments.insert("x-queue-type".into(), kind);
        let options = QueueDeclareOptions {
            durable: wanted.durable,
            auto_delete: wanted.auto_delete,
            ..QueueDeclareOptions::default()
        };
        self.ask(&format!("declare queue {name}"), async move |channel| {
            channel.queue_declare(queue, options, arguments).await
        })
        .map(|_| ())
    }

    fn find_queue(&mut self, name: &str) -> Result<Depth, DriverError> {
        let queue = short("the queue", name)?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = self.ask(&format!("find queue {name}"), async move |channel| {
            channel
                .queue_declare(queue, options, FieldTable::default())
                .await
        })?;
        Ok(Depth {
            ready: u64::from(found.message_count()),
            consumers: u64::from(found.consumer_count()),
        })
    }

    fn bind(&mut self, topology: &Topology, wanted: &Binding) -> Result<(), DriverError> {
        let exchange = topology
            .exchange(&wanted.exchange)
            .map_or(&wanted.exchange, |exchange| &exchange.broker_name);
        let queue = topology
            .queue(&wanted.queue)
            .map_or(&wanted.queue, |(_, queue)| &queue.broker_name);
        let what = format!("bind queue {queue} to exchange {exchange}");
        let queue = short("the queue", queue)?;
        let exchange = short("the exchange", exchange)?;
        let key = short("the binding key", &wanted.key)?;
        let arguments = table(&wanted.arguments)?;
        self.ask(&what, async move |channel| {
            channel
                .queue_bind(queue, exchange, key, QueueBindOptions::default(), arguments)
                .await
        })
    }

    fn delete_queue(&mut self, name: &str) -> Result<(), DriverError> {
        let queue = short("the queue", name)?;
        self.ask(&format!("delete queue {name}"), async move |channel| {
            channel
                .queue_delete(queue, QueueDeleteOptions::default())
                .await
        })
        .map(|_| ())
    }

    fn delete_exchange(&mut self, name: &str) -> Result<(), DriverError> {
        let exchange = short("the exchange", name)?;
        self.ask(&format!("delete exchange {name}"), async move |channel| {
            channel
                .exchange_delete(exchange, ExchangeDeleteOptions::default())
                .await
        })
    }
}

/// Something that was to be deleted is gone already.
fn is_gone(error: &DriverError) -> bool {
    matches!(error, DriverError::Refused { said, .. } if said.starts_with("404 "))
}

impl Admin for LapinAdmin {
    fn broker(&self) -> &BrokerIdentity {
        &self.identity
    }

    fn apply(&mut self, topology: &Topology) -> Result<(), DriverError> {
        for exchange in &topology.exchanges {
            self.declare_exchange(exchange)?;
        }
        for queue in &topology.queues {
            self.declare_queue(queue)?;
        }
        for binding in &topology.bindings {
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
        for exchange in topology.exchanges.iter().filter(|one| !one.existing) {
            note(self.delete_exchange(&exchange.broker_name));
        }
        first
    }
}

impl Drop for LapinAdmin {
    /// Says goodbye and waits a moment for the answer, so that the broker does not log a lost client.
    fn drop(&mut self) {
        let bounds = Bounds {
            timeout: Span::from_ms(500),
            deadline: Monotonic.now() + Span::from_ms(500),
        };
        let goodbye = self.link.connection.close(200, "goodbye".into());
        let _ = bounds.wait(&self.runtime, goodbye);
        self.link.cut();
    }
}
