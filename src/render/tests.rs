//! Golden files of every rendering of two fixed records.

use super::*;
use crate::analysis::assess;
use crate::render::text::TextOptions;
use crate::results::fixture::{bad_day, kept};

fn assessed(mut record: RunRecord) -> RunRecord {
    assess(&mut record);
    record
}

#[test]
fn look() {
    let Ok(folder) = std::env::var("LOOK") else {
        return;
    };
    for (name, record) in [("kept", kept()), ("bad", bad_day())] {
        let record = assessed(record);
        let folder = Path::new(&folder).join(name);
        for (file, bytes) in files(&record).unwrap() {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::write(
            folder.join("report.txt"),
            text::report(&record, &TextOptions::default()),
        )
        .unwrap();
        std::fs::write(folder.join("run.json"), json::report(&record).unwrap()).unwrap();
    }
}
