//! Who does what: a plan's fleets laid out over workers, connections and channels.
//!
//! One worker publishes and one receives, each over all of its connections: publishers and consumers never share a
//! connection, for a blocked one stops both, and every subscription has exactly one worker, so that its ledger needs no
//! merge. Made once for each run; the engine reads numbers from it and hands the port specs on unopened.

use crate::claim::{Comparison, End, Limit, Metric, Origin, Statistic};
use crate::driver::{ConnectionSpec, ConsumerSpec, PortSpec, ProducerSpec};
use crate::record::recorder::TimeLimit;
use crate::record::{Series, Stream};
use crate::topology::QueueKind;
use crate::units::ByteSize;

use super::{AckPolicy, Confirms, ConsumerFleet, Plan, ProducerFleet};

/// A plan laid out over workers.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Producer fleets first, then consumer fleets, in the order of the plan.
    pub streams: Vec<Stream>,
    /// All subscriptions: queues that are published to or consumed from; for streams each consumer.
    pub subscriptions: Vec<SubscriptionPlan>,
    /// All producers of the run, by index.
    pub producers: Vec<ProducerPlan>,
    /// The workers.
    pub workers: Vec<WorkerPlan>,
}

/// One source of deliveries whose every copy is owed.
#[derive(Debug, Clone)]
pub struct SubscriptionPlan {
    /// The queue's name in the scenario, and for a stream the consumer's number.
    pub name: String,
    /// The queue's name in the scenario.
    pub queue: String,
    /// Its name on the broker.
    pub broker_name: String,
    /// Somebody in this run consumes from it.
    pub consumed: bool,
    /// Made for this run: nobody else reads or writes it.
    pub own: bool,
    /// Messages may go missing by design: the argument that says so.
    pub drops_by: Option<String>,
    /// A stream keeps what it delivered, so its depth proves nothing.
    pub keeps: bool,
}

/// One producer of the run.
#[derive(Debug, Clone)]
pub struct ProducerPlan {
    /// Index of its fleet in the plan, which is also its stream.
    pub fleet: usize,
    /// Its due times come from a schedule.
    pub scheduled: bool,
    /// The subscriptions that each of its messages reaches, by index.
    pub reaches: Vec<usize>,
}

/// What one worker does.
#[derive(Debug, Clone, Default)]
pub struct WorkerPlan {
    /// For its port.
    pub spec: PortSpec,
    /// For each producer of its port: index within the run.
    pub producers: Vec<usize>,
    /// For each consumer of its port: (stream, subscription, fleet in the plan).
    pub consumers: Vec<(usize, usize, usize)>,
    /// Its streams, each with the series that it records.
    pub slots: Vec<(usize, Vec<Series>)>,
}

