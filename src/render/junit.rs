//! `junit.xml`: a suite for each variant, a test case for each claim, for the test views of CI systems.
//!
//! FAIL is a failure; INVALID is an error, for the run and not the broker was at fault; INCONCLUSIVE is skipped, with
//! its reason.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::RenderError;
use super::sheet::{loops, printable, standing, verdict_word};
use crate::results::{ClaimResult, Run, VariantRun, Verdict};

/// The whole file.
///
/// # Errors
/// Where the library cannot write it.
pub fn report(run: &Run) -> Result<String, RenderError> {
    let mut report = Report::new(printable(&run.title));
    for variant in &run.variants {
        report.add_test_suite(suite(run, variant));
    }
    report
        .to_string()
        .map_err(|error| RenderError::new("junit.xml", error))
}

fn suite(run: &Run, variant: &VariantRun) -> TestSuite {
    let mut suite = TestSuite::new(printable(&variant.name));
    for (name, value) in [
        ("driver", run.harness.driver.clone()),
        ("loop", loops(variant)),
        ("validity", standing(variant)),
        (
            "broker",
            format!(
                "{} {}",
                run.broker.identity.product, run.broker.identity.version
            ),
        ),
    ] {
        suite.add_property(Property::new(name, printable(&value)));
    }
    for claim in run
        .claims
        .iter()
        .filter(|claim| claim.variant == variant.name)
    {
        suite.add_test_case(case(run, claim));
    }
    suite
}

fn case(run: &Run, claim: &ClaimResult) -> TestCase {
    let status = match claim.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Invalid => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Inconclusive => TestCaseStatus::skipped(),
    };
    let mut case = TestCase::new(printable(&claim.text), status);
    case.set_classname(printable(&format!("{}.{}", run.scenario, claim.variant)));
    let message = printable(&format!("measured {}: {}", claim.measured, claim.reason));
    match claim.verdict {
        Verdict::Pass => {
            case.set_system_out(message);
        }
        verdict => {
            case.status.set_message(message);
            if verdict != Verdict::Inconclusive {
                case.status.set_type(verdict_word(Some(verdict)));
            }
        }
    }
    case
}
