//! What every driver promises to the engine, by the same assertions over all of them: `memory`, `lapin` and `amqp`, the
//! latter two against a real RabbitMQ. Another driver is one more line at the end of this file.

mod flow; // publishing, confirming, delivering, settling
mod lot; // many returns, one confirm
mod refusal; // what goes wrong, and what is said then
mod scene;
mod wire; // what only a broker with a network in between shows

macro_rules! assertions {
    ($held_by:ident: $($topic:ident::$name:ident,)*) => {
        macro_rules! $held_by {
            ($driver:ident, $subject:ty) => {
                mod $driver {
                    $(
                        #[test]
                        fn $name() {
                            super::$topic::$name::<$subject>();
                        }
                    )*
                }
            };
        }
    };
}

assertions! { every_driver_holds:
    flow::every_message_is_delivered_once_with_its_stamp_intact,
    flow::sent_events_cover_exactly_what_was_taken_in_order,
    flow::every_tag_is_confirmed_exactly_once,
    flow::a_message_that_nobody_takes_is_returned_before_its_confirm,
    flow::returns_among_routed_messages_come_before_their_own_confirms,
    flow::a_message_that_nobody_takes_is_returned_without_confirms_too,
    flow::a_requeued_message_comes_back_marked_as_redelivered,
    flow::a_discarded_message_does_not_come_back,
    flow::no_more_than_the_prefetch_is_outstanding,
    flow::one_answer_with_multiple_settles_all_up_to_its_tag,
    flow::without_acknowledgements_nothing_is_held_back,
    flow::what_is_unsettled_goes_back_at_close,
    flow::many_producers_and_consumers_share_a_connection,
    flow::many_producers_and_consumers_use_a_connection_each,
    flow::exchanges_of_every_type_route_as_the_topology_says,
    flow::a_pump_returns_at_its_time_when_nothing_happens,
    flow::a_closed_port_has_nothing_unwritten,
    flow::depth_counts_what_is_ready_and_who_consumes,
    flow::removing_twice_is_no_error_and_leaves_nothing,
    refusal::an_existing_queue_with_other_arguments_is_refused,
    refusal::what_should_exist_and_does_not_is_refused,
    refusal::a_deleted_queue_cancels_its_consumer,
    refusal::a_missing_exchange_ends_the_connection_with_its_reason,
    refusal::a_missing_queue_is_refused_when_its_consumer_opens,
}

assertions! { every_driver_with_a_network_holds:
    lot::all_returns_of_a_lot_come_before_its_confirms,
    wire::bodies_of_every_size_arrive_whole,
    wire::properties_and_headers_arrive,
    wire::a_quorum_queue_confirms_and_delivers,
    wire::a_stream_delivers_from_the_offset_asked_for,
    wire::the_broker_says_who_it_is,
    wire::the_connection_carries_its_name,
    refusal::a_wrong_password_is_refused_without_being_shown,
    refusal::an_unknown_virtual_host_is_refused,
    refusal::an_address_where_nobody_listens_is_unreachable,
    refusal::a_server_that_says_nothing_is_given_up_in_time,
    refusal::a_user_without_permission_is_refused,
    refusal::a_connection_closed_by_the_broker_is_reported_with_its_reason,
    refusal::a_blocked_connection_is_reported_and_hangs_nothing,
}

every_driver_holds!(memory, mqbench::driver::memory::Memory);
every_driver_holds!(lapin, mqbench::driver::lapin::Lapin);
every_driver_holds!(amqp, mqbench::driver::amqp::Amqp);

mod network {
    use super::{lot, refusal, wire};
    every_driver_with_a_network_holds!(lapin, mqbench::driver::lapin::Lapin);
    every_driver_with_a_network_holds!(amqp, mqbench::driver::amqp::Amqp);
}