impl Plan {
    /// Lays the plan out.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout {
            streams: self.streams(),
            subscriptions: Vec::new(),
            producers: Vec::new(),
            workers: Vec::new(),
        };
        let by_queue = self.subscribe(&mut layout);
        let publishing = self.publishing_worker(&mut layout, &by_queue);
        let receiving = self.receiving_worker(&by_queue);
        layout.workers.extend(
            [publishing, receiving]
                .into_iter()
                .filter(|worker| !worker.slots.is_empty()),
        );
        layout
    }

    fn streams(&self) -> Vec<Stream> {
        let producers = self.producers.iter().map(|fleet| Stream {
            fleet: fleet.name.clone(),
            queue: None,
        });
        let consumers = self.consumers.iter().map(|fleet| Stream {
            fleet: fleet.name.clone(),
            queue: Some(fleet.queue.clone()),
        });
        producers.chain(consumers).collect()
    }

    /// Fills in the subscriptions; for each queue of the topology: the indices of its subscriptions.
    fn subscribe(&self, layout: &mut Layout) -> Vec<Vec<usize>> {
        let mut by_queue = vec![Vec::new(); self.topology.queues.len()];
        for (index, queue) in self.topology.queues.iter().enumerate() {
            let consumers: u32 = self
                .consumers
                .iter()
                .filter(|fleet| fleet.queue == queue.name)
                .map(|fleet| fleet.count)
                .sum();
            let is_stream = queue.kind == QueueKind::Stream;
            let drops_by = queue
                .arguments
                .iter()
                .map(|(key, _)| key.as_str())
                .find(|key| {
                    matches!(
                        *key,
                        "x-max-length" | "x-max-length-bytes" | "x-message-ttl" | "x-max-age"
                    )
                });
            let copies = if is_stream { consumers.max(1) } else { 1 };
            for copy in 0..copies {
                let name = if is_stream && consumers > 1 {
                    format!("{}#{copy}", queue.name)
                } else {
                    queue.name.clone()
                };
                by_queue[index].push(layout.subscriptions.len());
                layout.subscriptions.push(SubscriptionPlan {
                    name,
                    queue: queue.name.clone(),
                    broker_name: queue.broker_name.clone(),
                    consumed: consumers > 0,
                    own: !queue.existing,
                    drops_by: drops_by.map(str::to_owned),
                    keeps: is_stream,
                });
            }
        }
        by_queue
    }

    fn publishing_worker(&self, layout: &mut Layout, by_queue: &[Vec<usize>]) -> WorkerPlan {
        let mut worker = WorkerPlan::default();
        for (index, fleet) in self.producers.iter().enumerate() {
            let routes = self.topology.routes(&fleet.target, &fleet.headers);
            let reaches: Vec<usize> = routes
                .iter()
                .flat_map(|queue| by_queue[*queue].iter().copied())
                .collect();
            if fleet.properties.expiration.is_some() {
                for index in &reaches {
                    let drops_by = &mut layout.subscriptions[*index].drops_by;
                    drops_by.get_or_insert_with(|| "expiration".to_owned());
                }
            }
            let first = self.connect(&mut worker.spec, &fleet.name, fleet.connections);
            let (exchange, key) = self.topology.on_broker(&fleet.target);
            for member in 0..fleet.count {
                worker.producers.push(layout.producers.len());
                layout.producers.push(ProducerPlan {
                    fleet: index,
                    scheduled: fleet.loop_kind().has_schedule(),
                    reaches: reaches.clone(),
                });
                worker.spec.producers.push(fleet.spec(
                    first + member % fleet.connections,
                    &exchange,
                    &key,
                ));
            }
            worker.slots.push((index, fleet.series()));
        }
        worker
    }

    fn receiving_worker(&self, by_queue: &[Vec<usize>]) -> WorkerPlan {
        let mut worker = WorkerPlan::default();
        let mut taken = vec![0; self.topology.queues.len()];
        for (index, fleet) in self.consumers.iter().enumerate() {
            let Some((queue_index, queue)) = self.topology.queue(&fleet.queue) else {
                continue;
            };
            let stream = self.producers.len() + index;
            let first = self.connect(&mut worker.spec, &fleet.name, fleet.connections);
            for member in 0..fleet.count {
                let subscriptions = &by_queue[queue_index];
                let subscription = subscriptions[taken[queue_index] % subscriptions.len()];
                taken[queue_index] += 1;
                worker.consumers.push((stream, subscription, index));
                worker
                    .spec
                    .consumers
                    .push(fleet.spec(first + member % fleet.connections, &queue.broker_name));
            }
            worker.slots.push((
                stream,
                vec![Series::DeliveryResponse, Series::DeliveryService],
            ));
        }
        worker
    }

    /// Adds a fleet's connections to a port and says which is the first.
    fn connect(&self, spec: &mut PortSpec, fleet: &str, connections: u32) -> u32 {
        let first = spec.connections.len() as u32;
        let addresses = self.connection.addresses.len().max(1);
        spec.connections
            .extend((0..connections).map(|number| ConnectionSpec {
                address: (first + number) as usize % addresses,
                name: format!("mqbench {:08x} {fleet} {number}", self.run),
            }));
        first
    }

    /// The exact limits that this plan's claims put on recorded times.
    pub fn time_limits(&self) -> Vec<TimeLimit> {
        let mut limits = Vec::new();
        for claim in &self.claims {
            let (
                Metric::Time {
                    end,
                    origin,
                    statistic: Statistic::Percentile(_),
                },
                Limit::Span(span),
            ) = (claim.metric, claim.limit)
            else {
                continue;
            };
            // Counted as above is what breaks `< L` and keeps `>= L`: a value at the limit; for the others what is above.
            let limit_ns = match claim.comparison {
                Comparison::Less | Comparison::AtLeast => span.as_ns().saturating_sub(1),
                _ => span.as_ns(),
            };
            let limit = TimeLimit {
                series: time_series(end, origin),
                limit_ns,
            };
            if !limits.contains(&limit) {
                limits.push(limit);
            }
        }
        limits
    }

    /// The largest body that any fleet sends.
    pub fn size_max(&self) -> ByteSize {
        self.producers
            .iter()
            .map(|fleet| fleet.size)
            .max()
            .unwrap_or_default()
    }
}

/// The series in which a claim's times are recorded.
pub fn time_series(end: End, origin: Origin) -> Series {
    match (end, origin) {
        (End::Confirm, Origin::Due) => Series::ConfirmResponse,
        (End::Confirm, Origin::Sent) => Series::ConfirmService,
        (End::Delivery, Origin::Due) => Series::DeliveryResponse,
        (End::Delivery, Origin::Sent) => Series::DeliveryService,
    }
}

impl ProducerFleet {
    fn spec(&self, connection: u32, exchange: &str, key: &str) -> ProducerSpec {
        ProducerSpec {
            connection,
            exchange: exchange.to_owned(),
            key: key.to_owned(),
            mandatory: self.mandatory,
            persistent: self.persistent,
            confirms: self.confirms != Confirms::Off,
            size_max: self.size.as_bytes(),
            properties: self.properties.clone(),
            headers: self.headers.clone(),
        }
    }

    fn series(&self) -> Vec<Series> {
        let mut series = Vec::new();
        if self.loop_kind().has_schedule() {
            series.extend([Series::PacerLag, Series::Hold]);
        }
        if self.confirms != Confirms::Off {
            series.push(Series::ConfirmService);
            if self.loop_kind().has_schedule() {
                series.push(Series::ConfirmResponse);
            }
        }
        series
    }
}

impl ConsumerFleet {
    fn spec(&self, connection: u32, queue: &str) -> ConsumerSpec {
        ConsumerSpec {
            connection,
            queue: queue.to_owned(),
            prefetch: self.prefetch,
            auto_ack: self.ack == AckPolicy::Auto,
            arguments: self.arguments.clone(),
        }
    }
}
