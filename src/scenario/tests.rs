//! The exact words of every class of problem, as golden files; and that no input at all makes the reader panic.

use std::path::Path;

use proptest::prelude::*;

use super::{Override, Scenario, parse};
use crate::diagnostic::Problems;
use crate::plan::{Choices, ManyRuns, Plan, resolve};

const DESIGN: &str = r#"title = "Persistent work queue with confirms"
about = "ADR-003 claims about 20,000 msg/s on a single node with P95 below 10 ms."
claims = ["throughput >= 20k/s", "delivery.p95 < 10ms", "lost == 0"]

[[exchange]]
name = "tasks.exchange"
kind = "direct"

[[queue]]
name = "send.email"
kind = "classic"
bind = [{ exchange = "tasks.exchange", key = "send.email" }]

[[producers]]
name = "api"
count = 4
to = { exchange = "tasks.exchange", key = "send.email" }
rate = "21k/s"            # of the whole fleet
arrivals = "poisson"
size = "1KiB"
persistent = true
confirms = { window = 500 }

[[consumers]]
name = "workers"
count = 4
from = "send.email"
prefetch = 200
ack = { every = 1 }

[timing]
warmup = "2s"
measure = "10s"
drain = "3s"

[matrix]
persistent = [true, false]
confirms = ["off", { window = 1 }, { window = 500 }]
size = ["64B", "1KiB", "16KiB"]
"#;

/// A queue `q`, producers `p` and consumers `c` with further lines, and whatever comes before and after them.
fn scenario(top: &str, producers: &str, consumers: &str, rest: &str) -> String {
    format!(
        "{top}\n[[queue]]\nname = \"q\"\n\n[[producers]]\nname = \"p\"\nto = {{ queue = \"q\" }}\n{producers}\n\n\
         [[consumers]]\nname = \"c\"\nfrom = \"q\"\n{consumers}\n{rest}"
    )
}

fn set(text: &str) -> Override {
    text.parse().unwrap()
}

fn choices() -> Choices {
    Choices {
        seed: 1,
        run: 1,
        driver: None,
        addresses: Vec::new(),
        interval: None,
        many_runs: ManyRuns::Refused,
    }
}

fn read(text: &str) -> Result<Scenario, Problems> {
    parse(Path::new("a.toml"), text.as_bytes(), &[])
}

fn good(text: &str) -> Scenario {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn plans(text: &str) -> Vec<Plan> {
    resolve(&good(text), &choices()).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// The problems of a text as printed.
fn problems(text: &str) -> String {
    match read(text) {
        Err(problems) => problems.to_string(),
        Ok(_) => panic!("no problem was found in\n{text}"),
    }
}

/// One golden file for a class of mistakes: each text with all that is said about it.
fn golden(name: &str, texts: &[String]) {
    let all: Vec<String> = texts.iter().map(|text| problems(text)).collect();
    insta::assert_snapshot!(name, all.join("\n\n----\n\n"));
}

#[test]
fn misspelt_and_unknown_keys_suggest_the_nearest() {
    golden(
        "unknown_keys",
        &[
            scenario(
                "titel = \"x\"",
                "pesistent = true\ncolour = 1",
                "prefetsh = 1",
                "[timings]\nwarmup = \"1s\"",
            ),
            scenario(
                "",
                "confirms = { windw = 5 }\nproperties = { prio = 1 }",
                "ack = { evry = 2 }",
                "[timing]\nwarm_up = \"1s\"\n[connection.tls]\nverfy = true",
            ),
        ],
    );
}

#[test]
fn wrong_units_and_types_say_what_would_do() {
    golden(
        "wrong_values",
        &[
            scenario(
                "max_backlog = \"1 TiB\"\ndriver = \"lapn\"",
                "rate = \"20k/fortnight\"\nsize = \"1kib\"\narrivals = \"posson\"\npersistent = \"yes\"\ncount = \"two\"\nconfirms = 500",
                "think = 10\nprefetch = 70000\nack = \"eech\"",
                "[timing]\nmeasure = 30\nwarmup = 1979-05-27",
            ),
            scenario(
                "",
                "rate = 0\ncount = 0\nmessages = 0\nconfirms = { window = 0 }\nconnections = 0",
                "ack = { every = 0 }\ncount = -1",
                "",
            ),
            scenario("", "rate = \"-5/s\"", "", ""),
            scenario(
                "",
                "rate = \"0/s\"\nheaders = { a = { b = 1 } }\nproperties = { priority = 256, expiration = \"5s\", content_type = 5 }",
                "arguments = 3",
                "",
            ),
        ],
    );
}

#[test]
fn names_that_lead_nowhere_suggest_what_is_declared() {
    golden(
        "undeclared",
        &[
            "[[queue]]\nname = \"orders\"\nbind = [{ exchange = \"evnts\", key = \"k\" }]\n[[exchange]]\nname = \"events\"\nkind = \"topic\"\n[[producers]]\nname = \"p\"\nto = { queue = \"order\" }\n[[consumers]]\nname = \"c\"\nfrom = \"elsewhere\"".to_owned(),
            "[[producers]]\nname = \"p\"\nto = { exchange = \"tasks.exchange\", key = \"k\" }\n[[consumers]]\nname = \"c\"\nfrom = \"q\"".to_owned(),
        ],
    );
}

#[test]
fn messages_that_reach_no_queue_are_refused() {
    golden(
        "unroutable",
        &[
            "[[exchange]]\nname = \"x\"\nkind = \"direct\"\n[[queue]]\nname = \"q\"\nbind = [{ exchange = \"x\", key = \"a\" }]\n[[producers]]\nname = \"p\"\nto = { exchange = \"x\", key = \"b\" }".to_owned(),
            "[[exchange]]\nname = \"x\"\nkind = \"topic\"\n[[queue]]\nname = \"q\"\nbind = [{ exchange = \"x\" }]\n[[producers]]\nname = \"p\"\nto = { exchange = \"x\" }".to_owned(),
            "[[exchange]]\nname = \"x\"\nkind = \"headers\"\n[[queue]]\nname = \"q\"\nbind = [{ exchange = \"x\" }]\n[[producers]]\nname = \"p\"\nto = { exchange = \"x\" }\nheaders = { a = 1 }".to_owned(),
            "[[exchange]]\nname = \"x\"\nkind = \"fanout\"\n[[producers]]\nname = \"p\"\nto = { exchange = \"x\" }".to_owned(),
        ],
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    golden(
        "contradictions",
        &[
            scenario("", "size = \"39B\"\narrivals = \"poisson\"\ncount = 2\nconnections = 3", "ack = { every = 500 }\nprefetch = 200\nconnections = 2", ""),
            scenario("", "size = \"1GiB\"", "ack = { every = 101 }", "[timing]\nmeasure = \"0s\"\ninterval = \"1ms\"\noverload = \"0s\"\n[connection]\nheartbeat = \"1500ms\"\nframe_max = 4096\ntimeout = \"0s\"\nuris = [\"amqp://h\"]\ntls = { certificate = \"c.pem\", ca = \"ca.pem\", verify = false }"),
            "[[queue]]\nname = \"s\"\nkind = \"stream\"\ndurable = false\nauto_delete = true\narguments = { x-queue-type = \"stream\" }\n[[producers]]\nname = \"p\"\nto = { queue = \"s\" }\n[[consumers]]\nname = \"a\"\nfrom = \"s\"\nack = \"auto\"\n[[consumers]]\nname = \"b\"\nfrom = \"s\"\nprefetch = 0".to_owned(),
            "[[queue]]\nname = \"s\"\nkind = \"quorum\"\ndurable = false\n[[queue]]\nname = \"e\"\nexisting = true\ndurable = true\n[[producers]]\nname = \"p\"\nto = { queue = \"s\", exchange = \"x\" }\n[[producers]]\nname = \"r\"\nto = \"s\"\n[[producers]]\nname = \"t\"\nto = {}".to_owned(),
            scenario("max_backlog = \"1KiB\"", "size = \"2KiB\"", "", "[timing]\nmeasure = \"500ms\""),
        ],
    );
}

#[test]
fn names_are_unique_short_and_not_the_brokers_own() {
    let long = "x".repeat(243);
    golden(
        "names",
        &[
            format!(
                "[[queue]]\nname = \"{long}\"\n[[queue]]\nname = \"amq.mine\"\n[[queue]]\nname = \"q\"\n[[queue]]\nname = \"q\"\n[[exchange]]\nkind = \"direct\"\n[[exchange]]\nname = \"x\"\n[[producers]]\nname = \"p\"\nto = {{ queue = \"q\" }}\n[[producers]]\nname = \"p\"\nto = {{ queue = \"q\" }}\n[[producers]]\nto = {{ queue = \"q\" }}\n[[consumers]]\nname = \"c\""
            ),
            format!(
                "[[exchange]]\nname = \"x\"\nkind = \"direct\"\n[[queue]]\nname = \"q\"\n[[producers]]\nname = \"p\"\nto = {{ exchange = \"x\", key = \"{}\" }}",
                "k".repeat(256)
            ),
        ],
    );
}

#[test]
fn claims_about_what_is_not_measured_are_refused_with_the_reason() {
    let text =
        |claims: &str, producers: &str| scenario(&format!("claims = {claims}"), producers, "", "");
    golden(
        "claims",
        &[
            text(r#"["throughput >= 20k/s", "throughput > 19.7k/s"]"#, "rate = \"20k/s\""),
            text(r#"["delivery.p95 < 10ms", "confirm.p99 < 10ms", "unsent == 0"]"#, ""),
            text(r#"["confirm.p95 < 10ms", "nacked == 0", "returned == 0"]"#, "rate = 10\nconfirms = \"off\""),
            text(r#"["latency.p95 < 10ms", "lots == 0", "delivery.p95 < 10", 5, { claim = "lost == 0", where = { size = "64B" } }, { where = {} }]"#, ""),
            "claims = [\"delivery.p95 < 10ms\", \"lost == 0\"]\n[[queue]]\nname = \"q\"\n[[producers]]\nname = \"p\"\nrate = 10\nto = { queue = \"q\" }".to_owned(),
            "claims = [\"throughput >= 1/s\"]\n[[queue]]\nname = \"q\"\nexisting = true\n[[consumers]]\nname = \"c\"\nfrom = \"q\"".to_owned(),
        ],
    );
}

#[test]
fn a_matrix_names_settings_that_there_are() {
    golden(
        "matrix",
        &[
            scenario(
                "claims = [{ claim = \"lost == 0\", where = { persistent = \"yes\", sise = 1 } }]",
                "",
                "",
                "[matrix]\npersistent = [true, false]\nproducers.p.persistent = [true]\nsize = \"64B\"\nkind = [\"topic\"]\nproducers.q.size = [1]\nrat = [1]\ntiming = [1]\nname = [\"a\"]\nprefetch = []\ncount = [1, 1]\nqueue.durabl = [true]",
            ),
            scenario(
                "",
                "",
                "prefetch = 50",
                "[matrix]\nack = [\"each\", { every = 100 }]\nsize = [\"64B\", \"1B\"]",
            ),
            scenario(
                "claims = [{ claim = \"confirm.p95 < 1s\", where = { confirms = \"off\" } }]",
                "rate = 10",
                "",
                "[matrix]\nconfirms = [\"off\", { window = 1 }]",
            ),
        ],
    );
}

#[test]
fn bad_toml_is_shown_together_with_other_mistakes() {
    golden(
        "syntax",
        &[
            scenario("title = \"open\nabout = = 5", "pesistent = true", "", ""),
            "[[queue]\nname = \"q\"".to_owned(),
            "a = 1\na = 2".to_owned(),
            "[queue]\nname = \"q\"\n[[timing]]\n".to_owned(),
            String::new(),
            "# nothing but a remark\n".to_owned(),
            "title = \"x\"\n".to_owned(),
        ],
    );
}

#[test]
fn what_is_no_text_says_where() {
    let said = parse(
        Path::new("a.toml"),
        b"title = \"a\"\nabout = \"\xff\xfe\"\n",
        &[],
    )
    .unwrap_err();
    insta::assert_snapshot!("not_utf8", said);
    // An incomplete character at the very end.
    let said = parse(Path::new("a.toml"), b"title = \"\xc3", &[]).unwrap_err();
    assert_eq!(
        (said.as_slice()[0].line, said.as_slice()[0].column),
        (1, 10)
    );
}

#[test]
fn files_that_cannot_be_read_are_problems_too() {
    let folder = std::env::temp_dir().join(format!("mqbench-find-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("empty")).unwrap();
    std::fs::create_dir_all(folder.join("full/sub.toml")).unwrap();
    for name in ["b.toml", "a.toml", "c.txt"] {
        std::fs::write(folder.join("full").join(name), "").unwrap();
    }
    let found = super::find(&[folder.join("full"), folder.join("full/c.txt")]).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy())
        .collect();
    assert_eq!(names, ["a.toml", "b.toml", "c.txt"]);
    let mut said = super::find(&[folder.join("empty"), folder.join("gone.toml")]).unwrap_err();
    said.extend(super::read(&folder.join("full"), &[]).unwrap_err());
    let text = said
        .to_string()
        .replace(&folder.display().to_string(), "DIR");
    std::fs::remove_dir_all(&folder).unwrap();
    insta::assert_snapshot!("files", text);
}

#[test]
fn a_mistake_on_the_command_line_points_there() {
    let overrides = ["rate=fast", "producers.p.sise=64B", "size=1B", "nonsense=1"].map(set);
    let text = scenario("", "rate = 5", "", "");
    let said = parse(Path::new("a.toml"), text.as_bytes(), &overrides).unwrap_err();
    insta::assert_snapshot!("set", said);
    assert!("rate".parse::<Override>().is_err());
    assert!("=5".parse::<Override>().is_err());
    assert!("rate=".parse::<Override>().is_err());
}

#[test]
fn settings_from_the_command_line_replace_those_of_the_file() {
    let overrides = [
        "rate=5k/s",
        "timing.measure=5s",
        "queue.send.email.kind=quorum",
        "producers.api.confirms={ window = 7 }",
        "max_backlog=1GiB",
        "connection.uris=[\"amqp://u:hush@h\"]",
        "claims",
    ];
    let overrides: Vec<Override> = overrides[..6].iter().map(|text| set(text)).collect();
    let text = DESIGN.replace("claims = [\"throughput >= 20k/s\", ", "claims = [");
    let scenario = parse(Path::new("a.toml"), text.as_bytes(), &overrides).unwrap();
    let base = resolve(&scenario, &choices()).unwrap().remove(0);
    assert_eq!(base.producers[0].rate.unwrap().to_string(), "5k/s");
    assert_eq!(base.producers[0].confirms, crate::plan::Confirms::Window(7));
    assert_eq!(base.timing.measure.to_string(), "5s");
    assert_eq!(base.topology.queues[0].kind.as_str(), "quorum");
    assert_eq!(base.max_backlog.to_string(), "1GiB");
    assert_eq!(base.connection.addresses[0].password, "hush");
    let shown = format!("{scenario:?} {overrides:?} {}", scenario.warnings);
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn no_password_is_shown_whatever_is_wrong_around_it() {
    for text in [
        "[connection]\nuris = [\"amqp://u:hush@h:notaport/\"]\n",
        "[connection]\nuris = [\"amqp://u:hush@h/\" ]]\n",
        "[connection]\nuris = \"amqp://u:hush@h/\"\n",
        "[connection]\nurls = [\"amqp://u:hush@h/\"]\ntimeout = \"amqp://u:hush@h/\"\n",
        "title = [\"amqp://u:hush@h\"]\nclaims = [\"amqp://u:hush@h\"]",
        "driver = \"amqp://u:hush@h/\"",
    ] {
        let said = problems(text);
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn a_matrix_of_more_than_a_thousand_runs_wants_to_be_agreed_to() {
    let values: Vec<String> = (0..40).map(|n| (n + 64).to_string()).collect();
    let text = scenario(
        "",
        "",
        "",
        &format!(
            "[matrix]\nsize = [{0}]\nprefetch = [{0}]",
            values.join(", ")
        ),
    );
    let scenario = good(&text);
    insta::assert_snapshot!("many_runs", resolve(&scenario, &choices()).unwrap_err());
    let agreed = Choices {
        many_runs: ManyRuns::Agreed,
        ..choices()
    };
    // The scenario as written (1 KiB, prefetch 100) is none of the 1,600.
    assert_eq!(resolve(&scenario, &agreed).unwrap().len(), 1601);
}

#[test]
fn the_base_runs_first_and_once() {
    let inside = plans(DESIGN);
    assert_eq!(inside.len(), 18);
    assert_eq!(
        inside[0].variant.settings[1],
        ("confirms".into(), "{ window = 500 }".into())
    );
    let outside = plans(&DESIGN.replace("size = \"1KiB\"", "size = \"2KiB\""));
    assert_eq!(outside.len(), 19);
    assert_eq!(outside[0].variant.settings[0].1, "as written");
    let mut names: Vec<&str> = outside
        .iter()
        .map(|plan| plan.variant.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 19);
}

#[test]
fn where_binds_every_variant_that_has_all_its_values() {
    let text = DESIGN.replace(
        "\"lost == 0\"]",
        "{ claim = \"lost == 0\", where = { persistent = true, size = \"64B\" } }]",
    );
    let bound: Vec<String> = plans(&text)
        .into_iter()
        .filter(|plan| {
            plan.claims
                .iter()
                .any(|claim| claim.to_string() == "lost == 0")
        })
        .map(|plan| plan.variant.name)
        .collect();
    assert_eq!(
        bound,
        [
            "persistent=true,confirms=off,size=64B",
            "persistent=true,confirms=window-1,size=64B",
            "persistent=true,confirms=window-500,size=64B",
        ]
    );
}

#[test]
fn one_setting_of_one_thing_varies_by_its_path() {
    let text = DESIGN.replace(
        "[matrix]\npersistent = [true, false]",
        "[matrix]\nqueue.\"send.email\".kind = [\"classic\", \"quorum\"]\ntiming.measure = [\"5s\"]\n",
    );
    let plans = plans(&text);
    // 2 x 1 x 3 x 3, and the base, which measures for 10 s.
    assert_eq!(plans.len(), 19);
    assert_eq!(
        plans[1].variant.name,
        "kind=classic,measure=5s,confirms=off,size=64B"
    );
    assert_eq!(plans[18].topology.queues[0].kind.as_str(), "quorum");
}

#[test]
fn existing_things_keep_their_names_and_all_others_carry_the_run() {
    let text = "[[exchange]]\nname = \"amq.topic\"\nkind = \"topic\"\nexisting = true\n[[queue]]\nname = \"q\"\nbind = [{ exchange = \"amq.topic\", key = \"#\" }]\n[[queue]]\nname = \"old\"\nexisting = true\n[[producers]]\nname = \"p\"\nto = { queue = \"q\" }\n[[producers]]\nname = \"r\"\nto = { exchange = \"amq.topic\", key = \"a\" }\n[[producers]]\nname = \"s\"\nto = { queue = \"old\" }";
    let plan = plans(text).remove(0);
    let named = |index: usize| plan.topology.on_broker(&plan.producers[index].target);
    assert_eq!(named(0), (String::new(), "q.mqb-00000001".into()));
    assert_eq!(named(1), ("amq.topic".into(), "a".into()));
    assert_eq!(named(2), (String::new(), "old".into()));
}

#[test]
fn what_is_not_written_is_filled_in_as_the_reference_says() {
    let plan = plans(&scenario("", "rate = 10", "", "")).remove(0);
    insta::assert_json_snapshot!("defaults", plan);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_scenario_makes_the_reader_panic(
        edits in prop::collection::vec((0..DESIGN.len(), 0..40_usize, ".{0,12}"), 1..4),
    ) {
        let mut text = DESIGN.to_owned();
        for (start, length, insert) in edits {
            let floor = |mut at: usize| { at = at.min(text.len()); while !text.is_char_boundary(at) { at -= 1; } at };
            let (start, end) = (floor(start), floor(start + length));
            text.replace_range(start..end, &insert);
        }
        if let Ok(scenario) = parse(Path::new("a.toml"), text.as_bytes(), &[]) {
            let _ = resolve(&scenario, &choices());
        }
    }

    #[test]
    fn no_swap_of_words_makes_the_reader_panic(
        swaps in prop::collection::vec((0..400_usize, 0..400_usize), 1..5),
    ) {
        let mut words: Vec<&str> = DESIGN.split_inclusive([' ', '\n', ',', '[', '{', '=']).collect();
        for (a, b) in swaps {
            let (a, b) = (a % words.len(), b % words.len());
            words.swap(a, b);
        }
        if let Err(problems) = parse(Path::new("a.toml"), words.concat().as_bytes(), &[]) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Path::new("a.toml"), &bytes, &[]);
    }
}

/// The fenced TOML blocks of the reference; what a block leaves out (queue, producers, consumers) is put behind it.
fn reference_blocks() -> Vec<String> {
    let reference = include_str!("../../scenarios/README.md");
    reference
        .split("```toml\n")
        .skip(1)
        .map(|part| {
            let mut block = part.split("```").next().unwrap().to_owned();
            for (header, rest) in [
                ("[[queue]]", "name = \"tasks\""),
                (
                    "[[producers]]",
                    "name = \"api\"\nrate = \"1k/s\"\nto = { queue = \"tasks\" }",
                ),
                ("[[consumers]]", "name = \"workers\"\nfrom = \"tasks\""),
            ] {
                if !block.contains(header) {
                    block.push_str(&format!("\n{header}\n{rest}\n"));
                }
            }
            block
        })
        .collect()
}

#[test]
fn every_example_in_the_reference_is_a_scenario() {
    let blocks = reference_blocks();
    assert_eq!(blocks.len(), 7);
    for block in blocks {
        let scenario = good(&block);
        assert!(
            scenario.warnings.is_empty(),
            "{block}\n{}",
            scenario.warnings
        );
        assert!(!resolve(&scenario, &choices()).unwrap().is_empty());
    }
}

#[test]
fn the_reference_has_every_key_that_the_reader_knows() {
    let reference = include_str!("../../scenarios/README.md");
    for (table, keys) in super::settings::TABLES {
        for key in *keys {
            let known = reference.contains(&format!("`{key}`"))
                || (*table == "producers.confirms"
                    || *table == "consumers.ack"
                    || *table == "producers.to")
                    && reference.contains(&format!("{{ {key} = "));
            let bound =
                *table == "queue.bind" && reference.contains("`{ exchange, key, arguments }`");
            assert!(
                known || bound,
                "`{key}` of {table} is not in scenarios/README.md"
            );
        }
    }
    for total in crate::claim::Total::ALL {
        assert!(
            reference.contains(&format!("`{}`", total.as_str())),
            "{total:?}"
        );
    }
}

#[test]
fn every_shipped_scenario_resolves_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = super::find(&[folder]).unwrap();
    assert!(files.len() >= 2);
    for file in files {
        let scenario = super::read(&file, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(scenario.warnings.is_empty(), "{}", scenario.warnings);
        resolve(&scenario, &choices()).unwrap();
    }
}

#[test]
fn what_is_odd_but_possible_is_a_warning() {
    let text = "[connection]\nuris = [\"amqp://u:hush@h/\"]\n[[exchange]]\nname = \"x\"\nkind = \"direct\"\n[[queue]]\nname = \"q\"\n[[producers]]\nname = \"p\"\nmandatory = true\nto = { exchange = \"x\", key = \"k\" }\n[[consumers]]\nname = \"c\"\nfrom = \"q\"\nack = \"auto\"\nprefetch = 5";
    insta::assert_snapshot!("warnings", good(text).warnings);
}

#[test]
fn a_fan_out_offers_as_many_copies_as_queues_with_consumers_are_reached() {
    let scenario = |claim: &str| {
        format!(
            r#"
claims = ["{claim}"]
[[exchange]]
name = "x"
kind = "fanout"
[[queue]]
name = "a"
bind = [{{ exchange = "x" }}]
[[queue]]
name = "b"
bind = [{{ exchange = "x" }}]
[[producers]]
name = "p"
to = {{ exchange = "x" }}
rate = "1k/s"
[[consumers]]
name = "ca"
from = "a"
[[consumers]]
name = "cb"
from = "b"
"#
        )
    };
    let read = |claim: &str| parse(Path::new("fan.toml"), scenario(claim).as_bytes(), &[]);
    // 1,000 published a second are 2,000 copies, and 1.02 x 1,960 = 1,999.2.
    assert!(read("throughput >= 1960/s").is_ok());
    let refused = read("throughput >= 1970/s").expect_err("too close to what is offered");
    assert!(refused.to_string().contains("2000/s offered"), "{refused}");
}
